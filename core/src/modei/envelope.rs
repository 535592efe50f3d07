//! The shape of a version 2 envelope: which members there are and of what type.

use super::passport::CatalogPin;
use crate::json::{Object, Value};
use crate::reason::Reason;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// An envelope whose shape is right. Nothing else about it is known.
pub(super) struct Envelope<'v> {
    /// The JSON value that was signed.
    pub(super) value: &'v Value<'v>,
    pub(super) passport_id: &'v str,
    pub(super) agent_id: &'v str,
    pub(super) agent_name: Option<&'v str>,
    pub(super) public_key: &'v str,
    pub(super) permissions: Vec<(&'v str, &'v Object<'v>)>,
    pub(super) issuer: EnvelopeIssuer<'v>,
    pub(super) gate_id: Option<&'v str>,
    pub(super) catalog_content_hash: Option<&'v str>,
    pub(super) catalog_version: Option<i64>,
    /// The chain's value, and its entries, root first.
    pub(super) chain: Option<(&'v Value<'v>, Vec<Link<'v>>)>,
    pub(super) issued_at: &'v str,
    pub(super) expires_at: &'v str,
    pub(super) delegation_authority: bool,
}

impl Envelope<'_> {
    /// The catalog that it is pinned to. Half a pin is one that no catalog fits.
    pub(super) fn catalog_pin(&self) -> Option<CatalogPin> {
        if self.catalog_version.is_none() && self.catalog_content_hash.is_none() {
            return None;
        }
        Some(CatalogPin {
            version: self.catalog_version.unwrap_or(0),
            content_hash: self.catalog_content_hash.unwrap_or_default().to_string(),
        })
    }
}

/// `provenance.issuer`.
pub(super) struct EnvelopeIssuer<'v> {
    pub(super) kind: IssuerType,
    pub(super) id: &'v str,
    pub(super) key_id: &'v str,
}

/// `provenance.issuer.type`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IssuerType {
    Delegate,
    Gate,
    Platform,
    SelfIssued,
}

/// One entry of a delegation chain.
pub(super) struct Link<'v> {
    pub(super) value: &'v Value<'v>,
    pub(super) envelope: Envelope<'v>,
    pub(super) signature: &'v str,
}

/// Where an envelope has another shape than it should, and why.
pub(super) struct ShapeFault {
    pub(super) reason: Reason,
    pub(super) detail: String,
}

/// Reads an envelope's shape. Every member is required, no other is allowed.
///
/// # Errors
/// `unsupported_schema_version` where the version is another integer than 2;
/// `invalid_envelope_shape` for all else.
pub(super) fn read<'v>(value: &'v Value<'v>) -> Result<Envelope<'v>, ShapeFault> {
    let version = value.as_object().and_then(|object| object.get("schema_version"));
    match version.and_then(Value::as_integer) {
        Some(version) if version != 2 => Err(ShapeFault {
            reason: Reason::UnsupportedSchemaVersion,
            detail: format!("schema_version is {version}, and 2 is supported"),
        }),
        _ => read_nested(value)
            .map_err(|fault| ShapeFault { reason: Reason::InvalidEnvelopeShape, detail: fault.to_string() }),
    }
}

fn read_nested<'v>(value: &'v Value<'v>) -> Result<Envelope<'v>, Fault> {
    let envelope = members(
        value,
        [
            "delegation_authority",
            "identity",
            "passport_id",
            "permissions",
            "provenance",
            "schema_version",
            "verification_evidence",
        ],
    )?;
    let [authority, identity, passport_id, permissions, provenance, version, evidence] = envelope;
    let version = version.as_integer().filter(|version| *version == 2);
    version.ok_or_else(|| Fault::at("schema_version", "must be the integer 2"))?;
    evidence.as_array().ok_or_else(|| Fault::at("verification_evidence", "must be an array"))?;

    let [agent_id, agent_name, public_key] = members(identity, ["agent_id", "agent_name", "public_key"])
        .map_err(|fault| fault.within("identity"))?;
    let provenance = read_provenance(provenance).map_err(|fault| fault.within("provenance"))?;
    Ok(Envelope {
        value,
        passport_id: filled(passport_id, "passport_id")?,
        agent_id: text(agent_id, "identity.agent_id")?,
        agent_name: optional_text(agent_name, "identity.agent_name")?,
        public_key: text(public_key, "identity.public_key")?,
        permissions: read_permissions(permissions)?,
        issuer: provenance.issuer,
        gate_id: provenance.gate_id,
        catalog_content_hash: provenance.catalog_content_hash,
        catalog_version: provenance.catalog_version,
        chain: provenance.chain,
        issued_at: provenance.issued_at,
        expires_at: provenance.expires_at,
        delegation_authority: authority
            .as_bool()
            .ok_or_else(|| Fault::at("delegation_authority", "must be true or false"))?,
    })
}

struct Provenance<'v> {
    issuer: EnvelopeIssuer<'v>,
    gate_id: Option<&'v str>,
    catalog_content_hash: Option<&'v str>,
    catalog_version: Option<i64>,
    chain: Option<(&'v Value<'v>, Vec<Link<'v>>)>,
    issued_at: &'v str,
    expires_at: &'v str,
}

