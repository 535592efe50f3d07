//! Many workers over one store, in any order, with the rules of Envoy and of nginx.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use super::{SharedReplay, name};
use crate::host::HostFault;
use crate::shared::Store;
use portcullis_core::{Novelty, Once, Replay, ReplayFault, ReplayPage, UnixTime};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rules {
    Envoy,
    Nginx,
    /// Writes whatever the CAS says.
    Careless,
}

#[derive(Debug)]
struct Data {
    rules: Rules,
    values: BTreeMap<String, (Vec<u8>, u32)>,
    last_cas: u32,
    randoms: u8,
}

type Answer<T> = Result<T, HostFault>;

impl Data {
    fn new(rules: Rules) -> Self {
        Data { rules, values: BTreeMap::new(), last_cas: 0, randoms: 0 }
    }

    fn get(&self, name: &str) -> Answer<(Vec<u8>, u32)> {
        self.values.get(name).cloned().ok_or(HostFault::Status("get", 1))
    }

    fn set(&mut self, name: &str, value: &[u8], cas: u32) -> Answer<()> {
        let current = self.values.get(name).map(|(_, cas)| *cas);
        let fits = match self.rules {
            Rules::Envoy => cas == 0 || current.is_none_or(|current| current == cas),
            Rules::Nginx => cas == current.unwrap_or(0),
            Rules::Careless => true,
        };
        if !fits {
            return Err(HostFault::Status("set", 8));
        }
        self.last_cas += 1;
        self.values.insert(name.to_owned(), (value.to_vec(), self.last_cas));
        Ok(())
    }

    /// Another every time, as two workers would draw it.
    fn random(&mut self, bytes: &mut [u8]) {
        self.randoms += 1;
        bytes.fill(self.randoms);
    }
}

/// Threads' store.
impl Store for Arc<Mutex<Data>> {
    fn get(&mut self, name: &str) -> Answer<(Vec<u8>, u32)> {
        self.lock().unwrap().get(name)
    }
    fn set(&mut self, name: &str, value: &[u8], cas: u32) -> Answer<()> {
        self.lock().unwrap().set(name, value, cas)
    }
    fn random(&mut self, bytes: &mut [u8]) -> Answer<()> {
        self.lock().unwrap().random(bytes);
        Ok(())
    }
}

/// A world in which, before any call of a worker, others may do a whole request each.
#[derive(Debug)]
struct World {
    data: Data,
    waiting: VecDeque<Once>,
    done: Vec<([u8; 32], Result<Novelty, ReplayFault>)>,
    dice: u64,
    /// The status with which the n-th call from here on fails.
    fault: Option<(u32, u32)>,
}

#[derive(Clone, Debug)]
struct Worker(Rc<RefCell<World>>);

impl Worker {
    fn new(rules: Rules, seed: u64) -> Self {
        let world = World {
            data: Data::new(rules),
            waiting: VecDeque::new(),
            done: Vec::new(),
            dice: seed | 1,
            fault: None,
        };
        Worker(Rc::new(RefCell::new(world)))
    }

    fn roll(&self) -> u64 {
        let dice = &mut self.0.borrow_mut().dice;
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        *dice
    }

