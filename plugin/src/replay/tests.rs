//! Many workers over one store, in any order, with the rules of Envoy and of nginx.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use super::{ENDED, PROCESS, SharedReplay, end_earlier};
use crate::shared::model::{Data, Rules, Worker};
use crate::shared::{EARLIER, create, name};
use portcullis_core::guardrails::Limits;
use portcullis_core::{
    Charged, CounterClass, CounterFault, CounterKey, Counters, Novelty, Once, Process, Replay, ReplayFault,
    ReplayPage, UnixTime, Usage,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

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
        let done = Rc::new(RefCell::new(Vec::new()));
        for _ in 0..200 {
            let (done, once) = (Rc::clone(&done), once(7, u32::try_from(world.roll() % 40).unwrap()));
            // By a VM that has just started, which must make no difference.
            world.plan(move |worker| {
                let answer = SharedReplay::open(worker.clone(), NOW).expect("it opens").insert(&once, NOW);
                done.borrow_mut().push((once.token, answer));
            });
        }
        world.run();
        let mut won: BTreeMap<[u8; 32], u32> = BTreeMap::new();
        for (token, answer) in done.borrow().iter() {
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
fn what_the_layout_before_has_used_is_ended_in_any_interleaving() {
    for (rules, seed) in [Rules::Envoy, Rules::Nginx].into_iter().flat_map(|r| (1..40).map(move |s| (r, s))) {
        let mut world = Worker::new(rules, seed * 104_651);
        let earlier = [EARLIER, PROCESS].concat();
        let former = Process::new([7; 32], NOW).to_bytes();
        // Begun before, meanwhile, or never.
        if seed % 3 == 0 {
            create(&mut world, &earlier, &former).unwrap();
        }
        if seed % 3 == 1 {
            let (name, former) = (earlier.clone(), former.clone());
            world.plan(move |worker| create(&mut worker.clone(), &name, &former).unwrap());
        }
        for _ in 0..3 {
            world.plan(|worker| {
                end_earlier(&mut worker.clone()).unwrap();
                SharedReplay::open(worker.clone(), NOW).unwrap();
            });
        }
        world.run();
        let ended = world.values()[&earlier].0.clone();
        assert_eq!(ended.len(), ENDED, "{rules:?} {seed}");
        assert!(Process::from_bytes(&ended).is_none(), "its workers find no process");
        let left = end_earlier(&mut world).unwrap();
        assert_eq!(left.is_some(), ended[..32] == former[..32], "{rules:?} {seed}");
        assert!(left.is_none_or(|left| left.to_bytes() == former), "{rules:?} {seed}");
        assert!(left_of(seed, ended[0] == 7), "one that had begun before is known");
    }

    fn left_of(seed: u64, is_known: bool) -> bool {
        is_known || !seed.is_multiple_of(3)
    }
}

#[test]
fn a_process_that_a_newer_layout_has_ended_does_not_begin_again() {
    let data = Arc::new(Mutex::new(Data::new(Rules::Envoy)));
    let mut replay = SharedReplay::open(Arc::clone(&data), NOW).unwrap();
    assert_eq!(replay.insert(&once(1, 1), NOW), Ok(Novelty::New));
    // As the newer one does to what is its earlier one.
    data.lock().unwrap().values.get_mut(&name(PROCESS)).unwrap().0.push(0);
    assert!(matches!(replay.insert(&once(1, 2), NOW), Err(ReplayFault::Unavailable(_))));
    assert!(matches!(replay.usage(&agent("a"), NOW), Err(CounterFault::Unavailable(_))));
    let refused = SharedReplay::open(data, NOW).unwrap_err();
    assert!(refused.to_string().contains("start the proxy anew"), "{refused}");
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
                world.fail_after(calls, status);
                let Ok(mut replay) = SharedReplay::open(world.clone(), NOW) else { continue };
                let answer = replay.insert(&once(1, 1), NOW);
                // A page with an entry.
                let values = world.values();
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

fn limit(limit: u32) -> Limits {
    Limits([Some(limit), None, Some(1000)])
}

fn agent(name: &str) -> CounterKey {
    CounterKey::of_agent("issuer", name, "*", CounterClass::Vouched)
}

#[test]
fn many_threads_together_pass_as_often_as_the_limit_says_and_no_more() {
    for rules in [Rules::Envoy, Rules::Nginx] {
        let data = Arc::new(Mutex::new(Data::new(rules)));
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    let data = Arc::clone(&data);
                    scope.spawn(move || {
                        let mut memory = SharedReplay::open(data, NOW).unwrap();
                        let charged = (0..60).map(|_| memory.charge(&agent("a"), &limit(100), NOW));
                        charged.filter(|charged| matches!(charged, Ok(Charged::Done(_)))).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 100, "{rules:?}");
        let mut later = SharedReplay::open(data, NOW).unwrap();
        assert_eq!(later.usage(&agent("a"), NOW), Ok(Usage([100, 0, 100])));
        assert_eq!(later.usage(&agent("b"), NOW), Ok(Usage([0, 0, 0])));
    }
}

#[test]
fn every_fault_of_the_store_refuses_what_is_counted() {
    for rules in [Rules::Envoy, Rules::Nginx] {
        for status in [1, 2, 3, 8, 10, 12, 999] {
            for calls in 0..12 {
                let world = Worker::new(rules, 1);
                world.fail_after(calls, status);
                let Ok(mut memory) = SharedReplay::open(world.clone(), NOW) else { continue };
                let answer = memory.charge(&agent("a"), &limit(1), NOW);
                let values = world.values();
                let stored = values.values().any(|(page, _)| page.starts_with(b"pct1") && page.len() > 4);
                assert_eq!(matches!(answer, Ok(Charged::Done(_))), stored, "{rules:?} {status} {calls}");
                assert!(stored || matches!(answer, Err(CounterFault::Unavailable(_))), "{answer:?}");
            }
        }
    }
}

#[test]
fn damaged_pages_of_counts_and_a_lost_secret_refuse() {
    let data = Arc::new(Mutex::new(Data::new(Rules::Envoy)));
    let mut memory = SharedReplay::open(Arc::clone(&data), NOW).unwrap();
    memory.charge(&agent("a"), &limit(1), NOW).unwrap();
    let secret = name("process");
    for (name, (value, _)) in &mut data.lock().unwrap().values {
        if *name != secret {
            value.pop();
        }
    }
    assert!(matches!(memory.usage(&agent("a"), NOW), Err(CounterFault::Unavailable(_))));
    assert!(matches!(memory.charge(&agent("a"), &limit(1), NOW), Err(CounterFault::Unavailable(_))));
    data.lock().unwrap().values.remove(&secret);
    assert!(matches!(memory.usage(&agent("b"), NOW), Err(CounterFault::Unavailable(_))));
}
