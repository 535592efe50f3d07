//! A gate's calls to its control service: HTTP Message Signatures (RFC 9421).

use crate::base64;
use crate::ed25519::{SecretKey, sha256};
use crate::time::UnixTime;
use alloc::format;
use alloc::string::{String, ToString};
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
    /// The headers that sign it: `signature-input` and `signature` with the label `gate`,
    /// and for a body `content-digest` (RFC 9530). `nonce` is random.
    pub fn sign(&self, key: &SecretKey, now: UnixTime, nonce: &[u8; 16]) -> Vec<(&'static str, String)> {
        let mut components = "\"@method\" \"@authority\" \"@path\" \"@query\"".to_string();
        let Call { method, authority, path, query, body } = self;
        let mut base = format!(
            "\"@method\": {method}\n\"@authority\": {authority}\n\"@path\": {path}\n\"@query\": ?{query}\n"
        );
        let mut headers = Vec::with_capacity(3);
        if !body.is_empty() {
            let digest = format!("sha-256=:{}:", base64::encode(&sha256(body)));
            components.push_str(" \"content-digest\"");
            base.push_str("\"content-digest\": ");
            base.push_str(&digest);
            base.push('\n');
            headers.push(("content-digest", digest));
        }
        let params = format!(
            "({components});created={};keyid=\"{}\";alg=\"ed25519\";nonce=\"{}\";tag=\"portcullis-gate\"",
            now.as_millis().div_euclid(1000),
            base64::encode_url(&sha256(&key.public_key_without_table())),
            base64::encode_url(nonce)
        );
        base.push_str("\"@signature-params\": ");
        base.push_str(&params);
        let signature = base64::encode(&key.sign_without_table(base.as_bytes()));
        headers.push(("signature-input", format!("gate={params}")));
        headers.push(("signature", format!("gate=:{signature}:")));
        headers
    }
}
