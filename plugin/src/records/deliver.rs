//! Delivery: a batch at a time, by whichever worker finds none under way.
//!
//! A worker that dies with a batch on its way leaves its bounds in the lane. When its time is
//! over another signs the same records again, to the same bytes, and sends them; the service
//! knows them again. Records are forgotten once the service has proved that they are in its log.

use super::Records;
use super::item::unpack;
use super::lane::{Dropped, Lane};
use super::ring::{self, Weight};
use crate::fault::{HostFault, Place, Problem};
use crate::host;
use crate::live::{LONGEST_BACKOFF_MS, Line, Trouble, answered, backoff};
use crate::metrics::{Gauge, RecordEvent};
use crate::shared::HostStore;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::RefCell;
use portcullis_core::UnixTime;
use portcullis_core::attestation::{
    BatchAnswer, BatchHead, Checkpoint, Known, LaneAnswer, LaneQuestion, MAX_BATCH_BYTES, leaf,
    verify_batch_answer,
};
use portcullis_core::live::LiveTrust;

/// Records of a batch. Signing one takes some 50 us of the worker's thread, on which requests
/// wait meanwhile.
const BATCH: u64 = 128;

/// Bytes of a batch: what the service takes, without 12 KiB for its first line.
const BATCH_BYTES: usize = MAX_BATCH_BYTES - 12 * 1024;

/// From so many on, a batch follows the one before at once, and not with the next tick: a call
/// costs as much as two signatures, and is paid for each batch.
const AT_ONCE: u64 = 64;

/// How long a call may take.
const DEADLINE_MS: u32 = 5_000;

/// When a call is given up that the host never ended.
const LOST_MS: i64 = 6_000;

/// What this worker has on its way.
pub(super) struct Flight {
    token: u32,
    /// As it stands in the shared data.
    lane: Lane,
    cas: u32,
    sent: Sent,
}

enum Sent {
    Opening,
    /// The chain's hash at the batch's end, the log's leaves, and the positions of records that are
    /// too long to stay where they are.
    Batch([u8; 32], Vec<[u8; 32]>, Vec<u64>),
}

impl Records {
    /// Sends what waits, if it is `least` records or more, unless some worker is sending.
    pub(crate) fn deliver(&mut self, line: &Line, now: UnixTime, least: u64) {
        // A call that its host forgets must not end all sending.
        if self.flight.as_ref().is_some_and(|flight| flight.lane.is_busy(now.as_millis(), LOST_MS)) {
            return;
        }
        self.flight = None;
        if let Err(fault) = self.begin(line, now, least) {
            self.note(fault.into());
        }
    }

    /// Takes the answer to a call, of `size` bytes. Whether it was one of records.
    pub(crate) fn answered(
        &mut self,
        token: u32,
        size: usize,
        trust: &RefCell<LiveTrust>,
        line: &Line,
    ) -> bool {
        let Some(flight) = self.flight.take_if(|flight| flight.token == token) else { return false };
        let Ok(now) = host::now() else { return true };
        let answer = answered(size).and_then(|body| self.accept(&flight, &body, trust, now));
        match answer {
            Ok(lane) => match lane.write(&mut HostStore, &self.lane_name, Some(flight.cas)) {
                Ok(written) => {
                    if written.is_some() {
                        let number = lane.acked.saturating_sub(flight.lane.acked);
                        self.metrics.count_records(RecordEvent::Delivered, number);
                    }
                    self.acked = self.acked.max(lane.acked);
                    self.good();
                    self.clear(&flight.sent);
                    self.deliver(line, now, AT_ONCE);
                }
                Err(fault) => self.note(fault.into()),
            },
            Err(trouble) => {
                self.note(trouble);
                let lane = Lane {
                    until: now.plus_millis(backoff(flight.lane.failures)).as_millis(),
                    failures: flight.lane.failures.saturating_add(1),
                    ..flight.lane
                };
                if let Err(fault) = lane.write(&mut HostStore, &self.lane_name, Some(flight.cas)) {
                    self.note(fault.into());
                }
            }
        }
        true
    }

    /// Takes long records out of the queue that were sent, unless others send them again. What fails
    /// leaves them until the ring comes round.
    fn clear(&self, sent: &Sent) {
        let Sent::Batch(_, _, long) = sent else { return };
        let acked = Lane::read(&mut HostStore, &self.lane_name).map_or(0, |(lane, _)| lane.acked);
        for position in long.iter().filter(|position| **position < acked) {
            let _ = ring::clear(&mut HostStore, &self.names, *position);
        }
    }

    fn begin(&mut self, line: &Line, now: UnixTime, least: u64) -> Result<(), HostFault> {
        let store = &mut HostStore;
        let (lane, cas) = Lane::read(store, &self.lane_name)?;
        self.acked = self.acked.max(lane.acked);
        self.metrics.show(Gauge::Queue, ring::tail(store, &self.names)?.saturating_sub(lane.acked));
        let millis = now.as_millis();
        if lane.is_busy(millis, LONGEST_BACKOFF_MS.saturating_add(LOST_MS)) {
            return Ok(());
        }
        self.tell_of_dropped(now)?;
        let tail = ring::tail(store, &self.names)?;
        if lane.end == lane.acked && tail.saturating_sub(lane.acked) < least {
            return Ok(());
        }
        let until = now.plus_millis(LOST_MS).as_millis();
        let claimed = Lane { until, end: self.end_of_batch(&lane)?, ..lane };
        if claimed.is_open && claimed.end == claimed.acked {
            return Ok(());
        }
        // Somebody else was first.
        let Some(cas) = claimed.write(store, &self.lane_name, cas)? else { return Ok(()) };
        let sent =
            if claimed.is_open { self.send_batch(&claimed, line, tail, now) } else { self.open(line, now) };
        match sent {
            Ok((token, sent)) => {
                self.flight = Some(Flight { token, lane: claimed, cas, sent });
                Ok(())
            }
            Err(fault) => {
                let failures = claimed.failures.saturating_add(1);
                let until = now.plus_millis(backoff(claimed.failures)).as_millis();
                Lane { until, failures, ..claimed }.write(store, &self.lane_name, Some(cas))?;
                Err(fault)
            }
        }
    }

