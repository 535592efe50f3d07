//! Many workers over one queue, in any order, with the rules of Envoy and of nginx.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use super::lane::{Dropped, Lane};
use super::ring::{self, FOR_PERMITS, FOR_REFUSALS, Names, SLOTS, Weight};
use crate::shared::LAYOUT;
use crate::shared::model::{Data, Rules, Worker};
use portcullis_core::attestation::Known;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

const BOTH: [Rules; 2] = [Rules::Envoy, Rules::Nginx];

fn names() -> Names {
    Names::of(LAYOUT, "gate_a")
}

fn shared(rules: Rules) -> Arc<Mutex<Data>> {
    Arc::new(Mutex::new(Data::new(rules)))
}

#[test]
fn positions_have_no_gaps_and_one_owner_in_any_interleaving() {
    for (rules, seed) in BOTH.into_iter().flat_map(|rules| (1..80).map(move |seed| (rules, seed))) {
        let world = Worker::new(rules, seed * 104_729);
        let done = Rc::new(RefCell::new(Vec::new()));
        for number in 0..60_u8 {
            let done = Rc::clone(&done);
            world.plan(move |worker| {
                let put = ring::push(&mut worker.clone(), &names(), &[number; 5], Weight::Permit, 0);
                done.borrow_mut().push((put.unwrap().unwrap(), number));
            });
        }
        world.run();
        let mut done = done.take();
        done.sort_unstable();
        for (position, (taken, number)) in (0..).zip(&done) {
            assert_eq!(*taken, position, "{rules:?} {seed}");
            let record = ring::read(&mut world.clone(), &names(), position).unwrap();
            assert_eq!(record, Some(vec![*number; 5]), "{rules:?} {seed}");
        }
        assert_eq!(done.len(), 60);
        assert_eq!(ring::read(&mut world.clone(), &names(), 60).unwrap(), None);
    }
}

