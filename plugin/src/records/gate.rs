//! A gate's decisions, as it records them.

use super::Weight;
use super::entry::{Entry, Target};
use crate::host::{self, HostFault, Map};
use crate::pairs::Head;
use crate::request::Refusal;
use crate::root::Gate;
use alloc::string::{String, ToString};
use portcullis_core::attestation::{AccessMode, Decision, Unsigned};
use portcullis_core::live::hex;
use portcullis_core::{AttestPolicy, Mode, Permit};

/// What became of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kept {
    /// The gate makes none of this.
    Off,
    /// It has this position.
    At(u64),
    /// There was no room, which was counted.
    NoRoom,
}

/// How long a person has to approve of what is held.
const HOLD_MS: i64 = 5 * 60_000;

/// The header by which an upstream is told the attestation's id.
const ID_HEADER: &str = "x-gate-attestation-id";

impl Gate {
    /// Records a request that goes on, and tells the upstream the id.
    pub(crate) fn record_permit(&self, permit: &Permit, head: &Head<'_>) -> Result<Kept, HostFault> {
        // Nobody was let in or kept out there.
        if permit.access() == AccessMode::Public {
            return Ok(Kept::Off);
        }
        let entry = Entry {
            decision: Decision::Allow,
            denial: None,
            mode: permit.route().mode(),
            access: permit.access(),
            identity: permit.identity(),
            route: Some(permit.route()),
            evaluations: permit.evaluations(),
            target: &Target::of(head),
            held: None,
        };
        let Some(record) = self.draft(&entry)? else { return Ok(Kept::Off) };
        host::set_request_header(ID_HEADER, record.id())?;
        let kept = self.keep(&record, Weight::Permit)?;
        if kept == Kept::NoRoom {
            // There is no such record.
            host::remove_header(Map::RequestHeaders, ID_HEADER.as_bytes())?;
        }
        Ok(kept)
    }

    /// Records a request that does not go on, or would not. The record's id, and the approval's
    /// where a person must approve; `None` where there is no record.
    pub(crate) fn record_refusal(
        &self,
        refusal: &Refusal,
        target: &Target,
    ) -> Result<(Option<String>, Option<String>), HostFault> {
        let refused = refusal.refused();
        let held = match refusal {
            Refusal::Held(held) if refused.mode == Mode::Enforce => {
                let approval = ["appr_", &hex(&random()?)].concat();
                Some((held.as_ref(), approval, host::now()?.plus_millis(HOLD_MS)))
            }
            _ => None,
        };
        let entry = Entry {
            decision: if held.is_some() { Decision::RequestHold } else { Decision::Block },
            denial: Some(&refused.denial),
            mode: refused.mode,
            access: refused.access,
            identity: refused.identity.as_ref(),
            route: refused.route.as_deref(),
            evaluations: &refused.evaluations,
            target,
            held,
        };
        let Some(record) = self.draft(&entry)? else { return Ok((None, None)) };
        Ok(match self.keep(&record, Weight::Refusal)? {
            Kept::At(_) => (Some(record.id().to_string()), entry.held.map(|(_, approval, _)| approval)),
            Kept::Off | Kept::NoRoom => (None, None),
        })
    }

    /// Whether the service has the record of this position.
    pub(crate) fn is_recorded(&self, position: u64) -> Result<bool, HostFault> {
        let records = self.records.as_ref().ok_or(REENTERED)?;
        records.try_borrow_mut().map_err(|_| REENTERED)?.is_acked(position)
    }

    fn draft(&self, entry: &Entry<'_>) -> Result<Option<Unsigned>, HostFault> {
        if self.records.is_none() || self.snapshot.attest() == AttestPolicy::Off {
            return Ok(None);
        }
        Ok(Some(entry.unsigned(&self.snapshot, host::now()?, random()?)))
    }

    fn keep(&self, record: &Unsigned, weight: Weight) -> Result<Kept, HostFault> {
        let Some(records) = &self.records else { return Ok(Kept::Off) };
        let mut records = records.try_borrow_mut().map_err(|_| REENTERED)?;
        let now = host::now()?;
        let Some(position) = records.keep(record, weight, now)? else { return Ok(Kept::NoRoom) };
        if self.snapshot.attest() == AttestPolicy::BeforeAllow
            && let Some(line) = &self.line
        {
            // Somebody waits for it.
            records.deliver(line, now, 1);
        }
        Ok(Kept::At(position))
    }
}

fn random() -> Result<[u8; 16], HostFault> {
    let mut bytes = [0; 16];
    host::random(&mut bytes)?;
    Ok(bytes)
}

const REENTERED: HostFault = HostFault::Answer("the host", "called the gate while it was deciding");
