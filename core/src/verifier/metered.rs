//! What has a price: who owes it, by which terms, and what the agent has signed for it.

use super::Verifier;
use super::permit::{Credential, Identity};
use super::prove::Proven;
use crate::denial::Denial;
use crate::modei::{CatalogPin, Passport};
use crate::proof::Proof;
use crate::reason::Reason;
use crate::receipt::{Consumer, MAX_ATTACHMENT, Rate, chain_claims_in, check_request};
use alloc::boxed::Box;
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
    /// `catalog_pin_missing`, `proof_missing`, `proof_predates_gate`.
    #[inline(never)]
    pub(super) fn price(
        &self,
        credential: &Credential,
        action: &str,
        proven: Option<&Proven>,
    ) -> Result<Option<Rate>, Denial> {
        let Some(pin) = credential.passport().and_then(|passport| self.own_pin(passport)) else {
            if self.snapshot.states_price(action) {
                let detail = format!("{action} has a price, and the credential has agreed to none");
                return Err(Denial::new(Reason::CatalogPinMissing, detail));
            }
            return Ok(None);
        };
        // Where the version has no price it has offered the action for nothing: who has issued the
        // passport is this gate, and it grants nothing that the version does not offer.
        let Some(price) = self.snapshot.price_at(action, pin.version) else { return Ok(None) };
        let Some(proven) = proven else {
            let detail = format!("{action} has a price, and the request is not signed by the agent");
            return Err(Denial::new(Reason::ProofMissing, detail));
        };
        // At every profile: it would be paid for twice.
        self.check_made_since_start(proven.proof())?;
        Ok(Some(price))
    }

    /// The version of this gate's catalog that a passport is pinned to.
    pub(super) fn own_pin<'p>(&self, passport: &'p Passport) -> Option<&'p CatalogPin> {
        passport.catalog_pin_by(self.snapshot.gate())
    }

    /// What is kept of a request that owes this.
    ///
    /// # Errors
    /// `proof_malformed` for a proof that cannot be kept, or that a ledger would not know again.
    #[inline(never)]
    pub(super) fn meter(
        &self,
        rate: Rate,
        identity: &Identity,
        proven: Option<&Proven>,
    ) -> Result<Option<Box<Metered>>, Denial> {
        let (Some(passport), Some(proven)) = (identity.passport(), proven) else { return Ok(None) };
        let Some(pin) = self.own_pin(passport) else { return Ok(None) };
        let (proof, key) = (proven.proof(), passport.public_key());
        let malformed = |detail| Denial::new(Reason::ProofMalformed, detail);
        let agent = Consumer::new(identity, *key);
        let base = core::str::from_utf8(proof.base()).unwrap_or_default();
        let shown = check_request(base, &agent, pin, (proof.nonce(), proof.created()), chain_claims_in)
            .map_err(|_| malformed("what it signs would not be known again as this agent's"))?;
        if written_length(base) > MAX_BASE.min(shown.passport_length.saturating_add(MAX_BESIDE_PASSPORT)) {
            return Err(malformed("what it signs is longer than what is kept of a request that has a price"));
        }
        Ok(Some(Box::new(Metered { rate, pin: pin.clone(), agent_key: *key, proof: proof.clone() })))
    }
}

/// How much of that may be anything else than the line with the passport. Each use is kept whole until
/// the service has it, and the path is the agent's to choose.
const MAX_BESIDE_PASSPORT: usize = 8 * 1024;

/// How long this is as a JSON string.
fn written_length(base: &str) -> usize {
    let written = |byte| match byte {
        b'"' | b'\\' | b'\n' => 2,
        ..b' ' => 6,
        _ => 1,
    };
    base.bytes().map(written).fold(0, usize::saturating_add)
}

impl Metered {
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

    /// What the agent has signed: text, at most 8 KiB and its passport, and 56 KiB as a JSON string.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }
}

#[cfg(test)]
mod tests {
    use crate::modei::{CatalogPin, Draft, Issuer, RootKind, issue_pinned};
    use crate::{
        Config, CredentialCache, LocalMemory, Process, ProofDraft, RequestHead, SecretKey, Snapshot, Step,
        UnixTime, Verifier, base64,
    };

    use alloc::format;
    use alloc::vec::Vec;

    const NOW: UnixTime = UnixTime::from_millis(1_771_943_400_000);

    /// What a ledger would not know again is refused before it is used, whatever made the two differ.
    #[test]
    fn a_proof_that_does_not_show_who_pays_is_refused() {
        let (gate, agent) = (SecretKey::from_seed([8; 32]), SecretKey::from_seed([1; 32]));
        let config = format!(
            r#"{{"gate":{{"id":"gate_test"}},"profile":"L1","authorities":["api.example"],
            "routes":[{{"path":"/paid","methods":["GET"],"action":"paid"}}],
            "catalog_hashes":["{hash}"],"catalog_prices":{{"paid":[{{"since":1,"model":"per_call","cents":5}}]}},
            "trust":{{"issuers":[{{"id":"gate_test","type":"gate","tier":3,"actions":["*"],
            "keys":[{{"key_id":"k1","public_key":"{key}"}}]}}]}}}}"#,
            hash = "11".repeat(32),
            key = base64::encode(&gate.public_key()),
        );
        let snapshot = Snapshot::new(&Config::from_json(config.as_bytes()).unwrap()).unwrap();
        let process = Process::new([1; 32], NOW);
        let verifier = Verifier::new(&snapshot).with_process(&process);
        let mut memory = LocalMemory::new(&process);
        let begin = |passport_id: &str| {
            let draft = Draft {
                passport_id: passport_id.into(),
                agent_name: None,
                permissions: Vec::from([("paid".into(), Default::default())]),
                issued_at: NOW,
                expires_at: NOW.plus_millis(60_000),
                delegation_authority: false,
            };
            let by = Issuer {
                kind: RootKind::Gate,
                id: "gate_test".into(),
                key_id: "k1".into(),
                gate_id: Some("gate_test".into()),
            };
            let pin = CatalogPin { version: 1, content_hash: "11".repeat(32) };
            let passport =
                issue_pinned(&gate, &by, "bot", &agent.public_key(), &draft, Some(&pin)).to_header();
            let proof = ProofDraft {
                method: "GET",
                authority: "api.example",
                path: "/paid",
                query: None,
                credential: ("agent-passport", &passport),
                body: None,
                key_id: "bot",
                created: NOW,
                expires: None,
                nonce: "AAAAAAAAAAAAAAAAAAAAAA",
            };
            let signed = proof.sign(&agent);
            let mut headers: Vec<(&[u8], &[u8])> =
                Vec::from([(b"agent-passport".as_slice(), passport.as_bytes())]);
            headers.extend(signed.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
            let (method, authority, path) = (b"GET", b"api.example", b"/paid");
            let head = RequestHead { method, authority, path, headers: &headers, source: None };
            let mut memory = LocalMemory::new(&process);
            match verifier.begin(&head, NOW, &mut CredentialCache::new(0), &mut memory) {
                Step::NeedBody(pending) => Some(pending),
                _ => None,
            }
        };
        let (mut pending, other) = (begin("pp_1").unwrap(), begin("pp_2").unwrap());
        pending.identity = other.identity;
        let reason = match verifier.finish(pending, NOW, &mut memory) {
            Step::Deny(refused) => refused.denial.reason.code(),
            _ => "",
        };
        assert_eq!(reason, "proof_malformed");
        // Nothing was used by that.
        let pending = begin("pp_1").unwrap();
        assert!(matches!(verifier.finish(pending, NOW, &mut memory), Step::Permit(_)));
    }
}
