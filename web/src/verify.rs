//! The judgement of a credential of any kind.

use crate::answer::{Answer, answer};
use crate::capiscio::{judge_badge, judge_signature, report_badge, report_signature};
use crate::credential::Credential;
use crate::input::{Given, Unusable, json};
use crate::material::{Material, TrustMaterial};
use crate::passport;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use portcullis_core::json::{Object, Value};
use portcullis_core::{Kind, UnixTime};
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
    let credential = Credential::of_kind(given.optional_text("kind")?.unwrap_or_default(), credential)?;
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

impl Given<'_, '_> {
    /// A time: milliseconds since 1970, or RFC 3339 in UTC.
    pub(crate) fn time(&self, name: &str) -> Result<UnixTime, Unusable> {
        self.optional(name)
            .and_then(|value| match value {
                Value::String(text) => UnixTime::from_rfc3339(text),
                value => value.as_integer().map(UnixTime::from_millis),
            })
            .ok_or_else(|| self.fault(name, "a time: RFC 3339 in UTC, or whole milliseconds since 1970"))
    }

    /// A list of strings, if it is there.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Unusable> {
        if self.optional(name).is_none() {
            return Ok(None);
        }
        let read = |value: &Value<'_>| value.as_str().map(Into::into);
        let texts: Option<Vec<String>> = self.list(name)?.iter().map(read).collect();
        texts.map(Some).ok_or_else(|| self.fault(name, "a list of strings"))
    }
}
