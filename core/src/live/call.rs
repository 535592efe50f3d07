//! A gate's calls to its control service: HTTP Message Signatures (RFC 9421).

use crate::attestation::Signer;
use crate::base64;
use crate::ed25519::SecretKey;
use crate::proof::{Base, content_digest};
use crate::time::UnixTime;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A request that a gate makes.
#[derive(Clone, Copy, Debug)]
pub struct Call<'c> {
    /// The method, in capitals.
    pub method: &'c str,
    /// The service's host, or host:port, in lower case.
    pub authority: &'c str,
    /// The path, as it is sent.
    pub path: &'c str,
    /// The query after the question mark, as it is sent; empty for none.
    pub query: &'c str,
    /// The body; empty for none.
    pub body: &'c [u8],
}

impl Call<'_> {
    /// The path of what the service has for a gate of this id, as it is sent.
    pub fn path_of(gate: &str, what: &str) -> String {
        format!("/gate/v1/gates/{}/{what}", segment(gate))
    }

    /// The headers that sign it: `signature-input` and `signature` with the label `gate`,
    /// and for a body `content-digest` (RFC 9530). `nonce` is random.
    pub fn sign(&self, key: &SecretKey, now: UnixTime, nonce: &[u8; 16]) -> Vec<(&'static str, String)> {
        self.sign_by(&Signer::new(key), now, nonce)
    }

    /// The same, with a key that was made ready: for whoever calls often.
    pub fn sign_by(&self, key: &Signer, now: UnixTime, nonce: &[u8; 16]) -> Vec<(&'static str, String)> {
        let query = ["?", self.query].concat();
        let digest = (!self.body.is_empty()).then(|| content_digest(self.body));
        let mut base = Base::default();
        for (name, value) in [
            ("@method", self.method),
            ("@authority", self.authority),
            ("@path", self.path),
            ("@query", &query),
        ] {
            base.add(name, value.as_bytes());
        }
        if let Some(digest) = &digest {
            base.add("content-digest", digest.as_bytes());
        }
        let parameters = format!(
            ";created={};keyid=\"{}\";alg=\"ed25519\";nonce=\"{}\";tag=\"portcullis-gate\"",
            now.as_millis().div_euclid(1000),
            key.key_id(),
            base64::encode_url(nonce)
        );
        let signature = base.sign("gate", &parameters, &|base| key.sign(base));
        let mut headers = Vec::with_capacity(3);
        headers.extend(digest.map(|digest| ("content-digest", digest)));
        headers.extend(signature);
        headers
    }
}

/// Text as one segment of a path: what is not unreserved is encoded (RFC 3986 section 2.3).
fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
