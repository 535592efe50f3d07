//! Signed requests of gates: HTTP Message Signatures (RFC 9421), by the gate's own key.
//!
//! One form, the one that gates make: label and tag as below, `alg` ed25519, all of
//! method, authority, path and query covered, and the body by its digest (RFC 9530).

use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::http::request::Parts;
use portcullis_core::{PublicKey, UnixTime, sha256};
use sfv::{BareItem, Dictionary, InnerList, ListEntry, ListSerializer, Parser};

/// The label of the signature in both headers.
const LABEL: &str = "gate";

/// What it is for: a signature for something else says so (RFC 9421 section 2.3).
const TAG: &str = "portcullis-gate";

/// How far the clocks of gate and service may be apart, and how late a request may come.
const SKEW_MS: i64 = 60_000;

/// A request's signature, read and not yet verified.
#[derive(Debug)]
pub struct Signature {
    /// The id of the key that it claims to be by.
    pub key_id: String,
    created: i64,
    components: Vec<String>,
    /// `@signature-params` (section 2.3).
    params: String,
    bytes: [u8; 64],
}

impl Signature {
    /// Reads the signature of a request.
    ///
    /// # Errors
    /// What is missing or malformed.
    pub fn read(parts: &Parts) -> Result<Self, &'static str> {
        let input = dictionary(&parts.headers, "signature-input").ok_or(NO_INPUT)?;
        let signature = dictionary(&parts.headers, "signature").ok_or("there is no readable signature")?;
        let Some(ListEntry::InnerList(list)) = input.get(LABEL) else { return Err(NO_INPUT) };
        let Some(ListEntry::Item(item)) = signature.get(LABEL) else {
            return Err("no signature is labelled gate");
        };
        let bytes = item.bare_item.as_byte_sequence().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
        let text = |name: &str| list.params.get(name).and_then(BareItem::as_string).map(|text| text.as_str());
        if text("alg") != Some("ed25519") || text("tag") != Some(TAG) {
            return Err("alg must be ed25519 and tag portcullis-gate");
        }
        // At least 128 bits, so that no two requests are the same.
        if text("nonce").is_none_or(|nonce| nonce.len() < 22) {
            return Err("nonce must be base64url of 16 bytes");
        }
        let components = list.items.iter().map(|item| {
            let name = item.bare_item.as_string().filter(|_| item.params.is_empty());
            name.map(|name| name.as_str().to_owned())
        });
        Ok(Signature {
            key_id: text("keyid").ok_or("keyid is missing")?.to_owned(),
            created: list
                .params
                .get("created")
                .and_then(BareItem::as_integer)
                .ok_or("created is missing")?
                .into(),
            components: components.collect::<Option<_>>().ok_or("a component is of no known form")?,
            params: params(list).ok_or("the signature's parameters cannot be written")?,
            bytes: bytes.ok_or("the signature is not 64 bytes")?,
        })
    }

    /// Whether it is by `key`, over this request and its body, and recent.
    ///
    /// # Errors
    /// What is wrong.
    pub fn verify(
        &self,
        parts: &Parts,
        body: &[u8],
        key: &PublicKey,
        now: UnixTime,
    ) -> Result<(), &'static str> {
        let created = UnixTime::from_millis(self.created.saturating_mul(1000));
        if created.plus_millis(SKEW_MS) < now || created > now.plus_millis(SKEW_MS) {
            return Err("created is more than 60 s away from the service's time");
        }
        let mut needed = vec!["@method", "@authority", "@path", "@query"];
        if !body.is_empty() {
            needed.push("content-digest");
            check_digest(&parts.headers, body)?;
        }
        if needed.iter().any(|name| !self.components.iter().any(|component| component == name)) {
            return Err(
                "the signature must cover @method, @authority, @path, @query, and content-digest with a body",
            );
        }
        let base = self.base(parts).ok_or("a covered component is unknown or not there")?;
        if key.verify(base.as_bytes(), &self.bytes) {
            Ok(())
        } else {
            Err("the signature is not by the gate's key")
        }
    }

    /// The signature base (section 2.5).
    fn base(&self, parts: &Parts) -> Option<String> {
        let mut lines = Vec::with_capacity(self.components.len().saturating_add(1));
        for (index, name) in self.components.iter().enumerate() {
            if self.components.iter().take(index).any(|earlier| earlier == name) {
                return None;
            }
            let value = match name.as_str() {
                "@method" => parts.method.as_str().to_owned(),
                "@authority" => authority(parts)?,
                "@path" => parts.uri.path().to_owned(),
                "@query" => format!("?{}", parts.uri.query().unwrap_or_default()),
                "content-digest" => single(&parts.headers, name)?.trim().to_owned(),
                _ => return None,
            };
            lines.push(format!("\"{name}\": {value}"));
        }
        lines.push(format!("\"@signature-params\": {}", self.params));
        Some(lines.join("\n"))
    }
}

const NO_INPUT: &str = "there is no readable signature-input labelled gate";

fn params(list: &InnerList) -> Option<String> {
    let mut serializer = ListSerializer::new();
    serializer.members([&ListEntry::InnerList(list.clone())]);
    serializer.finish()
}

/// As section 2.2.3 has it: in lower case. Which port is the default depends on the scheme
/// that the client used, and gates are told an authority that has none.
fn authority(parts: &Parts) -> Option<String> {
    let authority = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => parts.headers.get(HOST)?.to_str().ok()?,
    };
    Some(authority.to_ascii_lowercase())
}

fn check_digest(headers: &HeaderMap, body: &[u8]) -> Result<(), &'static str> {
    let digests = dictionary(headers, "content-digest").ok_or("there is no readable content-digest")?;
    let Some(ListEntry::Item(item)) = digests.get("sha-256") else {
        return Err("content-digest has no sha-256");
    };
    if item.bare_item.as_byte_sequence() == Some(sha256(body).as_slice()) {
        Ok(())
    } else {
        Err("content-digest is not that of the body")
    }
}

fn dictionary(headers: &HeaderMap, name: &str) -> Option<Dictionary> {
    Parser::new(single(headers, name)?).parse().ok()
}

/// The value of a header that comes once.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
