//! Decisions as they are recorded: server-sent events.

use crate::common::Bench;
use crate::common::records::{Gate, allowed, draft};
use portcullis_core::attestation::Decision;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use xtask::on_every_database;

on_every_database!(
    a_follower_is_told_of_each_decision_as_it_comes,
    a_follower_that_comes_again_goes_on_where_it_was,
    a_follower_at_another_instance_is_told_too,
    so_many_follow_and_no_more,
);

/// A connection that follows.
struct Follower(BufReader<TcpStream>);

impl Follower {
    fn connect(bench: &Bench, to: SocketAddr, query: &str, last: Option<u64>) -> (u16, Self) {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let last = last.map(|last| format!("last-event-id: {last}\r\n")).unwrap_or_default();
        let key = &bench.service.key;
        write!(
            stream,
            "GET /api/v1/decisions/stream?{query} HTTP/1.1\r\nhost: x\r\n{last}authorization: Bearer {key}\r\n\r\n"
        )
        .unwrap();
        let mut follower = Follower(BufReader::new(stream));
        let status = follower.line().split(' ').nth(1).unwrap().parse().unwrap();
        while !follower.line().is_empty() {}
        (status, follower)
    }

    fn to(bench: &Bench, query: &str, last: Option<u64>) -> Self {
        let (status, follower) = Self::connect(bench, bench.service.address, query, last);
        assert_eq!(status, 200);
        follower
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "it has ended");
        line.trim_end().to_owned()
    }

    /// The next event's id and data. Chunks' sizes stand between.
    fn next(&mut self) -> (u64, Value) {
        let mut id = None;
        loop {
            let line = self.line();
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.parse().unwrap());
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (id.unwrap(), serde_json::from_str(data).unwrap());
            }
        }
    }
}

fn a_follower_is_told_of_each_decision_as_it_comes(database: Option<&str>) {
    let bench = Bench::new(database);
    let (gate, other) = (Gate::enrolled(&bench, "gate_a", 1), Gate::enrolled(&bench, "gate_b", 2));
    let to = bench.service.address;
    let mut lane = gate.lane(to, 1);
    lane.record(&allowed("gate_a", 2));
    let mut all = Follower::to(&bench, "gate_id=gate_a", None);
    let mut blocked = Follower::to(&bench, "gate_id=gate_a&decision=block", None);
    other.lane(to, 1).record(&allowed("gate_b", 1));
    for decision in [Decision::Allow, Decision::Block, Decision::Allow] {
        lane.record(&[draft("gate_a", "agent-1", decision)]);
    }
    let told: Vec<_> = (0..3).map(|_| all.next()).collect();
    let seen: Vec<_> = told.iter().map(|(id, row)| (*id, row["decision"].as_str().unwrap())).collect();
    assert_eq!(seen, [(2, "allow"), (3, "block"), (4, "allow")]);
    assert_eq!(told[0].1["agent_id"], "agent-1");
    assert_eq!(blocked.next().0, 3);
    for (query, status) in [("gate_id=gate_none", 404), ("decision=block", 422)] {
        assert_eq!(Follower::connect(&bench, to, query, None).0, status);
    }
}

fn a_follower_that_comes_again_goes_on_where_it_was(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut lane = gate.lane(bench.service.address, 1);
    lane.record(&allowed("gate_a", 5));
    let mut follower = Follower::to(&bench, "gate_id=gate_a", Some(1));
    assert_eq!((follower.next().0, follower.next().0), (2, 3));
    drop(follower);
    // More than one read brings, while nobody follows.
    for _ in 0..3 {
        lane.record(&allowed("gate_a", 200));
    }
    let mut follower = Follower::to(&bench, "gate_id=gate_a", Some(3));
    for index in 4..605 {
        assert_eq!(follower.next().0, index);
    }
    let key = bench.service.key.clone();
    let mut request = xtask::http::Request::new("GET", "/api/v1/decisions/stream?gate_id=gate_a");
    request.headers.push(("authorization".to_owned(), format!("Bearer {key}")));
    request.headers.push(("last-event-id".to_owned(), "x".to_owned()));
    assert_eq!(request.send(bench.service.address).unwrap().status, 422);
}

fn a_follower_at_another_instance_is_told_too(database: Option<&str>) {
    // SQLite serves one instance.
    if database.is_none() {
        return;
    }
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut control = bench.control.clone();
    [control.address] = xtask::net::free().unwrap();
    let second = control.start_with_key(&bench.service.key).unwrap();
    let (status, mut follower) = Follower::connect(&bench, second.address, "gate_id=gate_a", None);
    assert_eq!(status, 200);
    gate.lane(bench.service.address, 1).record(&allowed("gate_a", 1));
    assert_eq!(follower.next().0, 0);
}

fn so_many_follow_and_no_more(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut followers: Vec<Follower> =
        (0..64).map(|_| Follower::to(&bench, "gate_id=gate_a", None)).collect();
    let connect = || Follower::connect(&bench, bench.service.address, "gate_id=gate_a", None);
    assert_eq!(connect().0, 503);
    gate.lane(bench.service.address, 1).record(&allowed("gate_a", 1));
    assert!(followers.iter_mut().all(|follower| follower.next().0 == 0));
    // A place is free once its client is gone and is to be told something.
    followers.clear();
    let began = std::time::Instant::now();
    let mut lane = gate.lane(bench.service.address, 2);
    while connect().0 != 200 {
        assert!(began.elapsed() < Duration::from_secs(60), "no place is free again");
        lane.record(&allowed("gate_a", 1));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn followers_are_let_go_when_the_service_ends() {
    let bench = Bench::new(None);
    Gate::enrolled(&bench, "gate_a", 1);
    let mut follower = Follower::to(&bench, "gate_id=gate_a", None);
    bench.service.end().unwrap();
    // Who is cut off when the time for ending is over reads no last chunk.
    let mut rest = String::new();
    follower.0.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "{rest:?}");
}
