//! The judgement of a credential of any kind.

use crate::answer::{Answer, answer};
use crate::capiscio::{judge_badge, judge_signature, report_badge, report_signature};
use crate::credential::of_kind;
use crate::input::{Given, Unusable, json};
use crate::material::{Material, TrustMaterial};
use crate::passport;
use alloc::boxed::Box;
use portcullis_core::Kind;
use portcullis_core::json::Object;
use wasm_bindgen::prelude::wasm_bindgen;

/// Judges a credential, in the words of `portcullis verify --json`. `options` is JSON: `at`,
/// `kind` where the caller knows it, and for badges `audiences`. `body` is what came with a
/// SimpleGuard signature.
///
/// # Errors
/// What is no credential, and options that are not of their form.
#[wasm_bindgen]
pub fn verify(
    credential: &[u8],
    options: &[u8],
    material: &TrustMaterial,
    body: Option<Box<[u8]>>,
) -> Answer {
    answer(judge(credential, options, &material.0, body.as_deref()))
}

fn judge(
    credential: &[u8],
    options: &[u8],
    material: &Material,
    body: Option<&[u8]>,
) -> Result<Object<'static>, Unusable> {
    let options = json(options)?;
    let given = Given::of("options", &options, &["at", "audiences", "kind"])?;
    let now = given.time("at")?;
    let audiences = given.texts("audiences")?;
    let credential = of_kind(given.optional_text("kind")?.unwrap_or_default(), credential)?;
    let kind = credential.kind();
    if audiences.is_some() && kind != Kind::Badge {
        return Err(Unusable::new("INVALID_ARGUMENT", "audiences are for badges only"));
    }
    if body.is_some() && kind != Kind::SimpleGuard {
        return Err(Unusable::new("INVALID_ARGUMENT", "a body is for SimpleGuard signatures only"));
    }
    Ok(match kind {
        Kind::Passport | Kind::PassportJwt => {
            let judged = passport::judge(&credential, material, now);
            passport::report(&credential, &judged, material, now)
        }
        Kind::Badge => {
            let judged = judge_badge(&credential, audiences.as_deref(), material, now);
            report_badge(&credential, &judged, now)
        }
        Kind::SimpleGuard => {
            report_signature(&credential, &judge_signature(&credential, body, material, now), now)
        }
    })
}