    /// What comes between two calls of a worker.
    fn meanwhile(&self, call: &'static str) -> Answer<()> {
        while self.roll().is_multiple_of(3) {
            let Some(once) = self.0.borrow_mut().waiting.pop_front() else { break };
            self.request(&once);
        }
        let fault = &mut self.0.borrow_mut().fault;
        match fault {
            Some((0, status)) => Err(HostFault::Status(call, *status)),
            Some((calls, _)) => {
                *calls -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// By a VM that has just started, which must make no difference.
    fn request(&self, once: &Once) {
        let answer = SharedReplay::open(self.clone(), NOW).expect("it opens").insert(once, NOW);
        self.0.borrow_mut().done.push((once.token, answer));
    }
}

impl Store for Worker {
    fn get(&mut self, name: &str) -> Answer<(Vec<u8>, u32)> {
        self.meanwhile("get")?;
        self.0.borrow().data.get(name)
    }
    fn set(&mut self, name: &str, value: &[u8], cas: u32) -> Answer<()> {
        self.meanwhile("set")?;
        self.0.borrow_mut().data.set(name, value, cas)
    }
    fn random(&mut self, bytes: &mut [u8]) -> Answer<()> {
        self.meanwhile("random")?;
        self.0.borrow_mut().data.random(bytes);
        Ok(())
    }
}

const NOW: UnixTime = UnixTime::from_millis(1_800_000_000_000);

fn once(key: u8, token: u32) -> Once {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&token.to_le_bytes());
    Once { key: [key; 32], token: bytes, until: NOW.plus_millis(60_000), self_issued: key > 200 }
}

#[test]
fn of_equal_requests_in_any_interleaving_one_is_new() {
    for (rules, seed) in [Rules::Envoy, Rules::Nginx].into_iter().flat_map(|r| (1..60).map(move |s| (r, s))) {
        let world = Worker::new(rules, seed * 7919);
        for _ in 0..200 {
            let token = u32::try_from(world.roll() % 40).unwrap();
            world.0.borrow_mut().waiting.push_back(once(7, token));
        }
        loop {
            let next = world.0.borrow_mut().waiting.pop_front();
            let Some(next) = next else { break };
            world.request(&next);
        }
        let mut won: BTreeMap<[u8; 32], u32> = BTreeMap::new();
        for (token, answer) in &world.0.borrow().done {
            match answer {
                Ok(Novelty::New) => *won.entry(*token).or_default() += 1,
                Ok(Novelty::Seen { .. }) => {}
                // Whoever is overtaken too often refuses, which is safe.
                Err(fault) => assert!(matches!(fault, ReplayFault::Unavailable(_)), "{fault:?}"),
            }
        }
        assert!(won.values().all(|wins| *wins == 1), "{rules:?} {seed}");
        assert!(won.len() >= 35, "{rules:?} {seed}: {}", won.len());
    }
}

#[test]
fn of_equal_requests_on_many_threads_one_is_new() {
    for rules in [Rules::Envoy, Rules::Nginx] {
        let data = Arc::new(Mutex::new(Data::new(rules)));
        let wins: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    let data = Arc::clone(&data);
                    scope.spawn(move || {
                        let mut replay = SharedReplay::open(data, NOW).unwrap();
                        let is_new = |token: &u32| replay.insert(&once(7, *token), NOW) == Ok(Novelty::New);
                        (0..500).filter(is_new).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let mut unique = wins.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), wins.len());
        assert!(unique.len() > 490, "{}", unique.len());
    }
}

#[test]
fn a_worker_that_starts_later_keeps_secret_and_pages() {
    for rules in [Rules::Envoy, Rules::Nginx] {
        let data = Arc::new(Mutex::new(Data::new(rules)));
        let mut first = SharedReplay::open(Arc::clone(&data), NOW).unwrap();
        assert_eq!(first.insert(&once(1, 1), NOW), Ok(Novelty::New));
        let before = data.lock().unwrap().values.clone();
        let mut second = SharedReplay::open(Arc::clone(&data), NOW.plus_millis(1000)).unwrap();
        // Nor has the process begun anew: a VM that trapped forgets nothing.
        assert_eq!(second.process().unwrap().began(), NOW);
        assert_eq!(data.lock().unwrap().values, before);
        assert_eq!(second.insert(&once(1, 1), NOW), Ok(Novelty::Seen { first: NOW }));
    }
}

#[test]
fn a_host_that_does_not_mind_the_cas_is_no_host() {
    assert!(SharedReplay::open(Arc::new(Mutex::new(Data::new(Rules::Careless))), NOW).is_err());
}

#[test]
fn every_fault_of_the_store_refuses() {
    for rules in [Rules::Envoy, Rules::Nginx] {
        for status in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 999] {
            // From the n-th call on: one that opens, one that inserts.
            for calls in 0..12 {
                let world = Worker::new(rules, 1);
                world.0.borrow_mut().fault = Some((calls, status));
                let Ok(mut replay) = SharedReplay::open(world.clone(), NOW) else { continue };
                let answer = replay.insert(&once(1, 1), NOW);
                // A page with an entry.
                let values = world.0.borrow().data.values.clone();
                let stored = values.iter().any(|(key, (page, _))| *key != name("process") && page.len() > 8);
                assert_eq!(answer == Ok(Novelty::New), stored, "{rules:?} {status} {calls}");
                assert!(stored || matches!(answer, Err(ReplayFault::Unavailable(_))), "{answer:?}");
            }
        }
    }
}

#[test]
fn damaged_pages_and_a_lost_secret_refuse() {
    let data = Arc::new(Mutex::new(Data::new(Rules::Envoy)));
    let mut replay = SharedReplay::open(Arc::clone(&data), NOW).unwrap();
    replay.insert(&once(1, 1), NOW).unwrap();
    let secret = name("process");
    for (name, (value, _)) in &mut data.lock().unwrap().values {
        if *name != secret {
            value.pop();
        }
    }
    assert!(matches!(replay.insert(&once(1, 1), NOW), Err(ReplayFault::Unavailable(_))));
    data.lock().unwrap().values.remove(&secret);
    assert!(matches!(replay.insert(&once(1, 2), NOW), Err(ReplayFault::Unavailable(_))));
}

#[test]
fn what_is_stored_is_bounded_whatever_comes() {
    let data = Arc::new(Mutex::new(Data::new(Rules::Envoy)));
    let mut replay = SharedReplay::open(Arc::clone(&data), NOW).unwrap();
    for token in 0..4 {
        for key in [1, 201] {
            assert_eq!(replay.insert(&once(key, token), NOW), Ok(Novelty::New));
        }
    }
    let most = usize::try_from(ReplayPage::COUNT).unwrap() * ReplayPage::MAX_BYTES;
    assert!(most <= 16 << 20, "{most}");
    assert!(data.lock().unwrap().values.len() <= 9);
}
