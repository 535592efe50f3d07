//! Agents that use what has a price, and what they keep of it.

use portcullis_core::json::Object;
use portcullis_core::modei::{CatalogPin, Draft, Issuer, RootKind, issue_pinned};
use portcullis_core::receipt::SignedReceipt;
use portcullis_core::{ProofDraft, SecretKey, UnixTime, base64};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

pub const HASH: &str = "1111111111111111111111111111111111111111111111111111111111111111";

/// An agent, and its passport.
pub struct Agent {
    pub key: SecretKey,
    pub header: String,
    pub id: String,
}

impl Agent {
    /// One whose passport this issuer has signed, pinned to the first version of the gate's catalog
    /// by its hash, or to none.
    pub fn of_issuer(
        issuer: &str,
        by: &SecretKey,
        seed: u8,
        actions: &[&str],
        pin: Option<&str>,
        now: UnixTime,
    ) -> Self {
        let issuer = Issuer { kind: RootKind::Gate, id: issuer.into(), key_id: "k1".into(), gate_id: None };
        let draft = Draft {
            passport_id: format!("pp_{seed}"),
            agent_name: None,
            permissions: actions.iter().map(|action| ((*action).to_owned(), Object::default())).collect(),
            issued_at: now.plus_millis(-1000),
            expires_at: now.plus_millis(3_600_000),
            delegation_authority: false,
        };
        let key = SecretKey::from_seed([seed; 32]);
        let pin = pin.map(|hash| CatalogPin { version: 1, content_hash: hash.into() });
        let id = format!("agent_{seed}");
        let passport = issue_pinned(by, &issuer, &id, &key.public_key(), &draft, pin.as_ref());
        Agent { key, header: passport.to_header(), id }
    }

    /// The headers of a request that it has signed, with a nonce of its own.
    pub fn sign(&self, authority: &str, path: &str, now: UnixTime) -> Vec<(&'static str, String)> {
        static NONCES: AtomicU64 = AtomicU64::new(0);
        let mut random = [0; 16];
        random[..8].copy_from_slice(&NONCES.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        random[8..12].copy_from_slice(&std::process::id().to_le_bytes());
        self.sign_with(authority, path, now, &base64::encode_url(&random))
    }

    pub fn sign_with(
        &self,
        authority: &str,
        path: &str,
        now: UnixTime,
        nonce: &str,
    ) -> Vec<(&'static str, String)> {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let draft = ProofDraft {
            method: "GET",
            authority,
            path,
            query,
            credential: ("agent-passport", &self.header),
            body: None,
            key_id: &self.id,
            created: now,
            expires: None,
            nonce,
        };
        let mut headers = vec![("agent-passport", self.header.clone())];
        headers.extend(draft.sign(&self.key));
        headers
    }
}

/// `catalog_hashes` and `catalog_prices`, and the gate as an issuer, in a gate's configuration.
pub fn with_prices(configuration: &mut Value, by: &SecretKey) {
    configuration["catalog_hashes"] = json!([HASH]);
    let rate = |model: &str, cents: u64| json!([{"since": 1, "model": model, "cents": cents, "fee_basis_points": 250}]);
    configuration["catalog_prices"] = json!({
        "paid:call": rate("per_call", 5),
        "paid:minute": rate("per_minute", 30),
        "paid:month": rate("subscription", 900),
        "paid:unit": rate("usage", 7),
    });
    let gate = configuration["gate"]["id"].clone();
    configuration["trust"]["issuers"] = json!([{
        "id": gate, "type": "gate", "tier": 3, "actions": ["*"],
        "keys": [{"key_id": "k1", "public_key": base64::encode(&by.public_key())}],
    }]);
}

/// Publishes catalogs at a service by what a gate's configuration has of them, which is taken out
/// of it by that, and answers their hashes. `call` makes a call to the service with a body.
pub fn publish(gate: &str, prices: &Value, call: &dyn Fn(&str, &str, &Value) -> Value) -> Vec<String> {
    let prices = prices.as_object().expect("prices by action");
    let since = |price: &Value| price["since"].as_u64().expect("a version");
    let newest = prices.values().flat_map(|list| list.as_array().expect("a list")).map(since).max();
    let publish = |version| {
        let offered = prices.iter().map(|(action, list)| {
            let list = list.as_array().expect("a list");
            let price = list.iter().rev().find(|price| since(price) <= version);
            json!({
                "permission_key": action, "display_name": action, "description": "",
                "constraints": price.map_or(json!({}), terms),
            })
        });
        let offered: Vec<Value> = offered.collect();
        call("POST", &format!("/api/gates/{gate}/catalog"), &json!({"permissions": offered}));
        let published = call("POST", &format!("/api/gates/{gate}/catalog/publish"), &json!({}));
        published["content_hash"].as_str().expect("a hash").to_owned()
    };
    (1..=newest.unwrap_or(0)).map(publish).collect()
}

/// The terms of a price.
fn terms(price: &Value) -> Value {
    let member = match price["model"].as_str() {
        None => return json!({}),
        Some("per_minute") => "core:pricing:per_minute_cents",
        Some("subscription") => "core:pricing:subscription_cents",
        Some(_) => "core:pricing:per_call_cents",
    };
    json!({
        "core:pricing:model": price["model"], member: price["cents"],
        "core:platform_fee:basis_points": price["fee_basis_points"],
    })
}

/// The receipt in a value of `Agent-Receipt`: an RFC 9651 byte sequence.
pub fn receipt(header: &str) -> SignedReceipt {
    let text = header.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')).expect("a byte sequence");
    SignedReceipt::read(&base64::decode(text).expect("base64")).expect("a receipt")
}

/// The receipt's id in a value of `Agent-Receipt`: an RFC 9651 string.
pub fn receipt_id(header: &str) -> &str {
    header.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).expect("a string")
}
