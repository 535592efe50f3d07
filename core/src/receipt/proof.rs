//! How the agent asked for what it is charged for.

use super::reader::Reader;
use super::{Consumer, Outcome, Receipt, ReceiptError, string};
use crate::attestation::Hash;
use crate::attestation::write::time;
use crate::base64;
use crate::ed25519::{PublicKey, SignatureClaim, sha256};
use crate::json::{Object, Value, canonical_text};
use crate::live::{hex, owned, whole};
use crate::modei::{self, CatalogPin, ChainClaims};
use crate::presented::bearer_token;
use crate::time::UnixTime;
use alloc::string::{String, ToString};

/// The agent's signature over a text that stands beside the receipt, the *base*.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentProof {
    /// SHA-256 of the base.
    pub base_sha256: Hash,
    /// When it was made, by the agent's clock.
    pub created: UnixTime,
    /// What the base is.
    pub form: ProofForm,
    /// Its nonce.
    pub nonce: String,
    /// Ed25519, by the agent's key.
    pub signature: [u8; 64],
}

/// What an agent signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProofForm {
    /// `{timestamp}:{nonce}:{action}:{passport_id}`, the time in milliseconds, as Modei's clients
    /// sign it: it says nothing of quantity, outcome and payloads.
    AgentPop,
    /// [`PopDraft::canonical`]: all that it is charged by.
    AgentPopJcs,
    /// The signature base of an HTTP request (RFC 9421 section 2.5), credential included.
    Rfc9421,
}

/// What an agent signs for a use outside a gate.
#[derive(Clone, Copy, Debug)]
pub struct PopDraft<'d> {
    /// What is used.
    pub action: &'d str,
    /// The hexadecimal hash of the catalog that its passport is pinned to.
    pub catalog_content_hash: &'d str,
    /// The gate.
    pub gate_id: &'d str,
    /// Used once.
    pub nonce: &'d str,
    /// What came of it.
    pub outcome: Outcome,
    /// Its passport.
    pub passport_id: &'d str,
    /// How much: calls, minutes or units.
    pub quantity: u64,
    /// SHA-256 of what was sent, if that is said.
    pub request_payload_hash: Option<&'d Hash>,
    /// SHA-256 of what was answered, if that is said.
    pub response_payload_hash: Option<&'d Hash>,
    /// When.
    pub created: UnixTime,
}

impl PopDraft<'_> {
    /// The base of [`ProofForm::AgentPop`].
    pub fn plain(&self) -> String {
        let created = self.created.as_millis().to_string();
        [&created, self.nonce, self.action, self.passport_id].join(":")
    }

    /// The base of [`ProofForm::AgentPopJcs`]: RFC 8785, `timestamp` in milliseconds, hashes in
    /// lower-case hexadecimal or null.
    pub fn canonical(&self) -> String {
        let hash = |hash: Option<&Hash>| hash.map_or(Value::Null, |hash| owned(&hex(hash)));
        let members = [
            ("action", owned(self.action)),
            ("catalog_content_hash", owned(self.catalog_content_hash)),
            ("gate_id", owned(self.gate_id)),
            ("nonce", owned(self.nonce)),
            ("outcome", owned(self.outcome.name())),
            ("passport_id", owned(self.passport_id)),
            ("quantity", whole(self.quantity)),
            ("request_payload_hash", hash(self.request_payload_hash)),
            ("response_payload_hash", hash(self.response_payload_hash)),
            ("timestamp", Value::integer(self.created.as_millis())),
        ];
        canonical_text(&Object::from(members).into())
    }
}

/// How much earlier than the agent has asked, by its clock, a receipt may be made: clocks that any
/// gate lets pass differ by less.
const MOST_BEFORE_MS: i64 = 3_600_000;

/// How much later: no use takes more than the longest month. What a maker puts into another period
/// than the one that the agent signed in shows.
const MOST_AFTER_MS: i64 = 31 * 86_400_000;

