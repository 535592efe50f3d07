//! `agent-card.json`, in the shape of CapiscIO's SDK 0.3.0.

use super::kid::Kid;
use crate::files::{self, Existing, Readers};
use crate::keyfile;
use anyhow::{Context, Result, anyhow, bail};
use portcullis_core::capiscio::key_of_jwk;
use portcullis_core::json::{self, Limits, Object, Value, canonical_text};
use std::path::Path;

/// An agent's card: who it is, and its public keys, the one that it signs with first.
pub(super) struct Card {
    content: Object<'static>,
    keys: Vec<(Kid, [u8; 32])>,
}

impl Card {
    /// The card that the SDK's development mode makes.
    pub(super) fn development(agent_id: &str, kid: &Kid, key: &[u8; 32]) -> Self {
        let text = |text: &str| Value::String(text.to_owned().into());
        let provider = Object::from([("organization", text("Local Dev"))]);
        let mut content = Object::default();
        content.set("agent_id", text(agent_id));
        content.set("protocolVersion", text("0.3.0"));
        content.set("name", text("Local Dev Agent"));
        content.set("description", text("Made by portcullis trust init"));
        content.set("url", text("http://localhost:8000"));
        content.set("version", text("0.1.0"));
        content.set("provider", provider.into());
        let mut card = Card { content, keys: Vec::new() };
        card.put_first(kid.clone(), *key);
        card
    }

    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = files::read(path, LIMITS.bytes)?.bytes;
        Self::parse(&bytes).with_context(|| format!("{} is no usable agent card", path.display()))
    }

    /// Reads a card's text.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let value = json::parse(bytes, LIMITS).map_err(|error| anyhow!("{error}"))?;
        let content = value.as_object().context("it is not a JSON object")?.clone().into_owned();
        let listed = content.get("public_keys").and_then(Value::as_array).context(
            "it has no list public_keys; a card of CapiscIO's registry (with verificationMethods) has another shape, and its agents use badges",
        )?;
        let mut keys: Vec<(Kid, [u8; 32])> = Vec::new();
        for (index, jwk) in listed.iter().enumerate() {
            let (kid, key) = read_key(jwk).with_context(|| format!("public_keys[{index}]"))?;
            if keys.iter().any(|(known, _)| *known == kid) {
                bail!("public_keys[{index}]: the kid {} stands twice", kid.as_str());
            }
            keys.push((kid, key));
        }
        if keys.is_empty() {
            bail!("its public_keys are empty");
        }
        Ok(Card { content, keys })
    }

    pub(super) fn agent_id(&self) -> Option<&str> {
        self.content.get("agent_id").and_then(Value::as_str)
    }

    /// Its keys, the one that the agent signs with first.
    pub(super) fn keys(&self) -> &[(Kid, [u8; 32])] {
        &self.keys
    }

    /// Adds the key that the agent signs with from now on.
    pub(super) fn put_first(&mut self, kid: Kid, key: [u8; 32]) {
        let text = |text: String| Value::String(text.into());
        let mut jwk = Object::default();
        for (name, value) in [("kty", "OKP"), ("crv", "Ed25519"), ("kid", kid.as_str()), ("use", "sig")] {
            jwk.set(name, text(value.to_owned()));
        }
        jwk.set("x", text(portcullis_core::base64::encode_url(&key)));
        let former = self.content.get("public_keys").and_then(Value::as_array).unwrap_or_default().to_vec();
        let keys = std::iter::once(jwk.into()).chain(former).collect();
        self.content.set("public_keys", Value::Array(keys));
        self.keys.insert(0, (kid, key));
    }

    pub(super) fn write(&self, path: &Path, existing: Existing) -> Result<()> {
        // Through canonical text, which core writes; indented for people.
        let value: serde_json::Value = serde_json::from_str(&canonical_text(&self.content.clone().into()))?;
        let text = serde_json::to_string_pretty(&value)?;
        files::write(path, &format!("{text}\n"), Readers::Umask, existing)
    }
}

fn read_key(jwk: &Value<'_>) -> Result<(Kid, [u8; 32])> {
    let jwk = jwk.as_object().context("it is not a JWK")?;
    let kid = jwk.get("kid").and_then(Value::as_str).context("it has no kid")?;
    let key = key_of_jwk(jwk).context("it is not a public Ed25519 key for signatures (RFC 8037)")?;
    Ok((Kid::new(kid)?, keyfile::checked(key)?))
}

/// A card of a hundred keys and a page of skills has some 64 KiB.
pub(super) const LIMITS: Limits = Limits { bytes: 256 * 1024, depth: 32, values: 16_384 };
