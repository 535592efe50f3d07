//! Credentials by the thousand, made here and not by the core: what is measured
//! should not also make the input.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use ed25519_compact::{KeyPair, Seed};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An agent, or an issuer of JWTs, with a key of its own.
pub(crate) struct Signer {
    keys: KeyPair,
    issued: u64,
    now: SystemTime,
}

impl Signer {
    /// The same number, which must not be 0, makes the same key: a benchmark
    /// needs no secret.
    pub(crate) fn new(number: u8) -> Self {
        Self { keys: KeyPair::from_seed(Seed::new([number; 32])), issued: 0, now: SystemTime::now() }
    }

    /// The value of an `Agent-Passport` header: a passport that this agent
    /// signed itself (Modei passport v2), different from all before it.
    pub(crate) fn self_issued(&mut self) -> String {
        let hash = Sha256::digest(self.keys.pk.as_ref());
        let hash_hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let issuer = json!({ "type": "self", "id": format!("self:{hash_hex}"), "key_id": "self" });
        let passport = self.passport("pp_self", &issuer);
        let signature = self.sign(passport.to_string().as_bytes());
        header(&passport, &signature)
    }

    /// The value of an `Agent-Passport` header: a passport that this issuer, as a platform,
    /// has issued to an agent with this id and key.
    pub(crate) fn issued(&mut self, agent_id: &str, agent: &Signer) -> Result<String> {
        let issuer = json!({ "type": "platform", "id": PASSPORT_ISSUER, "key_id": JWT_KEY_ID });
        let mut passport = self.passport("pp_bench", &issuer);
        let identity = passport.get_mut("identity").context("a passport has an identity")?;
        *identity = json!({ "agent_id": agent_id, "agent_name": null, "public_key": agent.public_key() });
        let signature = self.sign(passport.to_string().as_bytes());
        Ok(header(&passport, &signature))
    }

    /// A passport of an issuer that no gate knows, with a signature that is
    /// none: what costs a sender nothing to make.
    pub(crate) fn forged(&mut self) -> String {
        let issuer = json!({ "type": "platform", "id": "issuer:nobody", "key_id": "ik_1" });
        let passport = self.passport("pp_forged", &issuer);
        header(&passport, &[0x5a; 64])
    }

    /// A JWT signed with EdDSA (RFC 8037), different from all before it.
    pub(crate) fn jwt(&mut self) -> Result<String> {
        let number = self.number();
        let expires = self.now.duration_since(SystemTime::UNIX_EPOCH)?.saturating_add(LIFE).as_secs();
        let claims = json!({
            "iss": JWT_ISSUER, "sub": "agent", "exp": expires,
            "jti": format!("{number:032x}"), "scope": "flights:search",
        });
        Ok(self.jws(JWT_KEY_ID, &claims))
    }

    /// A Trust Badge of level 2 (RFC-002), different from all before it.
    pub(crate) fn badge(&mut self) -> Result<String> {
        let number = self.number();
        let now = self.now.duration_since(SystemTime::UNIX_EPOCH)?;
        let key = Base64UrlUnpadded::encode_string(self.keys.pk.as_ref());
        let claims = json!({
            "jti": format!("00000000-0000-4000-8000-{number:012x}"),
            "iss": BADGE_ISSUER, "sub": "did:web:registry.example:agents:bench",
            "iat": now.as_secs(), "exp": now.saturating_add(LIFE).as_secs(), "ial": "0",
            "key": { "kty": "OKP", "crv": "Ed25519", "x": key },
            "vc": {
                "type": ["VerifiableCredential", "AgentIdentity"],
                "credentialSubject": { "domain": "agents.example", "level": "2" },
            },
        });
        Ok(self.jws(JWT_KEY_ID, &claims))
    }

    /// A SimpleGuard signature over this body, made now, different from all before it.
    pub(crate) fn simpleguard(&mut self, key_id: &str, body: &[u8]) -> Result<String> {
        let number = self.number();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let hash = Base64UrlUnpadded::encode_string(&Sha256::digest(body));
        let claims = json!({
            "iss": "bench", "task": number, "iat": now, "exp": now.saturating_add(60), "bh": hash,
        });
        Ok(self.jws(key_id, &claims))
    }

    /// This signer's public key, in standard base64.
    pub(crate) fn public_key(&self) -> String {
        Base64::encode_string(self.keys.pk.as_ref())
    }

