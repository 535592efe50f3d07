//! Making passports.

use super::chain::check_delegation;
use super::passport::{CatalogPin, RootKind};
use super::wire::LIMITS;
use super::{self_agent_id, self_issuer_id};
use crate::base64;
use crate::denial::Denial;
use crate::ed25519::SecretKey;
use crate::json::{self, Object, Value, canonical_text};
use crate::reason::Reason;
use crate::time::UnixTime;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// What a passport is to say, apart from whose it is.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The passport's id; unique within its issuer.
    pub passport_id: String,
    /// The agent's name, if it has one.
    pub agent_name: Option<String>,
    /// Permission keys and their constraints, in this order.
    pub permissions: Vec<(String, Object<'static>)>,
    /// From when it is valid.
    pub issued_at: UnixTime,
    /// Until when it is valid.
    pub expires_at: UnixTime,
    /// Whether its holder may delegate it.
    pub delegation_authority: bool,
}

/// An issuer that signs passports for others.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// `platform` or `gate`.
    pub kind: RootKind,
    /// The issuer's id.
    pub id: String,
    /// The id of its key.
    pub key_id: String,
    /// The gate that the passports are for, where a gate issues them.
    pub gate_id: Option<String>,
}

/// A passport and its signature.
#[derive(Clone, Debug, PartialEq)]
pub struct Signed {
    envelope: Value<'static>,
    signature: [u8; 64],
}

/// What signs in the place of a key that is not at hand: bytes, and their Ed25519 signature.
pub type Sign<'s> = &'s dyn Fn(&[u8]) -> [u8; 64];

/// Issues a passport that the agent signs for itself.
pub fn self_issue(key: &SecretKey, draft: &Draft) -> Signed {
    self_issue_with(&key.public_key(), draft, &|bytes| key.sign(bytes))
}

/// The same, where somebody else holds the key.
pub fn self_issue_with(public_key: &[u8; 32], draft: &Draft, with: Sign<'_>) -> Signed {
    let issuer = issuer("self", &self_issuer_id(public_key), "self");
    let provenance = provenance(issuer, Value::Null, None, draft);
    sign(with, envelope(draft, &self_agent_id(public_key), public_key, provenance))
}

/// Issues a passport to an agent with this id and key, signed by `issuer`'s key.
pub fn issue(key: &SecretKey, by: &Issuer, agent_id: &str, agent_key: &[u8; 32], draft: &Draft) -> Signed {
    issue_pinned(key, by, agent_id, agent_key, draft, None)
}

/// The same, pinned to a catalog.
pub fn issue_pinned(
    key: &SecretKey,
    by: &Issuer,
    agent_id: &str,
    agent_key: &[u8; 32],
    draft: &Draft,
    pin: Option<&CatalogPin>,
) -> Signed {
    let issuer = issuer(by.kind.name(), &by.id, &by.key_id);
    let mut provenance = provenance(issuer, Value::Null, by.gate_id.as_deref(), draft);
    if let Some(pin) = pin {
        provenance.set("catalog_content_hash", owned(&pin.content_hash));
        provenance.set("catalog_version", Value::integer(pin.version));
    }
    sign(&|bytes| key.sign(bytes), envelope(draft, agent_id, agent_key, provenance))
}

/// Delegates a passport to the agent with `agent_key`, signed with the key of the
/// passport's holder.
///
/// # Errors
/// What a verifier would say to the result: no authority to delegate, too deep a chain,
/// more than the parent has; `signature_invalid` where `key` is not the holder's.
pub fn delegate(
    parent: &Signed,
    key: &SecretKey,
    agent_key: &[u8; 32],
    draft: &Draft,
) -> Result<Signed, Denial> {
    delegate_with(parent, &key.public_key(), agent_key, draft, &|bytes| key.sign(bytes))
}

/// The same, where somebody else holds the key of the passport's holder.
///
/// # Errors
/// As [`delegate`].
pub fn delegate_with(
    parent: &Signed,
    holder_key: &[u8; 32],
    agent_key: &[u8; 32],
    draft: &Draft,
    with: Sign<'_>,
) -> Result<Signed, Denial> {
    let member = |path: &[&str]| {
        path.iter()
            .try_fold(&parent.envelope, |value, name| value.as_object()?.get(name))
            .cloned()
            .unwrap_or(Value::Null)
    };
    if member(&["identity", "public_key"]).as_str() != Some(&base64::encode(holder_key)) {
        return Err(Denial::new(Reason::SignatureInvalid, "the key is not that of the passport's holder"));
    }
    let mut chain = match member(&["provenance", "delegation_chain"]) {
        Value::Array(links) => links,
        _ => Vec::new(),
    };
    chain.push(parent.to_value());
    let root = chain.first().and_then(|link| link.as_object()?.get("passport_json")?.as_object());
    let root_kind = root.and_then(|root| {
        root.get("provenance")?.as_object()?.get("issuer")?.as_object()?.get("type")?.as_str()
    });
    let is_of_a_gate = root_kind == Some(RootKind::Gate.name());
    let root = root.and_then(|root| root.get("passport_id")?.as_str());
    let root_id = format!("delegate:{}", root.unwrap_or_default());
    let key_id = member(&["provenance", "issuer", "key_id"]);
    let issuer = issuer("delegate", &root_id, key_id.as_str().unwrap_or_default());
    let mut provenance = provenance(issuer, Value::Array(chain), None, draft);
    // What the parent has is what the root had, as far back as there are delegates.
    if is_of_a_gate {
        for name in ["catalog_content_hash", "catalog_version", "gate_id"] {
            provenance.set(name, member(&["provenance", name]));
        }
    }
    let signed = sign(with, envelope(draft, &self_agent_id(agent_key), agent_key, provenance));
    check_delegation(&signed.envelope)?;
    Ok(signed)
}

