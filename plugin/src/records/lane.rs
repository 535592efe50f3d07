//! How far a lane has come: what workers share of it, and change by compare-and-swap.

use crate::fault::{HostFault, Place, Problem};
use crate::shared::{Store, get, replace};
use alloc::vec::Vec;
use portcullis_core::attestation::Known;

/// A lane as it stands. Positions count from 0; a record's number is its position and one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Lane {
    /// Whether the service has opened it.
    pub(super) is_open: bool,
    /// The service has verifiably taken all records below this position.
    pub(super) acked: u64,
    /// The chain's hash there.
    pub(super) hash: [u8; 32],
    /// Where the batch under way ends; `acked` where there is none. A batch that is sent again
    /// ends where it ended, so that the service knows it again.
    pub(super) end: u64,
    /// Until this time, in milliseconds since 1970, nobody else sends.
    pub(super) until: i64,
    /// Failures in a row.
    pub(super) failures: u32,
    /// The log, as the service last proved it, once it is open.
    pub(super) log: Known,
}

impl Default for Lane {
    fn default() -> Self {
        Lane {
            is_open: false,
            acked: 0,
            hash: [0; 32],
            end: 0,
            until: 0,
            failures: 0,
            log: Known { size: 0, root: [0; 32] },
        }
    }
}

/// A lane and the CAS of what was read.
pub(super) type Seen = (Lane, Option<u32>);

impl Lane {
    /// Whether a batch, or the opening, is on its way by somebody's doing at `now`. A clock that
    /// was set back must not stop a lane for long.
    pub(super) fn is_busy(&self, now: i64, longest: i64) -> bool {
        now < self.until && self.until <= now.saturating_add(longest)
    }

    /// Reads it; a lane that nobody wrote down is at its beginning.
    pub(super) fn read(store: &mut impl Store, name: &str) -> Result<Seen, HostFault> {
        match get(store, name)? {
            None => Ok((Lane::default(), None)),
            // Never taken for the beginning: numbers would be given out twice.
            Some((bytes, cas)) => match Lane::decode(&bytes) {
                Some(lane) => Ok((lane, Some(cas))),
                _ => Err(HostFault::new(Place::GetSharedData, Problem::OtherValue)),
            },
        }
    }

    /// Writes it in the place of what was read with this CAS. The CAS that it has then; `None`
    /// where somebody else was first.
    pub(super) fn write(
        &self,
        store: &mut impl Store,
        name: &str,
        cas: Option<u32>,
    ) -> Result<Option<u32>, HostFault> {
        let bytes = self.encode();
        if !replace(store, name, &bytes, cas)? {
            return Ok(None);
        }
        // Another may have written since: then it is not this worker's any more.
        Ok(get(store, name)?.filter(|(there, _)| *there == bytes).map(|(_, cas)| cas))
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SIZE);
        bytes.push(u8::from(self.is_open));
        for number in [self.acked, self.end, self.until.cast_unsigned(), self.failures.into(), self.log.size]
        {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.hash);
        bytes.extend_from_slice(&self.log.root);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (is_open, rest) = bytes.split_first()?;
        let (numbers, hashes) = rest.split_first_chunk::<40>()?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|number| u64::from_le_bytes(*number));
        let lane = Lane {
            is_open: *is_open == 1,
            acked: numbers.next()?,
            end: numbers.next()?,
            until: numbers.next()?.cast_signed(),
            failures: u32::try_from(numbers.next()?).ok()?,
            log: Known { size: numbers.next()?, root: *hashes.last_chunk()? },
            hash: *hashes.first_chunk()?,
        };
        (bytes.len() == SIZE && lane.acked <= lane.end).then_some(lane)
    }
}

/// A flag, five numbers, two hashes.
const SIZE: usize = 1 + 5 * 8 + 2 * 32;

/// Decisions that found no room, as workers count them together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Dropped {
    /// All of them.
    pub(super) count: u64,
    /// Those that a record tells of.
    pub(super) told: u64,
    /// When the first and the last came of those that none tells of, in milliseconds.
    pub(super) first: i64,
    pub(super) last: i64,
}

/// How often a count is read and changed before it is given up: as often as two workers meet
/// in a row, eight times, hosts do not count.
const TRIES: u32 = 8;

impl Dropped {
    /// The count of a gate.
    pub(super) fn read(store: &mut impl Store, name: &str) -> Result<(Self, Option<u32>), HostFault> {
        let Some((bytes, cas)) = get(store, name)? else { return Ok((Dropped::default(), None)) };
        let (numbers, _) = bytes.as_chunks::<8>();
        match numbers {
            [count, told, first, last] => Ok((
                Dropped {
                    count: u64::from_le_bytes(*count),
                    told: u64::from_le_bytes(*told),
                    first: i64::from_le_bytes(*first),
                    last: i64::from_le_bytes(*last),
                },
                Some(cas),
            )),
            _ => Err(HostFault::new(Place::GetSharedData, Problem::OtherValue)),
        }
    }

    /// Changes the count as `change` says, unless that is not at all. What it was before.
    pub(super) fn change(
        store: &mut impl Store,
        name: &str,
        change: &mut dyn FnMut(&mut Dropped) -> bool,
    ) -> Result<Option<Dropped>, HostFault> {
        for _ in 0..TRIES {
            let (before, cas) = Self::read(store, name)?;
            let mut after = before;
            if !change(&mut after) {
                return Ok(None);
            }
            let bytes = [
                after.count.to_le_bytes(),
                after.told.to_le_bytes(),
                after.first.to_le_bytes(),
                after.last.to_le_bytes(),
            ];
            let bytes = bytes.as_flattened();
            if replace(store, name, bytes, cas)? {
                return Ok(Some(before));
            }
        }
        Err(HostFault::new(Place::SetSharedData, Problem::ValueChanges))
    }
}
