//! A gate's decisions, as it records them.

use super::Weight;
use super::entry::{Entry, Target};
use crate::fault::{HostFault, Place, Problem};
use crate::host::{self, Map};
use crate::request::Refusal;
use crate::root::Gate;
use alloc::string::{String, ToString};
use portcullis_core::attestation::{AccessMode, Decision, ReceiptName, Unsigned};
use portcullis_core::live::hex;
use portcullis_core::receipt::{Attachment, MAX_ATTACHMENT, MAX_RECEIPT, Receipt};
use portcullis_core::{AttestPolicy, Identity, Mode, Permit, sha256};

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
    /// Records a request that goes on, and tells the upstream the id. What became of the record, and
    /// the id, empty where there is none.
    pub(crate) fn record_permit(
        &self,
        permit: &Permit,
        target: &Target,
    ) -> Result<(Kept, String), HostFault> {
        // Nobody was let in or kept out there.
        if permit.access() == AccessMode::Public {
            return Ok((Kept::Off, String::new()));
        }
        let entry = Entry {
            decision: Decision::Allow,
            denial: None,
            mode: permit.route().mode(),
            access: permit.access(),
            identity: permit.identity(),
            route: Some(permit.route()),
            evaluations: permit.evaluations(),
            target,
            held: None,
            receipt: None,
        };
        let Some(record) = self.draft(&entry)? else { return Ok((Kept::Off, String::new())) };
        host::set_request_header(ID_HEADER, record.id())?;
        let weight = if permit.metered().is_some() { Weight::Metered } else { Weight::Permit };
        let kept = self.keep(&record, "", weight)?;
        if kept == Kept::NoRoom {
            // There is no such record.
            host::remove_header(Map::RequestHeaders, ID_HEADER.as_bytes())?;
            return Ok((kept, String::new()));
        }
        Ok((kept, record.id().to_string()))
    }

    /// Signs the receipt of a use, and queues it with its record; its text. `base` is what the agent
    /// has signed.
    pub(crate) fn record_use(
        &self,
        receipt: &Receipt,
        base: &str,
        identity: &Identity,
        target: &Target,
    ) -> Result<String, HostFault> {
        let text = {
            let records = self.records.as_ref().ok_or(REENTERED)?;
            receipt.sign(records.try_borrow().map_err(|_| REENTERED)?.signer())
        };
        let name = ReceiptName { id: receipt.id, sha256: sha256(text.as_bytes()) };
        let entry = Entry {
            decision: Decision::Consumption,
            denial: None,
            mode: identity.route().mode(),
            access: AccessMode::Credential,
            identity: Some(identity),
            route: Some(identity.route()),
            evaluations: &[],
            target,
            held: None,
            receipt: Some((name, receipt.charge.total_cents())),
        };
        let record = entry.unsigned(&self.snapshot, receipt.issued_at, random()?);
        let attachment = Attachment { base: base.to_string(), receipt: text };
        let line = attachment.to_json();
        // One that the service could not read would stop the lane for good. What else it asks of a
        // receipt, all that are made have.
        if line.len() > MAX_ATTACHMENT || attachment.receipt.len() > MAX_RECEIPT {
            return Err(UNREADABLE);
        }
        match self.keep(&record, &line, Weight::Receipt)? {
            Kept::At(_) => Ok(attachment.receipt),
            Kept::Off | Kept::NoRoom => Err(FULL),
        }
    }

    /// Counts a record that could not be made.
    pub(crate) fn lose_record(&self) {
        if let Some(Ok(mut records)) = self.records.as_ref().map(|records| records.try_borrow_mut())
            && let Ok(now) = host::now()
        {
            let _ = records.drop_one(now);
        }
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
            receipt: None,
        };
        let Some(record) = self.draft(&entry)? else { return Ok((None, None)) };
        Ok(match self.keep(&record, "", Weight::Refusal)? {
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

    fn keep(&self, record: &Unsigned, attachment: &str, weight: Weight) -> Result<Kept, HostFault> {
        let Some(records) = &self.records else { return Ok(Kept::Off) };
        let mut records = records.try_borrow_mut().map_err(|_| REENTERED)?;
        let now = host::now()?;
        let Some(position) = records.keep(record, attachment, weight, now)? else { return Ok(Kept::NoRoom) };
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

const UNREADABLE: HostFault = HostFault::new(Place::Gate, Problem::UnreadableReceipt);

const FULL: HostFault = HostFault::new(Place::Queue, Problem::NoRoom);

const REENTERED: HostFault = HostFault::new(Place::Host, Problem::Reentered);