impl ProofForm {
    const ALL: [(&'static str, ProofForm); 3] = [
        ("agent_pop", ProofForm::AgentPop),
        ("agent_pop_jcs", ProofForm::AgentPopJcs),
        ("rfc9421", ProofForm::Rfc9421),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, form)| *form == self).map_or("", |(name, _)| name)
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, form)| *form)
    }
}

impl AgentProof {
    /// Writes the member `proof`, with its comma.
    pub(super) fn write(&self, out: &mut String) {
        string(out, ",\"proof\":{\"base_sha256\":", &hex(&self.base_sha256));
        time(out, ",\"created\":", self.created);
        string(out, ",\"form\":", self.form.name());
        string(out, ",\"nonce\":", &self.nonce);
        string(out, ",\"signature\":", &base64::encode(&self.signature));
        out.push('}');
    }

    /// Reads it, with its comma.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, ReceiptError> {
        let base_sha256 = reader.member("proof.base_sha256", ",\"proof\":{\"base_sha256\":")?.hex("")?;
        let created = reader.member("proof.created", ",\"created\":")?.named(UnixTime::from_iso)?;
        let form = reader.member("proof.form", ",\"form\":")?.named(ProofForm::named)?;
        let nonce = reader.member("proof.nonce", ",\"nonce\":")?.string()?;
        let signature = reader.member("proof.signature", ",\"signature\":")?.named(base64::decode_array)?;
        reader.past("}")?;
        Ok(AgentProof { base_sha256, created, form, nonce, signature })
    }
}

impl Receipt {
    /// Checks the agent's side: that `base` is the text whose hash the receipt has, that it says
    /// what the receipt says, and that the agent's key has signed it.
    ///
    /// # Errors
    /// [`ReceiptError::BaseMismatch`], [`ReceiptError::ProofMismatch`],
    /// [`ReceiptError::ProofInvalid`].
    pub fn verify_proof(&self, base: &str) -> Result<(), ReceiptError> {
        self.check_base(base, chain_claims_in)?;
        let SignatureClaim { key, message, signature } = self.agents_claim(base);
        let key = PublicKey::from_bytes(&key).filter(|key| key.verify(&message, &signature));
        key.map(drop).ok_or(ReceiptError::ProofInvalid)
    }

    /// Checks all of the agent's side but its signature. Answers the id of the passport at the root of
    /// the one in `base`, where that is a request.
    pub(super) fn check_base(
        &self,
        base: &str,
        chain_claims_in: impl FnMut(&str) -> Option<ChainClaims>,
    ) -> Result<Option<String>, ReceiptError> {
        if sha256(base.as_bytes()) != self.proof.base_sha256 {
            return Err(ReceiptError::BaseMismatch);
        }
        let since = self.issued_at.as_millis().saturating_sub(self.proof.created.as_millis());
        if !(-MOST_BEFORE_MS..=MOST_AFTER_MS).contains(&since) {
            return Err(ReceiptError::ProofMismatch("time"));
        }
        match self.proof.form {
            ProofForm::AgentPop if self.pop().plain() == base => Ok(None),
            ProofForm::AgentPopJcs if self.pop().canonical() == base => Ok(None),
            ProofForm::Rfc9421 => {
                let AgentProof { created, nonce, .. } = &self.proof;
                let once = (nonce.as_str(), *created);
                let shown = check_request(base, &self.agent, &self.catalog, once, chain_claims_in)?;
                Ok(Some(shown.root_passport_id))
            }
            ProofForm::AgentPop | ProofForm::AgentPopJcs => Err(ReceiptError::ProofMismatch("text")),
        }
    }

