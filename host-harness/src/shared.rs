use std::collections::{BTreeMap, VecDeque};

use crate::{CasRules, Status};

/// The key-value store that VMs share.
#[derive(Debug)]
pub(crate) struct SharedData {
    rules: CasRules,
    values: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    last_cas: u32,
}

impl SharedData {
    pub(crate) fn new(rules: CasRules) -> Self {
        Self { rules, values: BTreeMap::new(), last_cas: 0 }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<(&[u8], u32)> {
        self.values.get(key).map(|(value, cas)| (&**value, *cas))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.values.keys().map(|key| &**key)
    }

    /// `value` is `None` where the guest gave a null pointer.
    pub(crate) fn set(&mut self, key: &[u8], value: Option<Vec<u8>>, cas: u32) -> Result<(), Status> {
        let current = self.values.get(key).map(|(_, cas)| *cas);
        match self.rules {
            CasRules::Stub => return Ok(()),
            CasRules::Envoy => {
                if current.is_some_and(|current| cas != 0 && cas != current) {
                    return Err(Status::CAS_MISMATCH);
                }
            }
            CasRules::Nginx => {
                if cas != current.unwrap_or(0) {
                    return Err(Status::CAS_MISMATCH);
                }
                if value.is_none() {
                    self.remove(key);
                    return Ok(());
                }
            }
        }
        self.put(key, value.unwrap_or_default());
        Ok(())
    }

    pub(crate) fn put(&mut self, key: &[u8], value: Vec<u8>) {
        // 0 means "none given", so no value ever has it.
        self.last_cas = self.last_cas.checked_add(1).unwrap_or(1);
        self.values.insert(key.to_vec(), (value, self.last_cas));
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        self.values.remove(key);
    }
}

/// The queues that VMs share. A token is a queue's position, from 1.
#[derive(Debug, Default)]
pub(crate) struct Queues(Vec<Queue>);

#[derive(Debug)]
struct Queue {
    name: Vec<u8>,
    items: VecDeque<Vec<u8>>,
    /// The VM that registered last is told, once for each item.
    listener: u32,
    untold: u32,
}

impl Queues {
    pub(crate) fn register(&mut self, name: &[u8], vm: u32) -> u32 {
        if let Some(token) = self.resolve(name) {
            if let Some(queue) = self.queue(token) {
                queue.listener = vm;
            }
            return token;
        }
        self.0.push(Queue { name: name.to_vec(), items: VecDeque::new(), listener: vm, untold: 0 });
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn resolve(&self, name: &[u8]) -> Option<u32> {
        let position = self.0.iter().position(|queue| queue.name == name)?;
        u32::try_from(position).ok()?.checked_add(1)
    }

    pub(crate) fn enqueue(&mut self, token: u32, item: Vec<u8>) -> Result<(), Status> {
        let queue = self.queue(token).ok_or(Status::NOT_FOUND)?;
        queue.items.push_back(item);
        queue.untold = queue.untold.saturating_add(1);
        Ok(())
    }

    pub(crate) fn dequeue(&mut self, token: u32) -> Result<Vec<u8>, Status> {
        self.queue(token).ok_or(Status::NOT_FOUND)?.items.pop_front().ok_or(Status::EMPTY)
    }

    /// The next token that `vm` is to be told of.
    pub(crate) fn take_event(&mut self, vm: u32) -> Option<u32> {
        let position = self.0.iter().position(|queue| queue.listener == vm && queue.untold > 0)?;
        let queue = self.0.get_mut(position)?;
        queue.untold = queue.untold.saturating_sub(1);
        u32::try_from(position).ok()?.checked_add(1)
    }

    pub(crate) fn contents(&self, name: &[u8]) -> Option<Vec<Vec<u8>>> {
        let queue = self.0.iter().find(|queue| queue.name == name)?;
        Some(queue.items.iter().cloned().collect())
    }

    fn queue(&mut self, token: u32) -> Option<&mut Queue> {
        self.0.get_mut(usize::try_from(token).ok()?.checked_sub(1)?)
    }
}

/// The metrics of the process. An id holds the kind in its two lowest bits, as
/// Envoy's do.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Vec<Metric>);

#[derive(Debug)]
struct Metric {
    kind: u32,
    name: Vec<u8>,
    value: u64,
}

const COUNTER: u32 = 0;
const GAUGE: u32 = 1;
const HISTOGRAM: u32 = 2;

impl Metrics {
    pub(crate) fn define(&mut self, kind: u32, name: &[u8]) -> Result<u32, Status> {
        if kind > HISTOGRAM {
            return Err(Status::BAD_ARGUMENT);
        }
        let known = self.0.iter().position(|metric| metric.kind == kind && metric.name == name);
        let position = known.unwrap_or_else(|| {
            self.0.push(Metric { kind, name: name.to_vec(), value: 0 });
            self.0.len().saturating_sub(1)
        });
        let position = u32::try_from(position).map_err(|_| Status::INTERNAL_FAILURE)?;
        position.checked_mul(4).map(|id| id | kind).ok_or(Status::INTERNAL_FAILURE)
    }

    /// A counter only grows: Envoy refuses an offset of zero or less.
    pub(crate) fn increment(&mut self, id: u32, offset: i64) -> Result<(), Status> {
        let metric = self.metric(id)?;
        match metric.kind {
            COUNTER if offset > 0 => metric.value = metric.value.wrapping_add_signed(offset),
            GAUGE => metric.value = metric.value.wrapping_add_signed(offset),
            _ => return Err(Status::BAD_ARGUMENT),
        }
        Ok(())
    }

    pub(crate) fn record(&mut self, id: u32, value: u64) -> Result<(), Status> {
        let metric = self.metric(id)?;
        metric.value = match metric.kind {
            COUNTER => metric.value.wrapping_add(value),
            GAUGE => value,
            _ => metric.value.wrapping_add(1),
        };
        Ok(())
    }

    pub(crate) fn get(&mut self, id: u32) -> Result<u64, Status> {
        let metric = self.metric(id)?;
        if metric.kind == HISTOGRAM { Err(Status::BAD_ARGUMENT) } else { Ok(metric.value) }
    }

    pub(crate) fn named(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|metric| metric.name == name.as_bytes()).map(|metric| metric.value)
    }

    pub(crate) fn nonzero(&self) -> Vec<(String, u64)> {
        let mut all: Vec<_> = self
            .0
            .iter()
            .filter(|metric| metric.value != 0)
            .map(|metric| (String::from_utf8_lossy(&metric.name).into_owned(), metric.value))
            .collect();
        all.sort();
        all
    }

    fn metric(&mut self, id: u32) -> Result<&mut Metric, Status> {
        let position = usize::try_from(id >> 2).map_err(|_| Status::NOT_FOUND)?;
        self.0.get_mut(position).filter(|metric| metric.kind == id & 3).ok_or(Status::NOT_FOUND)
    }
}
