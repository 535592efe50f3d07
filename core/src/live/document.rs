//! What all documents have in common: header, signature, gate, members.

use super::error::LiveError;
use super::read_hex;
use crate::base64;
use crate::config::{ConfigError, KeyConfig};
use crate::ed25519::{PublicKey, SecretKey};
use crate::json::{self, Limits, Object, Value, canonical_text};
use crate::jws::{Compact, Decoded, Header};
use crate::time::UnixTime;
use crate::trust::Keys;
use alloc::string::String;
use alloc::vec::Vec;

/// The keys by which a gate believes its control service. Pinned: they come with the
/// gate's own configuration and never from the service. Several can overlap in time.
#[derive(Debug)]
pub struct ServiceKeys(Keys);

impl ServiceKeys {
    /// Checks keys and indexes them.
    ///
    /// # Errors
    /// The first [`ConfigError`], at `service.keys`: none, malformed, or an id twice.
    pub fn new(keys: &[KeyConfig]) -> Result<Self, ConfigError> {
        if keys.is_empty() {
            return Err(ConfigError::new("service.keys", "must have at least one key"));
        }
        Keys::new(keys, "service.keys").map(ServiceKeys)
    }

    fn get(&self, id: &str, now: UnixTime) -> Option<&PublicKey> {
        self.0.get(id, now)
    }

    /// Those that are valid at this time.
    pub(crate) fn at(&self, now: UnixTime) -> impl Iterator<Item = &PublicKey> {
        self.0.at(now).map(|(_, key)| key)
    }
}

/// One kind of document.
pub(super) struct Kind {
    /// `typ`. It keeps one kind from being taken for another.
    pub(super) typ: &'static str,
    /// The members that it may have.
    pub(super) members: &'static [&'static str],
    /// What its payload may cost.
    pub(super) limits: Limits,
}

impl Kind {
    /// The payload of a document whose header and signature are right.
    pub(super) fn open(&self, token: &[u8], keys: &ServiceKeys, now: UnixTime) -> Result<Vec<u8>, LiveError> {
        // base64url makes four characters of three bytes; a kid has 256 bytes at most.
        let longest = self.limits.bytes.saturating_div(3).saturating_mul(4).saturating_add(1024);
        if token.len() > longest {
            return Err(LiveError::Unreadable("the document is longer than its kind may be"));
        }
        let compact = Compact::split(token).ok_or(LiveError::Unreadable("the document is no compact JWS"))?;
        let decoded = Decoded::of(&compact)
            .ok_or(LiveError::Unreadable("a part of the document is not base64url without padding"))?;
        let header = Header::read(&decoded.header).map_err(LiveError::Unreadable)?;
        let kid = header.kid.ok_or(LiveError::Unreadable("the protected header has no kid"))?;
        if decoded.header != self.header(&kid).as_bytes() {
            return Err(LiveError::Unreadable(
                "the protected header is not alg, kid and this kind's typ in RFC 8785",
            ));
        }
        let key = keys.get(&kid, now).ok_or(LiveError::UnknownKey)?;
        if !compact.is_signed_by(key) {
            return Err(LiveError::Signature);
        }
        Ok(decoded.payload)
    }

    /// The members of an opened payload that is for this gate.
    pub(super) fn read<T>(
        &self,
        payload: &[u8],
        gate: &str,
        read: impl FnOnce(&Members<'_>) -> Result<T, LiveError>,
    ) -> Result<T, LiveError> {
        let value = self.parse(payload)?;
        read(&self.members_for(gate, &value)?)
    }

    // Apart, as there is one `read` for each kind of document.
    #[inline(never)]
    fn parse<'p>(&self, payload: &'p [u8]) -> Result<Value<'p>, LiveError> {
        json::parse(payload, self.limits)
            .map_err(|_| LiveError::Unreadable("the payload is not strict JSON of its kind's size"))
    }

    #[inline(never)]
    fn members_for<'v>(&self, gate: &str, value: &'v Value<'v>) -> Result<Members<'v>, LiveError> {
        let members = Members::of(value, self.members)?;
        if members.text("gate")? == gate { Ok(members) } else { Err(LiveError::WrongGate) }
    }

    /// Signs a payload.
    pub(super) fn sign(&self, payload: &str, key: &SecretKey, key_id: &str) -> String {
        let encoded = [self.header(key_id).as_str(), payload].map(|part| base64::encode_url(part.as_bytes()));
        let signing_input = encoded.join(".");
        let signature = base64::encode_url(&key.sign(signing_input.as_bytes()));
        [signing_input, signature].join(".")
    }

    fn header(&self, kid: &str) -> String {
        let members = [("alg", "EdDSA"), ("kid", kid), ("typ", self.typ)];
        canonical_text(&Object::from(members.map(|(name, text)| (name, Value::from(text)))).into())
    }
}

/// The members of an object, all of them known.
#[derive(Clone, Copy)]
pub(crate) struct Members<'v>(&'v Object<'v>);

impl<'v> Members<'v> {
    pub(crate) fn of(value: &'v Value<'v>, known: &[&str]) -> Result<Self, LiveError> {
        let object = value.as_object().ok_or(LiveError::Unreadable("an object is something else"))?;
        if object.iter().any(|(name, _)| !known.contains(&name)) {
            return Err(LiveError::Unreadable("a member is unknown"));
        }
        Ok(Members(object))
    }

    pub(crate) fn optional(&self, name: &str) -> Option<&'v Value<'v>> {
        self.0.get(name)
    }

    pub(crate) fn required(&self, name: &'static str) -> Result<&'v Value<'v>, LiveError> {
        self.0.get(name).ok_or(LiveError::Member(name))
    }

    pub(crate) fn text(&self, name: &'static str) -> Result<&'v str, LiveError> {
        self.required(name)?.as_str().ok_or(LiveError::Member(name))
    }

    /// A whole number of 0 to 2^53.
    pub(crate) fn number(&self, name: &'static str) -> Result<u64, LiveError> {
        let number = self.required(name)?.as_integer().and_then(|number| u64::try_from(number).ok());
        number.ok_or(LiveError::Member(name))
    }

    /// A time as `2026-01-31T00:00:00.000Z`.
    pub(crate) fn time(&self, name: &'static str) -> Result<UnixTime, LiveError> {
        UnixTime::from_iso(self.text(name)?).ok_or(LiveError::Member(name))
    }

    /// base64url, without padding, of `N` bytes.
    pub(crate) fn base64url<const N: usize>(&self, name: &'static str) -> Result<[u8; N], LiveError> {
        let bytes = base64::decode_url(self.text(name)?).and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or(LiveError::Member(name))
    }

    /// Lower-case hex of `N` bytes.
    pub(crate) fn hex<const N: usize>(&self, name: &'static str) -> Result<[u8; N], LiveError> {
        let mut bytes = [0; N];
        read_hex(self.text(name)?, &mut bytes).ok_or(LiveError::Member(name))?;
        Ok(bytes)
    }
}

/// For members on the signing side: text that the payload owns.
pub(crate) fn owned(text: &str) -> Value<'static> {
    Value::from(text).into_owned()
}

/// For members on the signing side: a number, at most 2^53.
pub(crate) fn whole(number: u64) -> Value<'static> {
    Value::integer(i64::try_from(number).unwrap_or(i64::MAX))
}