    pub(super) fn agents_claim<'b>(&self, base: &'b str) -> SignatureClaim<'b> {
        SignatureClaim {
            key: self.agent.public_key,
            message: base.as_bytes().into(),
            signature: self.proof.signature,
        }
    }

    fn pop(&self) -> PopDraft<'_> {
        PopDraft {
            action: &self.action,
            catalog_content_hash: &self.catalog.content_hash,
            gate_id: &self.gate_id,
            nonce: &self.proof.nonce,
            outcome: self.outcome,
            passport_id: &self.agent.passport_id,
            quantity: self.charge.quantity(),
            request_payload_hash: self.request_payload_hash.as_ref(),
            response_payload_hash: self.response_payload_hash.as_ref(),
            created: self.proof.created,
        }
    }
}

/// What a signature base has shown to be so.
pub(crate) struct Shown {
    /// The id of the passport at the root of the one in it.
    pub(crate) root_passport_id: String,
    /// The length of the line with the passport.
    pub(crate) passport_length: usize,
}

/// Checks that a signature base is of this agent, at this time, once, and with a passport that has
/// this id, this agent, this key, this issuer and this catalog: the price is the one that it is good
/// for. Gates check so before they let a request through, and ledgers when they charge for it.
///
/// # Errors
/// [`ReceiptError::ProofMismatch`].
pub(crate) fn check_request(
    base: &str,
    agent: &Consumer,
    catalog: &CatalogPin,
    (nonce, created): (&str, UnixTime),
    mut chain_claims_in: impl FnMut(&str) -> Option<ChainClaims>,
) -> Result<Shown, ReceiptError> {
    let mismatch = ReceiptError::ProofMismatch;
    let components = check_parameters(base, agent, nonce, created)?;
    let found = components.lines().find_map(|line| Some((line.len(), chain_claims_in(line)?)));
    let (passport_length, passport) = found.ok_or(mismatch("passport"))?;
    let is_same = passport.passport_id == agent.passport_id
        && passport.agent_id == agent.agent_id
        && passport.issuer_id == agent.issuer_id
        && passport.public_key == base64::encode(&agent.public_key);
    if !is_same {
        return Err(mismatch("passport"));
    }
    if passport.catalog_pin.as_ref() != Some(catalog) {
        return Err(mismatch("catalog"));
    }
    Ok(Shown { root_passport_id: passport.root_passport_id, passport_length })
}

/// Checks what is said of a signature beside the components of a request. Answers these.
fn check_parameters<'b>(
    base: &'b str,
    agent: &Consumer,
    nonce: &str,
    created: UnixTime,
) -> Result<&'b str, ReceiptError> {
    let mismatch = ReceiptError::ProofMismatch;
    let (components, parameters) = base.rsplit_once('\n').unwrap_or_default();
    let parameters = parameters.strip_prefix("\"@signature-params\": (");
    let (_, parameters) = parameters.and_then(|text| text.split_once(')')).ok_or(mismatch("form"))?;
    // A parameter's text has no quotes within, so that none of these can be a part of one.
    let has = |name: &str, quote: &str, value: &str| {
        let parameter = [";", name, "=", quote, value, quote].concat();
        parameters.match_indices(&parameter).any(|(at, _)| {
            let rest = parameters.get(at.saturating_add(parameter.len())..).unwrap_or_default();
            rest.is_empty() || rest.starts_with(';')
        })
    };
    let seconds = created.as_millis().div_euclid(1000).to_string();
    for (what, is_there) in [
        ("nonce", has("nonce", "\"", nonce)),
        ("time", has("created", "", &seconds)),
        ("agent", has("keyid", "\"", &agent.agent_id)),
        ("tag", has("tag", "\"", "agent-proof")),
    ] {
        if !is_there {
            return Err(mismatch(what));
        }
    }
    Ok(components)
}

/// What the passport in a line of a base says, if the line has one.
pub(crate) fn chain_claims_in(line: &str) -> Option<ChainClaims> {
    let passport = match line.strip_prefix("\"agent-passport\": ") {
        Some(value) => modei::from_header(value.as_bytes()),
        None => modei::from_jwt(bearer_token(line.strip_prefix("\"authorization\": ")?.as_bytes())?),
    };
    passport.ok()?.chain_claims()
}
