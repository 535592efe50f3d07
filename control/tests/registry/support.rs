//! Agents with keys, and what they send.

use crate::common::Bench;
use portcullis_control::db::Db;
use portcullis_core::capiscio::{Proof, did_of_key};
use portcullis_core::{
    BadgeIssuerConfig, DidDocumentConfig, KeyConfig, Profile, SecretKey, Trust, TrustConfig, UnixTime, base64,
};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use xtask::http::Request;

/// What `--public-url` is without the option.
pub const ORIGIN: &str = "https://control.portcullis.invalid";
pub const OWN_DID: &str = "did:web:control.portcullis.invalid";

/// A registered agent and its key.
pub struct Agent {
    pub key: SecretKey,
    pub id: String,
    pub did: String,
}

impl Agent {
    /// An agent of a `did:key`, registered for this level.
    pub fn with_did_key(bench: &Bench, seed: u8, level: &str) -> Self {
        let key = SecretKey::from_seed([seed; 32]);
        let did = did_of_key(&key.public_key());
        Self::register(bench, key, json!({"did": did, "trustLevel": level, "domain": "agents.example"}))
    }

    /// An agent of a `did:web` of the registry itself.
    pub fn with_own_did(bench: &Bench, seed: u8) -> Self {
        let key = SecretKey::from_seed([seed; 32]);
        let jwk = jwk(&key);
        Self::register(bench, key, json!({"publicKey": jwk}))
    }

    pub fn register(bench: &Bench, key: SecretKey, mut body: Value) -> Self {
        body["name"] = json!("an agent");
        let (status, made) = bench.call("POST", "/v1/sdk/agents", Some(body));
        assert_eq!(status, 201, "{made}");
        let text = |name: &str| made["data"][name].as_str().unwrap().to_owned();
        Agent { key, id: text("id"), did: text("did") }
    }

    /// The path of an action on it, its DID encoded.
    pub fn path(&self, action: &str) -> String {
        format!("/v1/agents/{}/{action}", self.did.replace('%', "%25").replace(':', "%3A"))
    }

    pub fn challenge(&self, bench: &Bench) -> Value {
        self.challenge_for(bench, json!({}))
    }

    pub fn challenge_for(&self, bench: &Bench, body: Value) -> Value {
        let (status, challenge) = bench.call("POST", &self.path("badge/challenge"), Some(body));
        assert_eq!(status, 200, "{challenge}");
        challenge
    }

    /// The right answer to a challenge.
    pub fn proof(&self, challenge: &Value) -> Proof {
        let text = |name: &str| challenge[name].as_str().unwrap().to_owned();
        let iat = UnixTime::from_millis(now_ms() / 1000 * 1000);
        let fragment = self.did.strip_prefix("did:key:").unwrap_or("key-1");
        Proof {
            kid: format!("{}#{fragment}", self.did),
            cid: text("challenge_id"),
            nonce: text("nonce"),
            sub: self.did.clone(),
            aud: text("proof_aud"),
            htu: text("htu"),
            htm: text("htm"),
            iat,
            exp: iat.plus_millis(60_000),
            jti: "proof-1".to_owned(),
        }
    }

    /// Sends an answer as an agent does: without an API key.
    pub fn answer(&self, bench: &Bench, challenge: &Value, jws: &str) -> (u16, Value) {
        let body = json!({"mode": "ial1", "challenge_id": challenge["challenge_id"], "proof_jws": jws});
        anyone(bench, "POST", &self.path("badge"), &body)
    }

    /// A badge of IAL 0, whole.
    pub fn badge(&self, bench: &Bench) -> Value {
        let (status, answer) = bench.call("POST", &self.path("badge"), Some(json!({"mode": "ial0"})));
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

pub fn jwk(key: &SecretKey) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": base64::encode_url(&key.public_key())})
}

pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A request without an API key.
pub fn anyone(bench: &Bench, method: &str, path: &str, body: &Value) -> (u16, Value) {
    with_headers(bench, method, path, &[], body)
}

pub fn with_headers(
    bench: &Bench,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> (u16, Value) {
    let mut request = Request::new(method, path);
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    request.headers.extend(headers);
    if !body.is_null() {
        request.body = body.to_string().into_bytes();
    }
    let answer = request.send(bench.service.address).unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
}

pub fn read(bench: &Bench, path: &str) -> Value {
    let (status, answer) = anyone(bench, "GET", path, &Value::Null);
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// What `/v1/validate` says of a badge: `valid`, or the code of its refusal.
pub fn verdict(bench: &Bench, token: &str) -> String {
    let (status, answer) = anyone(bench, "POST", "/v1/validate", &json!({"token": token}));
    assert_eq!(status, 200, "{answer}");
    let data = &answer["data"];
    assert_eq!(data["valid"].as_bool().unwrap(), data["error"].is_null(), "{answer}");
    assert_eq!(data["valid"].as_bool().unwrap(), data["claims"].is_object(), "{answer}");
    data["error"].as_str().unwrap_or("valid").to_owned()
}

/// The claims of a badge, unverified.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::decode_url(payload).unwrap()).unwrap()
}

/// The trust of a gate that follows the registry: its key set, and documents.
pub fn trust(bench: &Bench, documents: Vec<DidDocumentConfig>) -> Trust {
    let jwks = read(bench, "/.well-known/jwks.json");
    let jwks = portcullis_core::capiscio::Jwks::read(jwks.to_string().as_bytes()).unwrap();
    let key = |(key_id, key): (String, [u8; 32])| KeyConfig {
        key_id,
        public_key: base64::encode(&key),
        not_before: None,
        not_after: None,
    };
    let issuer = BadgeIssuerConfig {
        id: ORIGIN.to_owned(),
        tier: 1,
        actions: vec!["*".to_owned()],
        keys: jwks.keys.into_iter().map(key).collect(),
        minimum_level: None,
        compatibility: Vec::new(),
        revocations_synced_at: None,
    };
    let config =
        TrustConfig { badge_issuers: vec![issuer], did_documents: documents, ..TrustConfig::default() };
    Trust::new(&config, Profile::L1).unwrap()
}

/// Runs statements in the service's own database: what takes hours is put into the past.
pub fn in_database(bench: &Bench, statements: &[&'static str]) {
    block_on(async {
        let db = Db::open(&bench.control.database).await.unwrap();
        for statement in statements {
            sqlx::query(*statement).execute(db.pool()).await.unwrap();
        }
        db.close().await;
    });
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The ids of what gates are told to be revoked, of a kind.
pub fn revoked(bench: &Bench, kind: &'static str) -> Vec<String> {
    block_on(async {
        let db = Db::open(&bench.control.database).await.unwrap();
        let ids: Vec<(String,)> =
            sqlx::query_as("SELECT id FROM revocations WHERE kind = $1 AND issuer = $2")
                .bind(kind)
                .bind(ORIGIN)
                .fetch_all(db.pool())
                .await
                .unwrap();
        db.close().await;
        ids.into_iter().map(|(id,)| id).collect()
    })
}