#[test]
fn positions_have_no_gaps_and_one_owner_on_many_threads() {
    for rules in BOTH {
        let data = shared(rules);
        let mut taken: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8_u8)
                .map(|worker| {
                    let mut data = Arc::clone(&data);
                    let push = move |_| ring::push(&mut data, &names(), &[worker; 9], Weight::Permit, 0);
                    scope.spawn(move || {
                        (0..300).map(push).map(|put| put.unwrap().unwrap()).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        taken.sort_unstable();
        assert_eq!(taken, (0..2400).collect::<Vec<_>>());
    }
}

#[test]
fn refusals_leave_a_quarter_to_permits_and_both_leave_room_for_receipts_and_nothing_is_written_over_before_it_is_acknowledged()
 {
    let mut data = shared(Rules::Envoy);
    let mut push = |weight, acked| ring::push(&mut data, &names(), b"record", weight, acked).unwrap();
    for position in 0..FOR_REFUSALS {
        assert_eq!(push(Weight::Refusal, 0), Some(position));
    }
    assert_eq!(push(Weight::Refusal, 0), None);
    assert_eq!(push(Weight::Metered, 0), None);
    for position in FOR_REFUSALS..FOR_PERMITS {
        assert_eq!(push(Weight::Permit, 0), Some(position));
    }
    assert_eq!(push(Weight::Permit, 0), None);
    for position in FOR_PERMITS..SLOTS {
        assert_eq!(push(Weight::Receipt, 0), Some(position));
    }
    assert_eq!(push(Weight::Receipt, 0), None);
    assert_eq!(push(Weight::Receipt, 2), Some(SLOTS));
    assert_eq!(push(Weight::Receipt, 2), Some(SLOTS + 1));
    assert_eq!(push(Weight::Receipt, 2), None);
    assert_eq!(ring::read(&mut data, &names(), 0).unwrap(), None);
    assert_eq!(ring::read(&mut data, &names(), 2).unwrap(), Some(b"record".to_vec()));
    let last = ring::push(&mut data, &names(), b"record", Weight::Refusal, SLOTS).unwrap();
    assert_eq!(last, Some(SLOTS + 2));
    // One for each slot and the hint: what waits is bounded, whatever comes.
    assert_eq!(data.lock().unwrap().values.len() as u64, SLOTS + 1);
}

#[test]
fn a_slot_that_was_cleared_is_short_and_is_taken_again_in_any_interleaving() {
    let long = [7; 5000];
    for (rules, seed) in BOTH.into_iter().flat_map(|rules| (1..6).map(move |seed| (rules, seed))) {
        let world = Worker::new(rules, seed * 104_729);
        for _ in 0..SLOTS {
            ring::push(&mut world.clone(), &names(), &long, Weight::Receipt, 0).unwrap().unwrap();
        }
        for position in 0..30 {
            world.plan(move |worker| ring::clear(&mut worker.clone(), &names(), position).unwrap());
            world.plan(move |worker| {
                ring::push(&mut worker.clone(), &names(), b"next", Weight::Receipt, 30).unwrap().unwrap();
            });
        }
        world.run();
        for position in SLOTS..SLOTS + 30 {
            let record = ring::read(&mut world.clone(), &names(), position).unwrap();
            assert_eq!(record.as_deref(), Some(b"next".as_slice()), "{rules:?} {seed}");
        }
        // What another has taken since stays.
        ring::clear(&mut world.clone(), &names(), 0).unwrap();
        assert!(ring::read(&mut world.clone(), &names(), SLOTS).unwrap().is_some());
        ring::clear(&mut world.clone(), &names(), 40).unwrap();
        assert_eq!(ring::read(&mut world.clone(), &names(), 40).unwrap(), Some(Vec::new()));
        assert_eq!(
            ring::read(&mut world.clone(), &names(), 41).unwrap().map(|record| record.len()),
            Some(5000)
        );
    }
}

#[test]
fn a_worker_that_dies_at_any_call_leaves_its_record_whole_or_none_and_no_gap() {
    for rules in BOTH {
        for calls in 0..8 {
            let data = Worker::new(rules, 0);
            ring::push(&mut data.clone(), &names(), b"first", Weight::Permit, 0).unwrap();
            data.fail_after(calls, 10);
            let dead = ring::push(&mut data.clone(), &names(), b"second", Weight::Permit, 0);
            data.fail_after(u32::MAX, 0);
            let next = ring::push(&mut data.clone(), &names(), b"third", Weight::Permit, 0).unwrap().unwrap();
            let records: Vec<_> =
                (0..=next).map(|at| ring::read(&mut data.clone(), &names(), at).unwrap().unwrap()).collect();
            assert_eq!(records.first().unwrap(), b"first");
            assert_eq!(records.last().unwrap(), b"third");
            assert!(records.len() == 3 || dead.is_err(), "{rules:?} {calls}");
        }
    }
}

#[test]
fn a_hint_that_is_lost_or_late_costs_steps_and_no_record() {
    let mut data = shared(Rules::Envoy);
    for position in 0..40 {
        assert_eq!(ring::push(&mut data, &names(), b"one", Weight::Permit, 0).unwrap(), Some(position));
        if position % 7 == 0 {
            data.lock().unwrap().values.remove(&names().of_part("tail"));
        }
    }
}

#[test]
fn of_workers_that_claim_a_lane_at_once_one_has_it() {
    for (rules, seed) in BOTH.into_iter().flat_map(|rules| (1..60).map(move |seed| (rules, seed))) {
        for is_first in [true, false] {
            let world = Worker::new(rules, seed * 15_485_863);
            let name = "lane";
            if !is_first {
                let lane = Lane { is_open: true, acked: 7, end: 7, ..Lane::default() };
                lane.write(&mut world.clone(), name, None).unwrap().unwrap();
            }
            let owners = Rc::new(RefCell::new(Vec::new()));
            for worker in 1..=6 {
                let owners = Rc::clone(&owners);
                world.plan(move |store| {
                    let (lane, cas) = Lane::read(&mut store.clone(), name).unwrap();
                    if lane.is_busy(1000, 5000) {
                        return;
                    }
                    let claimed = Lane { until: 2000, end: lane.acked + worker, ..lane };
                    if let Some(cas) = claimed.write(&mut store.clone(), name, cas).unwrap() {
                        owners.borrow_mut().push((claimed, cas));
                    }
                });
            }
            world.run();
            let owners = owners.take();
            assert_eq!(owners.len(), 1, "{rules:?} {seed}");
            let (there, cas) = Lane::read(&mut world.clone(), name).unwrap();
            assert_eq!((there, cas.unwrap()), *owners.first().unwrap());
        }
    }
}

#[test]
fn a_lane_that_cannot_be_read_is_not_taken_for_a_new_one() {
    let mut data = shared(Rules::Envoy);
    let lane = Lane {
        is_open: true,
        acked: 3,
        hash: [1; 32],
        end: 9,
        until: -5,
        failures: 2,
        log: Known { size: 11, root: [2; 32] },
    };
    let cas = lane.write(&mut data, "lane", None).unwrap();
    assert_eq!(Lane::read(&mut data, "lane").unwrap(), (lane, cas));
    for (value, _) in data.lock().unwrap().values.values_mut() {
        value.pop();
    }
    assert!(Lane::read(&mut data, "lane").is_err());
}

#[test]
fn a_clock_that_was_set_back_does_not_keep_a_lane_busy() {
    let lane = Lane { until: 100_000, ..Lane::default() };
    assert!(lane.is_busy(99_999, 5000));
    assert!(!lane.is_busy(100_000, 5000));
    assert!(!lane.is_busy(1000, 5000));
}

#[test]
fn drops_are_counted_by_all_workers_together() {
    for rules in BOTH {
        let data = shared(rules);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let mut data = Arc::clone(&data);
                scope.spawn(move || {
                    let mut counted = 0;
                    while counted < 100 {
                        let more = &mut |dropped: &mut Dropped| {
                            dropped.count += 1;
                            true
                        };
                        // Whoever is overtaken too often is told so.
                        counted += u32::from(Dropped::change(&mut data, "dropped", more).is_ok());
                    }
                });
            }
        });
        let mut data = data;
        assert_eq!(Dropped::read(&mut data, "dropped").unwrap().0.count, 400);
    }
}
