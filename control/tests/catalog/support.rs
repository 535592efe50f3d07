//! A gate, and catalogs for it.

use crate::common::Bench;
use portcullis_core::catalog::Published;
use serde_json::{Value, json};

pub(crate) fn bench(database: Option<&str>) -> Bench {
    let bench = Bench::new(database);
    bench.call("POST", "/api/gates", Some(json!({"gate_id": "gate_a", "name": "A"})));
    bench
}

pub(crate) fn offered(key: &str, constraints: Value) -> Value {
    json!({"permission_key": key, "display_name": key, "description": "", "constraints": constraints})
}

pub(crate) fn per_call(cents: u64) -> Value {
    json!({"core:pricing:per_call_cents": cents})
}

pub(crate) fn draft(bench: &Bench, permissions: Value) -> Value {
    let (status, draft) =
        bench.call("POST", "/api/gates/gate_a/catalog", Some(json!({"permissions": permissions})));
    assert_eq!(status, 200, "{draft}");
    draft
}

pub(crate) fn publish(bench: &Bench, permissions: Value) -> Value {
    draft(bench, permissions);
    let (status, published) = bench.call("POST", "/api/gates/gate_a/catalog/publish", None);
    assert_eq!(status, 201, "{published}");
    published
}

/// As whoever has the answer checks it.
pub(crate) fn verify(published: &Value) {
    let text = |name: &str| published[name].as_str().unwrap().to_owned();
    let (content_hash, signature, public_key) = (text("content_hash"), text("signature"), text("public_key"));
    let snapshot = published["catalog_snapshot"].to_string();
    let checked = Published {
        snapshot: snapshot.as_bytes(),
        content_hash: &content_hash,
        signature: &signature,
        public_key: &public_key,
    };
    assert_eq!(checked.verify().unwrap().gate_id, "gate_a");
}
