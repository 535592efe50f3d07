//! Whose turn it is to ask the service: one worker's at a time.

use super::store::Names;
use crate::fault::HostFault;
use crate::host;
use crate::shared::{HostStore, create, get, set};
use alloc::string::String;
use portcullis_core::UnixTime;

/// How long the lease lasts from its last renewal. Its holder renews it five times in that
/// time; after a holder that died, another follows within a second.
const LEASE_MS: i64 = 800;

/// A worker's view of the lease.
pub(super) struct Lease {
    name: String,
    me: [u8; 8],
    held: bool,
}

/// Who holds the lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Held {
    /// This worker, since now.
    Taken,
    /// This worker, as before.
    Kept,
    /// Another one.
    ByAnother,
}

impl Lease {
    /// The lease of a gate.
    pub(super) fn new(names: &Names) -> Result<Self, HostFault> {
        let mut me = [0; 8];
        host::random(&mut me)?;
        Ok(Lease { name: names.of_part("lease"), me, held: false })
    }

    /// Whether this worker had it at its last look.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// Renews the lease, or takes it if nobody has it.
    pub(super) fn hold(&mut self, now: UnixTime) -> Result<Held, HostFault> {
        let before = core::mem::replace(&mut self.held, false);
        let Some((value, cas)) = self.read()? else {
            create(&mut HostStore, &self.name, &self.value(now))?;
            self.held = self.read()?.is_some_and(|(value, _)| value.holder == self.me);
            return Ok(if self.held { Held::Taken } else { Held::ByAnother });
        };
        let mine = value.holder == self.me;
        // A clock that was set back must not leave it with a dead worker for long.
        let runs = now.as_millis() < value.until && value.until <= now.as_millis().saturating_add(LEASE_MS);
        if !mine && runs {
            return Ok(Held::ByAnother);
        }
        self.held = set(&mut HostStore, &self.name, &self.value(now), cas)?;
        Ok(match self.held {
            true if mine && before => Held::Kept,
            true => Held::Taken,
            false => Held::ByAnother,
        })
    }

    fn value(&self, now: UnixTime) -> [u8; 16] {
        let mut bytes = [0; 16];
        let (holder, until) = bytes.split_at_mut(8);
        holder.copy_from_slice(&self.me);
        until.copy_from_slice(&now.plus_millis(LEASE_MS).as_millis().to_le_bytes());
        bytes
    }

    /// A value of another form is nobody's.
    fn read(&self) -> Result<Option<(Value, u32)>, HostFault> {
        let Some((bytes, cas)) = get(&mut HostStore, &self.name)? else { return Ok(None) };
        let value = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(holder), Some(until)) if bytes.len() == 16 => {
                Value { holder: *holder, until: i64::from_le_bytes(*until) }
            }
            _ => Value { holder: [0; 8], until: 0 },
        };
        Ok(Some((value, cas)))
    }
}

struct Value {
    holder: [u8; 8],
    until: i64,
}
