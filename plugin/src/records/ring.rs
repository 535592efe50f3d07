//! The queue of records that wait for the control service, as the workers of a proxy share it.
//!
//! A ring of slots. A slot is taken by a write that its CAS lets through once, so that
//! positions have no gaps and no two owners, whatever workers do at the same time, and a worker
//! that dies leaves nothing half done: its record stands there whole, or not at all.

use crate::fault::{HostFault, Place, Problem};
use crate::shared::{Store, get, replace};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Records that can wait. At 1,000 requests a second the service may be away for 16 s; with
/// records of some 700 bytes that is 12 MB of the process, which no slot takes before it is needed.
pub(super) const SLOTS: u64 = 16_384;

/// Slots that permits may take. Those beyond are for receipts: as many as requests to an upstream
/// are under way at a time in Envoy, unless it is told otherwise.
pub(super) const FOR_PERMITS: u64 = SLOTS - 1024;

/// Slots that refusals may take: whoever floods a gate with what it refuses leaves a quarter
/// to what it lets through. Permits of what has a price take no more either, as each brings a
/// receipt, of some 3 KB, that must find its place whatever else goes on. A receipt has its
/// passport, 8 KiB of what its agent chooses and 8 KiB of its own at most, and each has its permit
/// beside it: 8192 come to 140 MB with passports of 1 KB, and to 420 MB with passports of five hops,
/// for as long as the service is away.
pub(super) const FOR_REFUSALS: u64 = SLOTS / 4 * 3;

/// Slots that are looked at from the hint on. Each step means that another worker took one
/// since the hint was read, or that one died before it could write the hint.
const STEPS: u64 = 64;

/// How often the hint is read: a worker whose thread was stopped for long finds that others have
/// taken more than those.
const LOOKS: u32 = 8;

/// What a record is of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Weight {
    /// A request that goes on, or what tells of a loss.
    Permit,
    /// A request that goes on, and that a receipt will follow.
    Metered,
    /// A request that does not go on.
    Refusal,
    /// What was used of a request that has gone on.
    Receipt,
}

/// The names of a gate's queue. They carry the layout, as what waits in the queue of an earlier one
/// is delivered too, and the gate.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn of(layout: &str, gate: &str) -> Self {
        Names { prefix: [layout, "records.", gate, "."].concat() }
    }

    pub(super) fn of_part(&self, part: &str) -> String {
        [&self.prefix, part].concat()
    }

    fn slot(&self, position: u64) -> String {
        format!("{}{}", self.prefix, position % SLOTS)
    }
}

/// Puts a record into the queue; answers its position, or `None` where there is no room. All
/// positions below `acked` may be written over.
pub(super) fn push(
    store: &mut impl Store,
    names: &Names,
    record: &[u8],
    weight: Weight,
    acked: u64,
) -> Result<Option<u64>, HostFault> {
    let hint = names.of_part("tail");
    let room = match weight {
        Weight::Permit => FOR_PERMITS,
        Weight::Metered | Weight::Refusal => FOR_REFUSALS,
        Weight::Receipt => SLOTS,
    };
    let end = acked.saturating_add(room);
    let mut value = Vec::with_capacity(record.len().saturating_add(8));
    value.extend_from_slice(&[0; 8]);
    value.extend_from_slice(record);
    let mut from = acked;
    for _ in 0..LOOKS {
        let (hinted, cas) = number(store, &hint)?;
        from = hinted.max(from);
        if from >= end {
            return Ok(None);
        }
        let until = end.min(from.saturating_add(STEPS));
        for position in from..until {
            if let Some(place) = value.first_chunk_mut() {
                *place = position.to_le_bytes();
            }
            if take(store, &names.slot(position), position, &value)? {
                // Blindly written, it could be set far back by one that was stopped. Where another
                // was first, or it fails, the next walks the few steps: the record stands.
                let _ = replace(store, &hint, &position.saturating_add(1).to_le_bytes(), cas);
                return Ok(Some(position));
            }
        }
        from = until;
    }
    Err(HostFault::new(Place::SetSharedData, Problem::SlotsTaken))
}

/// What may stay in its slot when it was acknowledged, in bytes, until the ring comes round: 64 MB
/// in all. What has a price brings more, and how much is its agent's to choose.
pub(super) const STAYS: usize = 4096;

/// Takes a record that was acknowledged out of its slot, which stays its own until another takes it.
pub(super) fn clear(store: &mut impl Store, names: &Names, position: u64) -> Result<(), HostFault> {
    let slot = names.slot(position);
    if let Some((value, cas)) = get(store, &slot)?
        && occupant(&value) == Some(position)
    {
        replace(store, &slot, &position.to_le_bytes(), Some(cas))?;
    }
    Ok(())
}

/// The record at a position, if there is one.
pub(super) fn read(
    store: &mut impl Store,
    names: &Names,
    position: u64,
) -> Result<Option<Vec<u8>>, HostFault> {
    let Some((mut value, _)) = get(store, &names.slot(position))? else { return Ok(None) };
    if occupant(&value) != Some(position) {
        return Ok(None);
    }
    Ok(Some(value.split_off(8)))
}

/// Writes a record into its slot, unless the slot is another's.
fn take(store: &mut impl Store, slot: &str, position: u64, value: &[u8]) -> Result<bool, HostFault> {
    let there = get(store, slot)?;
    // What lies there was acknowledged, or the position would be past the end.
    if there.as_ref().is_some_and(|(there, _)| occupant(there).is_none_or(|there| there >= position)) {
        return Ok(false);
    }
    replace(store, slot, value, there.map(|(_, cas)| cas))
}

fn occupant(value: &[u8]) -> Option<u64> {
    value.first_chunk().map(|position| u64::from_le_bytes(*position))
}

/// One past the last position that was taken, or somewhat less.
pub(super) fn tail(store: &mut impl Store, names: &Names) -> Result<u64, HostFault> {
    number(store, &names.of_part("tail")).map(|(tail, _)| tail)
}

fn number(store: &mut impl Store, name: &str) -> Result<(u64, Option<u32>), HostFault> {
    let Some((bytes, cas)) = get(store, name)? else { return Ok((0, None)) };
    Ok((occupant(&bytes).unwrap_or_default(), Some(cas)))
}
