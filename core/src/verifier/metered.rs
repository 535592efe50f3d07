//! What has a price: who owes it, by which terms, and what the agent has signed for it.

use super::Verifier;
use super::permit::Credential;
use super::prove::Proven;
use crate::denial::Denial;
use crate::modei::CatalogPin;
use crate::proof::Proof;
use crate::reason::Reason;
use crate::receipt::{MAX_ATTACHMENT, Rate};
use alloc::format;

/// What the use of an action is charged by: of a request that may pass and has a price.
#[derive(Clone, Debug)]
pub struct Metered {
    rate: Rate,
    pin: CatalogPin,
    agent_key: [u8; 32],
    proof: Proof,
}

/// The longest signature base that is kept with a receipt, in bytes as a JSON string has them:
/// of what both may take together, 8 KiB are the receipt's, whose ids have at most 256 characters.
const MAX_BASE: usize = MAX_ATTACHMENT.saturating_sub(8 * 1024);

impl Verifier<'_> {
    /// What the holder of a credential owes for an action that it was granted, by the version of the
    /// catalog that it is pinned to. Who owes must have signed the request.
    ///
    /// # Errors
    /// `catalog_pin_missing`, `proof_missing`; `proof_malformed` for one that cannot be kept.
    #[inline(never)]
    pub(super) fn price(
        &self,
        credential: &Credential,
        action: &str,
        proven: Option<&Proven>,
    ) -> Result<Option<Rate>, Denial> {
        let Some(pin) = credential.catalog_pin() else {
            if self.snapshot.states_price(action) {
                let detail = format!("{action} has a price, and the credential has agreed to none");
                return Err(Denial::new(Reason::CatalogPinMissing, detail));
            }
            return Ok(None);
        };
        let Some(price) = self.snapshot.price_at(action, pin.version) else { return Ok(None) };
        let Some(proven) = proven else {
            let detail = format!("{action} has a price, and the request is not signed by the agent");
            return Err(Denial::new(Reason::ProofMissing, detail));
        };
        if written_length(proven.proof().base()) > MAX_BASE {
            let detail = "what it signs is longer than what is kept of a request that has a price";
            return Err(Denial::new(Reason::ProofMalformed, detail));
        }
        Ok(Some(price))
    }
}

/// How long these bytes are as a JSON string; of what is no text, longer than any.
fn written_length(base: &[u8]) -> usize {
    if core::str::from_utf8(base).is_err() {
        return usize::MAX;
    }
    let written = |byte: &u8| match byte {
        b'"' | b'\\' | b'\n' => 2,
        ..b' ' => 6,
        _ => 1,
    };
    base.iter().map(written).fold(0, usize::saturating_add)
}

impl Credential {
    fn catalog_pin(&self) -> Option<&CatalogPin> {
        match self {
            Credential::Passport(_, passport) => passport.catalog_pin(),
            Credential::Badge(_) | Credential::SimpleGuard(_) => None,
        }
    }
}

impl Metered {
    /// `None` for a credential without a pin, and a request without a proof: neither has a price.
    pub(super) fn new(rate: Rate, credential: &Credential, proven: Option<&Proven>) -> Option<Self> {
        let Credential::Passport(_, passport) = credential else { return None };
        let (pin, proof) = (passport.catalog_pin()?.clone(), proven?.proof().clone());
        Some(Metered { rate, pin, agent_key: *passport.public_key(), proof })
    }

    /// What it costs.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// The version of the catalog that says so.
    pub fn pin(&self) -> &CatalogPin {
        &self.pin
    }

    /// The Ed25519 key of the agent, by which the proof is.
    pub fn agent_key(&self) -> &[u8; 32] {
        &self.agent_key
    }

    /// What the agent has signed: text, at most 56 KiB as a JSON string.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }
}
