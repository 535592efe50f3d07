//! Agents that prove their requests (RFC 9421). Written from the RFC and not with the core's
//! own signing: what is measured should not also make the input.

use std::fmt::Write;
use std::time::SystemTime;

use anyhow::Result;
use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};

use super::credentials::Signer;
use super::side_by_side::{PATH, request};

/// The authority of every gate here that asks for proofs, wherever it listens.
pub(crate) const AUTHORITY: &str = "gate.bench";

/// An agent with a passport that an issuer gave it.
pub(crate) struct Agent {
    keys: Signer,
    id: String,
    passport: String,
    /// How many nonces of its own it has used.
    used: u64,
}

impl Agent {
    /// The agent of a number, which must be between 1 and 200, with a passport of `issuer`.
    pub(crate) fn new(number: u8, issuer: &mut Signer) -> Result<Self> {
        // The numbers below are other signers'.
        let keys = Signer::new(number.saturating_add(50));
        let id = format!("agent_bench_{number}");
        let passport = issuer.issued(&id, &keys)?;
        Ok(Self { keys, id, passport, used: 0 })
    }

    /// The bytes of a GET request without a proof.
    pub(crate) fn unproven(&self) -> Vec<u8> {
        request("GET", &[("agent-passport", &self.passport)], &[]).to_bytes(AUTHORITY, false)
    }

    /// The bytes of a GET request that is proved now, with this nonce.
    pub(crate) fn get(&self, nonce: &str) -> Result<Vec<u8>> {
        self.request("GET", &[], nonce)
    }

    /// The bytes of a request that is proved now: a POST request if there is a body. The
    /// nonce is new.
    pub(crate) fn fresh(&mut self, body: &[u8]) -> Result<Vec<u8>> {
        self.used = self.used.saturating_add(1);
        // Unlike any other of this agent; nobody here guesses nonces.
        let nonce = format!("{:032x}", self.used);
        self.request(if body.is_empty() { "GET" } else { "POST" }, body, &nonce)
    }

    fn request(&self, method: &str, body: &[u8], nonce: &str) -> Result<Vec<u8>> {
        let created = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let mut headers = vec![("agent-passport", self.passport.clone())];
        let mut covered = r#""@method" "@authority" "@path" "@query" "agent-passport""#.to_owned();
        let mut base = format!(
            "\"@method\": {method}\n\"@authority\": {AUTHORITY}\n\"@path\": {PATH}\n\"@query\": ?\n\"agent-passport\": {}\n",
            self.passport
        );
        if !body.is_empty() {
            let digest = format!("sha-256=:{}:", Base64::encode_string(&Sha256::digest(body)));
            covered.push_str(r#" "content-digest""#);
            writeln!(base, "\"content-digest\": {digest}")?;
            headers.push(("content-digest", digest));
        }
        let id = &self.id;
        let parameters = format!(
            r#"({covered});created={created};keyid="{id}";alg="ed25519";nonce="{nonce}";tag="agent-proof""#
        );
        write!(base, "\"@signature-params\": {parameters}")?;
        let signature = Base64::encode_string(&self.keys.sign(base.as_bytes()));
        headers.push(("signature-input", format!("agent={parameters}")));
        headers.push(("signature", format!("agent=:{signature}:")));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Ok(request(method, &headers, body).to_bytes(AUTHORITY, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::{
        CLOCK_SKEW_MS, Holder, ProofWindows, PublicKey, RequestHead, UnixTime, verify_proof,
    };

    /// Has the core judge the proof of a request.
    fn is_proved(bytes: &[u8], agent: &Agent) -> bool {
        let mut slots = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Request::new(&mut slots);
        assert!(head.parse(bytes).unwrap().is_complete());
        let headers: Vec<_> =
            head.headers.iter().map(|header| (header.name.as_bytes(), header.value)).collect();
        let head = RequestHead {
            method: head.method.unwrap().as_bytes(),
            authority: AUTHORITY.as_bytes(),
            path: head.path.unwrap().as_bytes(),
            headers: &headers,
            source: None,
        };
        let key = Base64::decode_vec(&agent.keys.public_key()).unwrap();
        let key = PublicKey::from_bytes(key.first_chunk().unwrap()).unwrap();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let now = UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap());
        let windows = ProofWindows { skew_ms: CLOCK_SKEW_MS, life_ms: 300_000 };
        let holder = Holder { key: &key, id: &agent.id };
        matches!(verify_proof(&head, "agent-passport", &holder, &windows, now), Ok(Some(_)))
    }

    #[test]
    fn an_agents_requests_are_proved_by_its_key() {
        let mut issuer = Signer::new(1);
        let mut agent = Agent::new(1, &mut issuer).unwrap();
        let other = Agent { id: agent.id.clone(), ..Agent::new(2, &mut issuer).unwrap() };
        for body in [&b""[..], b"body"] {
            let request = agent.fresh(body).unwrap();
            assert!(is_proved(&request, &agent));
            assert!(!is_proved(&request, &other));
        }
        assert!(!is_proved(&agent.unproven(), &agent));
    }

    #[test]
    fn an_agent_uses_no_nonce_twice() {
        let mut agent = Agent::new(1, &mut Signer::new(1)).unwrap();
        assert_ne!(agent.fresh(b"").unwrap(), agent.fresh(b"").unwrap());
    }
}
