//! Catalogs as a control service answers with them: one, or those of what was discovered.

use super::{Catalog, CatalogError, Permission, Published};
use crate::config::ConfigError;
use crate::json::{self, Limits, Value};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// What was checked, and holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The catalogs.
    pub catalogs: Vec<Believed>,
    /// How many services were told beside them, in the same words.
    pub services: usize,
}

/// A catalog that a key has signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Believed {
    /// What it says.
    pub catalog: Catalog,
    /// The SHA-256 of its canonical text, in lower-case hexadecimal.
    pub content_hash: String,
    /// The key, in standard base64. That it is the gate's is for the caller to know.
    pub public_key: String,
    /// The signature, in standard base64.
    pub signature: String,
}

/// What is wrong with an answer, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AnswerError {
    /// The member, as in `catalogs[2]`; empty for the whole.
    pub path: String,
    /// What is wrong with it.
    pub error: CatalogError,
}

/// Bounds for parsing an answer: a page of a hundred catalogs, with white space.
const LIMITS: Limits = Limits { bytes: 32 * 1024 * 1024, depth: 12, values: 2_000_000 };

/// Checks an answer: a published catalog, or `{catalogs: […], services: […]}` as discovery has
/// it. Each catalog is verified, the members beside its snapshot must say what it says, and so
/// must each service. With a `key`, standard base64 of 32 bytes, each must be signed by that.
///
/// # Errors
/// [`AnswerError`] names the first that fails.
pub fn verify_answer(json: &[u8], key: Option<&str>) -> Result<Answer, AnswerError> {
    let unreadable = |error: json::ParseError| AnswerError {
        path: String::new(),
        error: CatalogError::Unreadable(error.to_string()),
    };
    let value = json::parse(json, LIMITS).map_err(unreadable)?;
    // What stands beside a list, or a list beside one catalog, would be looked at by nobody here
    // and taken by somebody else.
    let is_list = member(&value, "catalogs").is_some();
    let astray =
        if is_list { ["catalog_snapshot", "content_hash", "signature"].as_slice() } else { &["services"] };
    if let Some(name) = astray.iter().find(|name| member(&value, name).is_some()) {
        let error = ConfigError::new(*name, "must not stand here: an answer has one catalog or a list");
        return Err(AnswerError { path: String::new(), error: CatalogError::Form(error) });
    }
    let Some(listed) = member(&value, "catalogs") else {
        return Ok(Answer { catalogs: Vec::from([believed(&value, "", key)?]), services: 0 });
    };
    let mut catalogs = Vec::new();
    for (index, value) in list(listed, "catalogs")?.iter().enumerate() {
        catalogs.push(believed(value, &format!("catalogs[{index}]"), key)?);
    }
    let services = match member(&value, "services") {
        Some(services) => list(services, "services")?,
        None => &[],
    };
    for (index, service) in services.iter().enumerate() {
        check_service(service, &format!("services[{index}]"), &catalogs)?;
    }
    Ok(Answer { catalogs, services: services.len() })
}

fn believed(value: &Value<'_>, path: &str, key: Option<&str>) -> Result<Believed, AnswerError> {
    let at = |error| AnswerError { path: path.to_string(), error };
    let text = |name: &str| member(value, name).and_then(Value::as_str).ok_or_else(|| missing(path, name));
    let published = Published {
        snapshot: &[],
        content_hash: text("content_hash")?,
        signature: text("signature")?,
        public_key: text("public_key")?,
    };
    let snapshot = member(value, "catalog_snapshot").ok_or_else(|| missing(path, "catalog_snapshot"))?;
    if key.is_some_and(|key| key != published.public_key) {
        return Err(at(CatalogError::KeyUnexpected));
    }
    let catalog = published.verify_value(snapshot).map_err(at)?;
    let beside = [
        ("gate_id", Value::from(catalog.gate_id.as_str())),
        ("version", Value::integer(catalog.version.cast_signed())),
    ];
    for (name, signed) in beside {
        if member(value, name).is_some_and(|told| *told != signed) {
            return Err(AnswerError { path: join(path, name), error: CatalogError::TermsMismatch });
        }
    }
    let hash = published.content_hash;
    Ok(Believed {
        content_hash: hash.strip_prefix("sha256:").unwrap_or(hash).to_string(),
        public_key: published.public_key.to_string(),
        signature: published.signature.to_string(),
        catalog,
    })
}

fn check_service(service: &Value<'_>, path: &str, catalogs: &[Believed]) -> Result<(), AnswerError> {
    let mismatch =
        |name: &str| Err(AnswerError { path: join(path, name), error: CatalogError::TermsMismatch });
    let text = |name: &str| member(service, name).and_then(Value::as_str);
    let hash = text("catalog_content_hash").map(|hash| hash.strip_prefix("sha256:").unwrap_or(hash));
    let Some(believed) = catalogs.iter().find(|one| Some(one.content_hash.as_str()) == hash) else {
        return mismatch("catalog_content_hash");
    };
    if text("gate_id") != Some(&believed.catalog.gate_id) {
        return mismatch("gate_id");
    }
    let Some(permission) = text("permission_key").and_then(|key| believed.catalog.permission(key)) else {
        return mismatch("permission_key");
    };
    // Whoever pins the key of a row pins the one that has signed.
    let signed_by = [("public_key", &believed.public_key), ("catalog_signature", &believed.signature)];
    for (name, signed) in signed_by {
        if member(service, name).is_some_and(|told| told.as_str() != Some(signed)) {
            return mismatch(name);
        }
    }
    for (name, signed) in told(&believed.catalog, permission) {
        if *member(service, name).unwrap_or(&Value::Null) != signed {
            return mismatch(name);
        }
    }
    Ok(())
}

/// What a service says of a permission.
fn told<'c>(catalog: &'c Catalog, permission: &'c Permission) -> [(&'static str, Value<'c>); 7] {
    let number = |value: Option<u64>| value.map_or(Value::Null, |value| Value::integer(value.cast_signed()));
    let terms = &permission.terms;
    [
        ("catalog_version", number(Some(catalog.version))),
        ("pricing_model", terms.price.map(|price| price.model.name()).into()),
        ("price_cents", number(terms.price.map(|price| price.cents))),
        ("currency", terms.price.map(|_| "USD").into()),
        ("uptime_basis_points", number(terms.uptime_basis_points)),
        ("response_time_ms", number(terms.response_time_ms)),
        ("platform_fee_basis_points", number(terms.fee_basis_points)),
    ]
}

fn member<'v, 'a>(value: &'v Value<'a>, name: &str) -> Option<&'v Value<'a>> {
    value.as_object()?.get(name)
}

fn list<'v, 'a>(value: &'v Value<'a>, name: &str) -> Result<&'v [Value<'a>], AnswerError> {
    value.as_array().ok_or_else(|| missing("", name))
}

fn missing(path: &str, name: &str) -> AnswerError {
    let error = ConfigError::new(name, "is missing, or is of another type");
    AnswerError { path: path.to_string(), error: CatalogError::Form(error) }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

impl fmt::Display for AnswerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.path.is_empty() { "" } else { ": " };
        write!(formatter, "{}{separator}{}", self.path, self.error)
    }
}

impl core::error::Error for AnswerError {}