    fn jws(&self, key_id: &str, claims: &Value) -> String {
        let head = json!({ "alg": "EdDSA", "kid": key_id, "typ": "JWT" });
        let signed = format!("{}.{}", base64url(&head), base64url(claims));
        let signature = self.sign(signed.as_bytes());
        format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature))
    }

    /// This signer's public key as a JWK set (RFC 7517, RFC 8037).
    pub(crate) fn jwks(&self) -> Value {
        json!({ "keys": [{
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": JWT_KEY_ID,
            "x": Base64UrlUnpadded::encode_string(self.keys.pk.as_ref()),
        }] })
    }

    /// A v2 envelope. serde_json sorts members by their bytes and writes small
    /// integers plainly, which for this ASCII content is RFC 8785's form.
    fn passport(&mut self, prefix: &str, issuer: &Value) -> Value {
        let number = self.number();
        let hash = Sha256::digest(self.keys.pk.as_ref());
        let agent: String = Base64UrlUnpadded::encode_string(&hash).chars().take(32).collect();
        json!({
            "schema_version": 2,
            "passport_id": format!("{prefix}_{number:032x}"),
            "identity": {
                "agent_id": format!("agent_self_{agent}"),
                "agent_name": null,
                "public_key": Base64::encode_string(self.keys.pk.as_ref()),
            },
            "permissions": [{ "permission_key": "flights:search", "constraints": {} }],
            "provenance": {
                "issuer": issuer,
                "gate_id": null,
                "catalog_content_hash": null,
                "catalog_version": null,
                "delegation_chain": null,
                "issued_at": self.time(Duration::ZERO),
                "expires_at": self.time(LIFE),
            },
            "delegation_authority": false,
            "verification_evidence": [],
        })
    }

    fn time(&self, ahead: Duration) -> String {
        let time = self.now.checked_add(ahead).unwrap_or(self.now);
        humantime::format_rfc3339_millis(time).to_string()
    }

    /// This signer's signature of these bytes.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        *self.keys.sk.sign(message, None)
    }

    fn number(&mut self) -> u64 {
        self.issued = self.issued.saturating_add(1);
        self.issued
    }
}

/// The `iss` of the JWTs.
pub(crate) const JWT_ISSUER: &str = "https://issuer.example";

/// The `iss` of the badges.
pub(crate) const BADGE_ISSUER: &str = "https://registry.example";

/// The issuer of passports that are not self-issued.
pub(crate) const PASSPORT_ISSUER: &str = "issuer:bench";

/// The `kid` of every JWS here, and the id of the issuer's key.
pub(crate) const JWT_KEY_ID: &str = "bench";

/// Longer than any run.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// An RFC 9651 byte sequence holding the signed passport.
fn header(passport: &Value, signature: &[u8; 64]) -> String {
    let signature = Base64::encode_string(signature);
    let whole = json!({ "passport_json": passport, "signature": signature });
    format!(":{}:", Base64::encode_string(whole.to_string().as_bytes()))
}

fn base64url(value: &Value) -> String {
    Base64UrlUnpadded::encode_string(value.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passport_is_written_in_canonical_order() {
        let passport = Signer::new(1).passport("pp_self", &json!({})).to_string();
        let members: Vec<_> = [
            "delegation_authority",
            "identity",
            "passport_id",
            "permissions",
            "provenance",
            "schema_version",
            "verification_evidence",
        ]
        .iter()
        .map(|name| passport.find(&format!("\"{name}\":")))
        .collect();
        assert!(members.iter().all(Option::is_some));
        assert!(members.is_sorted());
    }

    #[test]
    fn an_agent_id_is_the_hash_of_its_key() {
        let passport = Signer::new(1).passport("pp_self", &json!({}));
        // What modei-python 1.1.0a2 derives from a seed of 32 bytes of 1.
        assert_eq!(
            passport.pointer("/identity/public_key"),
            Some(&json!("iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w="))
        );
        assert_eq!(
            passport.pointer("/identity/agent_id"),
            Some(&json!("agent_self_NHUPmL1Z_PyUbaRaqr6TO-FUpLUJThxK"))
        );
    }

    #[test]
    fn no_two_credentials_are_equal() {
        let mut signer = Signer::new(1);
        assert_ne!(signer.self_issued(), signer.self_issued());
        assert_ne!(signer.jwt().unwrap(), signer.jwt().unwrap());
    }
}