fn read_provenance<'v>(value: &'v Value<'v>) -> Result<Provenance<'v>, Fault> {
    let [hash, version, chain, expires_at, gate_id, issued_at, issuer] = members(
        value,
        [
            "catalog_content_hash",
            "catalog_version",
            "delegation_chain",
            "expires_at",
            "gate_id",
            "issued_at",
            "issuer",
        ],
    )?;
    Ok(Provenance {
        issuer: read_issuer(issuer).map_err(|fault| fault.within("issuer"))?,
        gate_id: optional_text(gate_id, "gate_id")?,
        catalog_content_hash: optional_text(hash, "catalog_content_hash")?,
        catalog_version: match version {
            Value::Null => None,
            version => Some(
                version
                    .as_integer()
                    .ok_or_else(|| Fault::at("catalog_version", "must be an integer or null"))?,
            ),
        },
        chain: match chain {
            Value::Null => None,
            chain => Some((chain, read_chain(chain)?)),
        },
        issued_at: text(issued_at, "issued_at")?,
        expires_at: text(expires_at, "expires_at")?,
    })
}

fn read_issuer<'v>(value: &'v Value<'v>) -> Result<EnvelopeIssuer<'v>, Fault> {
    let [id, key_id, kind] = members(value, ["id", "key_id", "type"])?;
    let kind = match kind.as_str() {
        Some("delegate") => IssuerType::Delegate,
        Some("gate") => IssuerType::Gate,
        Some("platform") => IssuerType::Platform,
        Some("self") => IssuerType::SelfIssued,
        _ => return Err(Fault::at("type", "must be gate, platform, self or delegate")),
    };
    Ok(EnvelopeIssuer { kind, id: filled(id, "id")?, key_id: filled(key_id, "key_id")? })
}

fn read_permissions<'v>(value: &'v Value<'v>) -> Result<Vec<(&'v str, &'v Object<'v>)>, Fault> {
    let permissions = value.as_array().ok_or_else(|| Fault::at("permissions", "must be an array"))?;
    let read = |(index, permission): (usize, &'v Value<'v>)| {
        let place = |fault: Fault| fault.within(&format!("permissions[{index}]"));
        let [constraints, key] = members(permission, ["constraints", "permission_key"]).map_err(place)?;
        let constraints = constraints
            .as_object()
            .ok_or_else(|| Fault::at("constraints", "must be an object"))
            .map_err(place)?;
        Ok((text(key, "permission_key").map_err(place)?, constraints))
    };
    permissions.iter().enumerate().map(read).collect()
}

fn read_chain<'v>(value: &'v Value<'v>) -> Result<Vec<Link<'v>>, Fault> {
    let entries =
        value.as_array().ok_or_else(|| Fault::at("delegation_chain", "must be an array or null"))?;
    let read = |(index, value): (usize, &'v Value<'v>)| {
        let place = |fault: Fault| fault.within(&format!("delegation_chain[{index}]"));
        let [envelope, signature] = members(value, ["passport_json", "signature"]).map_err(place)?;
        Ok(Link {
            value,
            envelope: read_nested(envelope).map_err(|fault| place(fault.within("passport_json")))?,
            signature: filled(signature, "signature").map_err(place)?,
        })
    };
    // Depth is bounded by the parser's, which every chain within a chain uses up.
    entries.iter().enumerate().map(read).collect()
}

/// The values of exactly these members.
pub(super) fn members<'v, const N: usize>(
    value: &'v Value<'v>,
    names: [&'static str; N],
) -> Result<[&'v Value<'v>; N], Fault> {
    let object = value.as_object().ok_or_else(|| Fault::at("", "must be an object"))?;
    let mut values = [&Value::Null; N];
    for (slot, name) in values.iter_mut().zip(names) {
        *slot = object.get(name).ok_or_else(|| Fault::at(name, "is missing"))?;
    }
    // Names are unique, so as many members as names means these and no others. An
    // unknown name is the sender's text: not repeated, as it may be long or secret.
    if object.len() == N {
        Ok(values)
    } else {
        Err(Fault::at("", "has a member that is not part of the format"))
    }
}

fn text<'v>(value: &'v Value<'v>, name: &'static str) -> Result<&'v str, Fault> {
    value.as_str().ok_or_else(|| Fault::at(name, "must be a string"))
}

fn optional_text<'v>(value: &'v Value<'v>, name: &'static str) -> Result<Option<&'v str>, Fault> {
    match value {
        Value::Null => Ok(None),
        value => value.as_str().map(Some).ok_or_else(|| Fault::at(name, "must be a string or null")),
    }
}

fn filled<'v>(value: &'v Value<'v>, name: &'static str) -> Result<&'v str, Fault> {
    text(value, name)?;
    value.as_str().filter(|text| !text.is_empty()).ok_or_else(|| Fault::at(name, "must not be empty"))
}

/// A fault and the path to it, built on the way back so that a right shape costs nothing. A
/// pointer, as each step hands it on to the one before.
pub(super) struct Fault(Box<(String, &'static str)>);

impl Fault {
    #[cold]
    #[inline(never)]
    fn at(name: &str, problem: &'static str) -> Self {
        Fault(Box::new((name.to_string(), problem)))
    }

    #[cold]
    #[inline(never)]
    fn within(mut self, parent: &str) -> Self {
        let (path, _) = &mut *self.0;
        let separator = if path.is_empty() { "" } else { "." };
        *path = [parent, separator, path].concat();
        self
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (path, problem) = &*self.0;
        let path = if path.is_empty() { "the envelope" } else { path };
        write!(formatter, "{path} {problem}")
    }
}
