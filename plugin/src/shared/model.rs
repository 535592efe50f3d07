//! A model of what proxies share: with the rules of Envoy and of nginx, and workers that do
//! whole jobs of theirs between any two calls of another's.

#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, reason = "a test that cannot go on fails")]

use super::Store;
use crate::fault::{HostFault, Place};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rules {
    Envoy,
    Nginx,
    /// Writes whatever the CAS says.
    Careless,
}

#[derive(Debug)]
pub(crate) struct Data {
    rules: Rules,
    pub(crate) values: BTreeMap<String, (Vec<u8>, u32)>,
    last_cas: u32,
    randoms: u8,
}

pub(crate) type Answer<T> = Result<T, HostFault>;

impl Data {
    pub(crate) fn new(rules: Rules) -> Self {
        Data { rules, values: BTreeMap::new(), last_cas: 0, randoms: 0 }
    }

    fn get(&self, name: &str) -> Answer<(Vec<u8>, u32)> {
        self.values.get(name).cloned().ok_or(HostFault::answered(Place::GetSharedData, 1))
    }

    fn set(&mut self, name: &str, value: &[u8], cas: u32) -> Answer<()> {
        let current = self.values.get(name).map(|(_, cas)| *cas);
        let fits = match self.rules {
            Rules::Envoy => cas == 0 || current.is_none_or(|current| current == cas),
            Rules::Nginx => cas == current.unwrap_or(0),
            Rules::Careless => true,
        };
        if !fits {
            return Err(HostFault::answered(Place::SetSharedData, 8));
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

/// A world in which, before any call of a worker, others may do a whole job each.
#[derive(Clone)]
pub(crate) struct Worker(Rc<RefCell<World>>);

struct World {
    data: Data,
    waiting: VecDeque<Job>,
    dice: u64,
    /// The status with which the n-th call from here on fails.
    fault: Option<(u32, u32)>,
}

type Job = Box<dyn FnOnce(&Worker)>;

impl Worker {
    pub(crate) fn new(rules: Rules, seed: u64) -> Self {
        let world = World { data: Data::new(rules), waiting: VecDeque::new(), dice: seed | 1, fault: None };
        Worker(Rc::new(RefCell::new(world)))
    }

    pub(crate) fn roll(&self) -> u64 {
        let dice = &mut self.0.borrow_mut().dice;
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        *dice
    }

    /// Something that some worker will do, sooner or later.
    pub(crate) fn plan(&self, job: impl FnOnce(&Worker) + 'static) {
        self.0.borrow_mut().waiting.push_back(Box::new(job));
    }

    /// Does all that is planned.
    pub(crate) fn run(&self) {
        while self.run_one() {}
    }

    /// The call after so many fails with this status.
    pub(crate) fn fail_after(&self, calls: u32, status: u32) {
        self.0.borrow_mut().fault = Some((calls, status));
    }

    pub(crate) fn values(&self) -> BTreeMap<String, (Vec<u8>, u32)> {
        self.0.borrow().data.values.clone()
    }

    fn run_one(&self) -> bool {
        let job = self.0.borrow_mut().waiting.pop_front();
        job.map(|job| job(self)).is_some()
    }

    /// What comes between two calls of a worker.
    fn meanwhile(&self, call: Place) -> Answer<()> {
        while self.roll().is_multiple_of(3) && self.run_one() {}
        let fault = &mut self.0.borrow_mut().fault;
        match fault {
            Some((0, status)) => Err(HostFault::answered(call, *status)),
            Some((calls, _)) => {
                *calls -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Worker")
    }
}

impl Store for Worker {
    fn get(&mut self, name: &str) -> Answer<(Vec<u8>, u32)> {
        self.meanwhile(Place::GetSharedData)?;
        self.0.borrow().data.get(name)
    }
    fn set(&mut self, name: &str, value: &[u8], cas: u32) -> Answer<()> {
        self.meanwhile(Place::SetSharedData)?;
        self.0.borrow_mut().data.set(name, value, cas)
    }
    fn random(&mut self, bytes: &mut [u8]) -> Answer<()> {
        self.meanwhile(Place::RandomGet)?;
        self.0.borrow_mut().data.random(bytes);
        Ok(())
    }
}
