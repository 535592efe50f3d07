//! The judgement of published catalogs, in the words of `portcullis catalog verify --json`.

use crate::answer::{Answer, answer, count, optional, owned, time};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use portcullis_core::catalog::{Believed, Permission, verify_answer};
use portcullis_core::json::{Object, Value};
use wasm_bindgen::prelude::wasm_bindgen;

/// Verifies a published catalog, or an answer of discovery with many: hash and signature of
/// each. With `key`, standard base64, each must be signed by that.
///
/// # Errors
/// None: what is unreadable is refused.
#[wasm_bindgen(js_name = verifyCatalog)]
pub fn catalog(text: &[u8], key: Option<String>) -> Answer {
    let verified = verify_answer(text, key.as_deref());
    let (catalogs, services) = verified.as_ref().map_or((Vec::new(), 0), |verified| {
        (verified.catalogs.iter().map(|believed| found(believed).into()).collect(), verified.services)
    });
    let refused = verified.as_ref().err();
    answer(Ok(Object::from([
        ("catalogs", Value::Array(catalogs)),
        ("detail", optional(refused.map(ToString::to_string))),
        ("reason_code", Value::from(refused.map(|refused| refused.error.code()))),
        ("services", count(u64::try_from(services).unwrap_or(u64::MAX))),
        ("valid", refused.is_none().into()),
    ])))
}

fn found(believed: &Believed) -> Object<'static> {
    let catalog = &believed.catalog;
    Object::from([
        ("content_hash", owned(believed.content_hash.clone())),
        ("gate_id", owned(catalog.gate_id.clone())),
        ("permissions", Value::Array(catalog.permissions.iter().map(|one| offered(one).into()).collect())),
        ("public_key", owned(believed.public_key.clone())),
        ("published_at", time(catalog.published_at)),
        ("version", count(catalog.version)),
    ])
}

fn offered(permission: &Permission) -> Object<'static> {
    let terms = &permission.terms;
    let number = |number: Option<u64>| number.map_or(Value::Null, count);
    Object::from([
        ("permission_key", owned(permission.key.clone())),
        ("price_cents", number(terms.price.map(|price| price.cents))),
        ("pricing_model", Value::from(terms.price.map(|price| price.model.name()))),
        ("response_time_ms", number(terms.response_time_ms)),
        ("uptime_basis_points", number(terms.uptime_basis_points)),
    ])
}