impl Signed {
    /// Reads `{"passport_json": …, "signature": "…"}`, to delegate from it.
    ///
    /// # Errors
    /// `invalid_envelope_shape` or `signature_malformed`. The signature is not checked.
    pub fn from_json(text: &[u8]) -> Result<Self, Denial> {
        let value = json::parse(text, LIMITS).map_err(|error| {
            Denial::new(Reason::InvalidEnvelopeShape, format!("the passport is unreadable: {error}"))
        })?;
        let members = value
            .as_object()
            .and_then(|object| Some((object.get("passport_json")?, object.get("signature")?)));
        let (envelope, signature) = members.ok_or_else(|| {
            Denial::new(Reason::InvalidEnvelopeShape, "passport_json and signature are needed")
        })?;
        let signature = signature.as_str().and_then(base64::decode_array::<64>);
        let signature = signature.ok_or_else(|| {
            Denial::new(Reason::SignatureMalformed, "signature must be the base64 of 64 bytes")
        })?;
        Ok(Signed { envelope: envelope.clone().into_owned(), signature })
    }

    /// `{"passport_json": …, "signature": "…"}`, in canonical form.
    pub fn to_json(&self) -> String {
        canonical_text(&self.to_value())
    }

    /// The value of an `Agent-Passport` header (RFC 9651 byte sequence).
    pub fn to_header(&self) -> String {
        format!(":{}:", base64::encode(self.to_json().as_bytes()))
    }

    /// The same passport as a JWT, signed anew with the key that signed it.
    pub fn to_jwt(&self, signer: &SecretKey) -> String {
        self.to_jwt_with(&|bytes| signer.sign(bytes))
    }

    /// The same, where somebody else holds the key.
    pub fn to_jwt_with(&self, with: Sign<'_>) -> String {
        let header = base64::encode_url(br#"{"alg":"EdDSA","typ":"passport+jwt"}"#);
        let input = format!("{header}.{}", base64::encode_url(canonical_text(&self.envelope).as_bytes()));
        let signature = base64::encode_url(&with(input.as_bytes()));
        format!("{input}.{signature}")
    }

    /// The envelope.
    pub fn envelope(&self) -> &Value<'static> {
        &self.envelope
    }

    fn to_value(&self) -> Value<'static> {
        let signature = Value::String(base64::encode(&self.signature).into());
        Value::Object(Object::from([("passport_json", self.envelope.clone()), ("signature", signature)]))
    }
}

fn issuer(kind: &str, id: &str, key_id: &str) -> Value<'static> {
    Object::from([("id", owned(id)), ("key_id", owned(key_id)), ("type", owned(kind))]).into()
}

fn provenance(
    issuer: Value<'static>,
    chain: Value<'static>,
    gate_id: Option<&str>,
    draft: &Draft,
) -> Object<'static> {
    Object::from([
        ("catalog_content_hash", Value::Null),
        ("catalog_version", Value::Null),
        ("delegation_chain", chain),
        ("expires_at", owned(&draft.expires_at.to_iso())),
        ("gate_id", gate_id.map_or(Value::Null, owned)),
        ("issued_at", owned(&draft.issued_at.to_iso())),
        ("issuer", issuer),
    ])
}

fn envelope(
    draft: &Draft,
    agent_id: &str,
    agent_key: &[u8; 32],
    provenance: Object<'static>,
) -> Value<'static> {
    let identity = Object::from([
        ("agent_id", owned(agent_id)),
        ("agent_name", draft.agent_name.as_deref().map_or(Value::Null, owned)),
        ("public_key", owned(&base64::encode(agent_key))),
    ]);
    let permission = |(key, constraints): &(String, Object<'static>)| {
        Object::from([("constraints", constraints.clone().into()), ("permission_key", owned(key))]).into()
    };
    Object::from([
        ("delegation_authority", draft.delegation_authority.into()),
        ("identity", identity.into()),
        ("passport_id", owned(&draft.passport_id)),
        ("permissions", Value::Array(draft.permissions.iter().map(permission).collect())),
        ("provenance", provenance.into()),
        ("schema_version", 2.into()),
        ("verification_evidence", Value::Array(vec![])),
    ])
    .into()
}

fn sign(with: Sign<'_>, envelope: Value<'static>) -> Signed {
    let signature = with(canonical_text(&envelope).as_bytes());
    Signed { envelope, signature }
}

fn owned(text: &str) -> Value<'static> {
    Value::from(text).into_owned()
}