    /// Where a batch from `acked` on ends: where it ended when it was last sent, or with the last
    /// record that there is.
    fn end_of_batch(&self, lane: &Lane) -> Result<u64, HostFault> {
        if lane.end > lane.acked || !lane.is_open {
            return Ok(lane.end);
        }
        let (mut end, mut bytes) = (lane.acked, 0_usize);
        while end.saturating_sub(lane.acked) < BATCH {
            let Some(item) = ring::read(&mut HostStore, &self.names, end)? else { break };
            // What signing adds.
            bytes = bytes.saturating_add(item.len()).saturating_add(400);
            // None alone is longer.
            if bytes > BATCH_BYTES {
                break;
            }
            end = end.saturating_add(1);
        }
        Ok(end)
    }

    fn open(&self, line: &Line, now: UnixTime) -> Result<(u32, Sent), HostFault> {
        let attestation_key_id = self.signer.key_id().to_string();
        let question = LaneQuestion { lane: self.lane, attestation_key_id }.to_json();
        let token = line.post("lanes", question.as_bytes(), None, DEADLINE_MS, now)?;
        Ok((token, Sent::Opening))
    }

    fn send_batch(
        &self,
        lane: &Lane,
        line: &Line,
        waiting: u64,
        now: UnixTime,
    ) -> Result<(u32, Sent), HostFault> {
        let (dropped, _) = Dropped::read(&mut HostStore, &self.dropped_name)?;
        let head = BatchHead { lane: self.lane, waiting, dropped: dropped.count, known: Some(lane.log) };
        let mut body = head.to_json();
        body.push('\n');
        let (mut hash, mut leaves, mut long) = (lane.hash, Vec::new(), Vec::new());
        for position in lane.acked..lane.end {
            let item = ring::read(&mut HostStore, &self.names, position)?;
            if item.as_ref().is_some_and(|item| item.len() > ring::STAYS) {
                long.push(position);
            }
            let item = item.as_deref().and_then(unpack).ok_or(LOST)?;
            let signed = item.record.sign(&self.lane, position.saturating_add(1), &hash, &self.signer);
            body.push_str(&signed.text);
            body.push('\n');
            if !item.attachment.is_empty() {
                body.push_str(item.attachment);
                body.push('\n');
            }
            hash = signed.chain_hash;
            leaves.push(leaf(&signed.chain_hash, &signed.signature));
        }
        let token = line.post("attestations", body.as_bytes(), None, DEADLINE_MS, now)?;
        Ok((token, Sent::Batch(hash, leaves, long)))
    }

    /// The lane as it stands after an answer that proves what it says.
    fn accept(
        &self,
        flight: &Flight,
        body: &[u8],
        trust: &RefCell<LiveTrust>,
        now: UnixTime,
    ) -> Result<Lane, Trouble> {
        let trust = trust.try_borrow().map_err(|_| REENTERED)?;
        let lane = Lane { until: 0, failures: 0, ..flight.lane };
        match &flight.sent {
            Sent::Opening => {
                let opened = LaneAnswer::read(body)?;
                let log =
                    Checkpoint::read(&opened.checkpoint, trust.gate(), trust.service_keys(), Some(now))?;
                if opened.next != lane.acked.saturating_add(1) {
                    return Err(OTHER_LANE.into());
                }
                let log = Known { size: log.size, root: log.root };
                Ok(Lane { is_open: true, hash: opened.previous, log, ..lane })
            }
            Sent::Batch(hash, leaves, _) => {
                let (keys, answer) = (trust.service_keys(), BatchAnswer::read(body)?);
                let log = verify_batch_answer(&answer, trust.gate(), keys, now, leaves, Some(&lane.log))?;
                Ok(Lane { acked: lane.end, hash: *hash, log, ..lane })
            }
        }
    }

    /// Tells in the lane of decisions that found no room, once there is some.
    fn tell_of_dropped(&mut self, now: UnixTime) -> Result<(), HostFault> {
        let (dropped, _) = Dropped::read(&mut HostStore, &self.dropped_name)?;
        let untold = dropped.count.saturating_sub(dropped.told);
        if untold == 0 {
            return Ok(());
        }
        // Before it is told: two that tell the same would count it twice.
        let taken = Dropped::change(&mut HostStore, &self.dropped_name, &mut |now| {
            let is_same = *now == dropped;
            now.told = now.count;
            is_same
        })?;
        if taken.is_none() {
            return Ok(());
        }
        let record = self.gap(untold, dropped.first, dropped.last, now)?;
        if ring::push(&mut HostStore, &self.names, &record, Weight::Permit, self.acked)?.is_none() {
            Dropped::change(&mut HostStore, &self.dropped_name, &mut |now| {
                now.told = now.told.saturating_sub(untold);
                now.first = dropped.first;
                true
            })?;
        }
        Ok(())
    }
}

const LOST: HostFault = HostFault::new(Place::GetSharedData, Problem::LostRecord);
const OTHER_LANE: HostFault = HostFault::new(Place::ControlService, Problem::OtherLane);
const REENTERED: HostFault = HostFault::new(Place::Host, Problem::Reentered);
