//! Records of decisions: queued for all workers before the reply leaves, signed and delivered
//! off the request's path.

mod deliver;
mod entry;
mod gate;
mod item;
mod lane;
mod ring;
#[cfg(test)]
mod tests;

use crate::fault::HostFault;
use crate::host::{self, Level};
use crate::live::Trouble;
use crate::metrics::{Metrics, RecordEvent};
use crate::shared::HostStore;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use deliver::Flight;
pub(crate) use entry::Target;
pub(crate) use gate::Kept;
use lane::{Dropped, Lane};
use portcullis_core::attestation::{self, AccessMode, Decision, Draft, LaneId, Signer, Unsigned};
use portcullis_core::{Mode, Process, SecretKey, UnixTime};
use ring::Names;
use ring::Weight;

/// A worker's part in its gate's records.
pub(crate) struct Records {
    names: Names,
    lane_name: String,
    dropped_name: String,
    gate: String,
    lane: LaneId,
    signer: Signer,
    /// The service has taken all below this position, as far as this worker knows.
    acked: u64,
    flight: Option<Flight>,
    metrics: Rc<Metrics>,
    /// Whether the last that was logged is that something is wrong.
    in_trouble: bool,
}

/// Of the key nothing is shown.
impl fmt::Debug for Records {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Records")
    }
}

impl Records {
    /// The records of a gate in this process, or in the one that workers of another layout were.
    pub(crate) fn of(
        layout: &str,
        gate: &str,
        key: &SecretKey,
        process: &Process,
        metrics: Rc<Metrics>,
    ) -> Self {
        let names = Names::of(layout, gate);
        Records {
            lane_name: names.of_part("lane"),
            dropped_name: names.of_part("dropped"),
            gate: gate.to_string(),
            lane: process.lane(gate),
            signer: Signer::new(&key.attestation_key()),
            acked: 0,
            flight: None,
            metrics,
            in_trouble: false,
            names,
        }
    }

    /// The lane of this process.
    pub(crate) fn lane(&self) -> LaneId {
        self.lane
    }

    /// By which it signs.
    pub(crate) fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Queues a record, and what is sent with it. Its position; `None` where there is no room, which
    /// is counted: of receipts, by those who try again.
    pub(crate) fn keep(
        &mut self,
        record: &Unsigned,
        attachment: &str,
        weight: Weight,
        now: UnixTime,
    ) -> Result<Option<u64>, HostFault> {
        let bytes = item::pack(record, attachment);
        let push = |acked| ring::push(&mut HostStore, &self.names, &bytes, weight, acked);
        if let Some(position) = push(self.acked)? {
            return Ok(Some(position));
        }
        self.acked = Lane::read(&mut HostStore, &self.lane_name)?.0.acked;
        if let Some(position) = push(self.acked)? {
            return Ok(Some(position));
        }
        if weight != Weight::Receipt {
            self.drop_one(now)?;
        }
        Ok(None)
    }

    /// Counts a decision that has no record.
    pub(crate) fn drop_one(&mut self, now: UnixTime) -> Result<(), HostFault> {
        self.metrics.count_records(RecordEvent::Dropped, 1);
        Dropped::change(&mut HostStore, &self.dropped_name, &mut |dropped| {
            if dropped.count == dropped.told {
                dropped.first = now.as_millis();
            }
            dropped.last = now.as_millis();
            dropped.count = dropped.count.saturating_add(1);
            true
        })
        .map(|_| ())
    }

    /// Whether the service has the record of this position.
    pub(crate) fn is_acked(&mut self, position: u64) -> Result<bool, HostFault> {
        if self.acked <= position {
            self.acked = Lane::read(&mut HostStore, &self.lane_name)?.0.acked;
        }
        Ok(self.acked > position)
    }

    /// The record of decisions that have none.
    fn gap(&self, count: u64, first: i64, last: i64, now: UnixTime) -> Result<Vec<u8>, HostFault> {
        let mut id = [0; 16];
        host::random(&mut id)?;
        let [first_at, last_at] = [first, last].map(UnixTime::from_millis);
        let draft = Draft {
            access_mode: AccessMode::None,
            agent: None,
            approval_request_id: None,
            id,
            decision: Decision::Gap,
            detail: None,
            dropped: Some(attestation::Dropped { count, first_at, last_at }),
            gate_id: self.gate.clone(),
            gate_name: None,
            guardrails: Vec::new(),
            hold: None,
            mode: Mode::Enforce,
            reason_code: None,
            receipt: None,
            request: None,
            time: now,
        };
        Ok(item::pack(&draft.unsigned(), ""))
    }

    fn note(&mut self, trouble: Trouble) {
        self.metrics.count_records(RecordEvent::Failed, 1);
        if !core::mem::replace(&mut self.in_trouble, true) {
            host::log(Level::Warn, &["records wait: ", &trouble.0].concat());
        }
    }

    fn good(&mut self) {
        if core::mem::take(&mut self.in_trouble) {
            host::log(Level::Info, "records are delivered again");
        }
    }
}
