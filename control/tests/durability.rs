//! What was acknowledged is there, however the service ended; and its end is a quiet one.

use crate::common::Bench;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use xtask::control::Service;
use xtask::http::Request;
use xtask::on_every_database;

on_every_database!(
    what_was_acknowledged_outlives_a_kill_and_is_there_once,
    a_request_under_way_is_answered_when_the_service_is_told_to_end,
);

const ROUNDS: usize = 3;
const WRITERS: usize = 4;

/// The service is killed once so many writes of a round are acknowledged.
const KILL_AFTER: usize = 40;

fn what_was_acknowledged_outlives_a_kill_and_is_there_once(database: Option<&str>) {
    let Bench { service, control, folder } = Bench::new(database);
    let api_key = service.key.clone();
    let mut service = Some(service);
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        let running = service.take().unwrap();
        let address = running.address;
        let done = AtomicBool::new(false);
        let count = std::sync::atomic::AtomicUsize::new(0);
        let written = thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (api_key, done, count) = (&api_key, &done, &count);
                    scope.spawn(move || {
                        let mut written = Vec::new();
                        // Ends with the service.
                        for turn in 0.. {
                            let name = format!("{round}-{writer}-{turn}");
                            let Some(id) = create(address, api_key, &name) else { break };
                            written.push((name, id));
                            count.fetch_add(1, Ordering::Relaxed);
                            if done.load(Ordering::Relaxed) {
                                break;
                            }
                        }
                        written
                    })
                })
                .collect();
            let began = Instant::now();
            while count.load(Ordering::Relaxed) < KILL_AFTER && began.elapsed() < Duration::from_secs(60) {
                thread::sleep(Duration::from_millis(1));
            }
            running.kill();
            done.store(true, Ordering::Relaxed);
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(written.len() >= KILL_AFTER, "round {round}: {} writes only", written.len());
        acknowledged.extend(written);
        let running = control.start_with_key(&api_key).unwrap();
        check(&running, &acknowledged);
        service = Some(running);
    }
    service.unwrap().end().unwrap();
    drop(folder);
}

/// Makes an API key; gives its id if the service said that it is made.
fn create(address: SocketAddr, api_key: &str, name: &str) -> Option<String> {
    let mut request = Request::new("POST", "/api/users/api-keys");
    request.headers.push(("authorization".to_owned(), format!("Bearer {api_key}")));
    request.body = json!({"name": name, "scopes": []}).to_string().into_bytes();
    let answer = request.send(address).ok()?;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    let made: Value = serde_json::from_slice(&answer.body).unwrap();
    Some(made["id"].as_str().unwrap().to_owned())
}

fn check(service: &Service, acknowledged: &BTreeMap<String, String>) {
    let answer = service.call("GET", "/api/users/api-keys", None).unwrap();
    let listed: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
    let mut there: BTreeMap<&str, &str> = BTreeMap::new();
    for key in &listed {
        let (name, id) = (key["name"].as_str().unwrap(), key["id"].as_str().unwrap());
        assert!(there.insert(name, id).is_none(), "{name} is there twice");
    }
    for (name, id) in acknowledged {
        assert_eq!(there.get(name.as_str()), Some(&id.as_str()), "{name} was acknowledged");
    }
}

fn a_request_under_way_is_answered_when_the_service_is_told_to_end(database: Option<&str>) {
    let Bench { service, control, folder } = Bench::new(database);
    let (address, key) = (service.address, service.key.clone());
    // A connection that nobody uses holds nothing up.
    let idle = TcpStream::connect(address).unwrap();
    let body = json!({"name": "under way", "scopes": []}).to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let head = format!(
        "POST /api/users/api-keys HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(300));
    let ending = thread::spawn(move || service.end());
    thread::sleep(Duration::from_millis(300));
    assert!(!ending.is_finished(), "the service left a request unanswered");
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    ending.join().unwrap().unwrap();
    drop(idle);
    let again = control.start_with_key(&key).unwrap();
    let listed = again.call("GET", "/api/users/api-keys", None).unwrap();
    assert!(String::from_utf8_lossy(&listed.body).contains("under way"));
    drop(folder);
}
