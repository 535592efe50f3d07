//! Two real Envoys of one gate, and one control service: what passed at one does not pass
//! at the other.

use crate::live_stand::{Fault, LiveStand, Wishes, agent, counter_of};
use portcullis_core::capiscio::sign_request;
use portcullis_core::json::Object;
use portcullis_core::{UnixTime, base64};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant, SystemTime};
use xtask::envoy::Envoy;
use xtask::http::{Request, exchange};

/// A gate that asks the nonce authority, in two Envoys.
struct Two {
    stand: LiveStand,
    second: Envoy,
}

impl Two {
    fn start(name: &str) -> Self {
        let public_key = base64::encode(&agent(7).public_key());
        let trust = json!({"simpleguard_agents": [{"key_id": "k", "public_key": public_key, "actions": ["flights:search"]}]});
        let wishes = Wishes { trust: Some(trust), nonce_authority: true, ..Wishes::default() };
        let stand = LiveStand::start(name, &wishes);
        let second = stand.another_envoy(&format!("{name}-2"), &stand.enrolled);
        Two { stand, second }
    }

    fn both(&self) -> [SocketAddr; 2] {
        [self.stand.envoy.listen, self.second.listen]
    }

    /// Sends requests until one passes, and gives its signature: of those before it, the service was not
    /// heard in time, which a busy machine may bring about.
    fn send_in_time(&self, to: SocketAddr) -> String {
        for _ in 0..MOST_LATE {
            let sent = signature();
            match self.send(to, &sent) {
                (200, _) => return sent,
                other => assert_eq!(other, unavailable(), "{}", self.stand.envoy.log_tail()),
            }
        }
        panic!("the service is never heard in time");
    }

    /// What an Envoy answers in the end to a request with this signature.
    fn settled(&self, to: SocketAddr, signature: &str) -> (u16, String) {
        (0..MOST_LATE).map(|_| self.send(to, signature)).find(|told| *told != unavailable()).unwrap()
    }

    /// What an Envoy answers to a request with this signature: the status, and the reason.
    fn send(&self, to: SocketAddr, signature: &str) -> (u16, String) {
        let mut request = Request::new("GET", "/flights");
        request.headers.push(("x-capiscio-jws".to_owned(), signature.to_owned()));
        // One address stands for both.
        let authority = self.stand.envoy.listen.to_string();
        let answer = exchange(to, &request.to_bytes(&authority, true)).unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status, body["reason_code"].as_str().unwrap_or_default().to_owned())
    }
}

/// How often the service may not be heard within its second: on a machine that has nothing else to do, it
/// never is not.
const MOST_LATE: usize = 50;

fn unavailable() -> (u16, String) {
    (503, "nonce_authority_unavailable".to_owned())
}

/// A signature that was never made before.
fn signature() -> String {
    static NUMBER: AtomicI32 = AtomicI32::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap());
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    sign_request(&agent(7), "k", Object::from([("n", number.into())]), None, now)
}

#[test]
fn of_two_envoys_exactly_one_lets_a_request_through_and_none_without_the_service() {
    let mut two = Two::start("nonces");
    let [first, second] = two.both();
    let passed = (200, String::new());
    let replayed = (401, "request_replayed".to_owned());
    let unavailable = unavailable();
    let mut allowed = 2;
    // One after the other, from either side.
    for (one, other) in [(first, second), (second, first)] {
        let sent = two.send_in_time(one);
        assert_eq!(two.settled(other, &sent), replayed);
        assert_eq!(two.settled(one, &sent), replayed);
    }
    // At once, several at each.
    let (mut decided, mut undecided) = (0, 0);
    while decided < 10 {
        let sent = signature();
        let barrier = Barrier::new(8);
        let answers: Vec<_> = std::thread::scope(|scope| {
            let sending: Vec<_> = (0..8)
                .map(|at| {
                    let (two, sent, barrier) = (&two, &sent, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        two.send(two.both()[at % 2], sent)
                    })
                })
                .collect();
            sending.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let count = |wanted: &(u16, String)| answers.iter().filter(|answer| *answer == wanted).count();
        let late = count(&unavailable);
        assert!(count(&passed) <= 1 && count(&passed) + count(&replayed) + late == 8, "{answers:?}");
        allowed += count(&passed);
        if late == 0 {
            assert_eq!(count(&passed), 1, "{answers:?}");
            decided += 1;
        } else {
            undecided += 1;
            assert!(undecided < MOST_LATE, "the service is never heard in time");
        }
    }
    let counted: u64 = [&two.stand.envoy, &two.second]
        .map(|envoy| counter_of(envoy, "portcullis_decisions.allow.ok"))
        .iter()
        .sum();
    assert_eq!(usize::try_from(counted).unwrap(), allowed);

    // A line that lies, and a service that fails.
    for fault in [Fault::Garbage, Fault::Half, Fault::Failing] {
        two.stand.line.set(fault);
        assert_eq!(two.send(first, &signature()), unavailable, "{fault:?}");
    }
    two.stand.line.set(Fault::None);
    two.send_in_time(first);

    // And none at all: trust material is recent enough for long, and still nothing passes.
    two.stand.service.take().unwrap().end().unwrap();
    let began = Instant::now();
    for to in two.both() {
        for _ in 0..3 {
            assert_eq!(two.send(to, &signature()), unavailable);
        }
    }
    // A second each at most, and what the machine is slow by.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_eq!(two.stand.counter("portcullis_decisions.block.trust_material_stale"), 0);
}
