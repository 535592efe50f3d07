//! The judgement of CapiscIO's credentials, in the words of `portcullis verify --json`.

use crate::answer::{explained, optional, owned, public_jwk, time};
use crate::material::Material;
use alloc::string::String;
use alloc::vec::Vec;
use portcullis_core::capiscio::{
    self, Audience, Badge, RequestSignature, check_standing, did_of_key, key_id, verify_request_signature,
};
use portcullis_core::json::{Object, Value};
use portcullis_core::{Denial, Handed, UnixTime, base64, sha256};

/// A judged badge: as far as it could be verified, and why it is refused, if it is.
pub(crate) struct JudgedBadge {
    pub(crate) badge: Option<Badge>,
    pub(crate) denial: Option<Denial>,
    audience_checked: bool,
}

/// A judged SimpleGuard signature, with the `kid` that it names.
pub(crate) struct JudgedSignature {
    signature: Option<(String, RequestSignature)>,
    denial: Option<Denial>,
    body_checked: bool,
}

/// Judges a badge. Without `audiences`, the verifier's own names, `aud` is not compared.
pub(crate) fn judge_badge(
    credential: &Handed<'_>,
    audiences: Option<&[String]>,
    material: &Material,
    now: UnixTime,
) -> JudgedBadge {
    let trust = &material.trust;
    let audience = audiences.map_or(Audience::Unchecked, Audience::OneOf);
    let audience_checked = matches!(audience, Audience::OneOf(_));
    match capiscio::verify(credential.token(), trust, now) {
        Err(denial) => JudgedBadge { badge: None, denial: Some(denial), audience_checked },
        Ok(badge) => {
            let denial = check_standing(&badge, trust, audience, now).err();
            JudgedBadge { badge: Some(badge), denial, audience_checked }
        }
    }
}

/// Judges a SimpleGuard signature, and the body that came with it.
pub(crate) fn judge_signature(
    credential: &Handed<'_>,
    body: Option<&[u8]>,
    material: &Material,
    now: UnixTime,
) -> JudgedSignature {
    let verified = key_id(credential.token()).and_then(|kid| {
        let key = material.trust.simpleguard_key(&kid, now)?;
        Ok((kid, verify_request_signature(credential.token(), key, now)?))
    });
    let body_checked = body.is_some();
    match verified {
        Err(denial) => JudgedSignature { signature: None, denial: Some(denial), body_checked },
        Ok((kid, signature)) => {
            let check = |body: &[u8]| {
                let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
                signature.check_body(length, &sha256(body)).err()
            };
            let denial = body.and_then(check);
            JudgedSignature { signature: Some((kid, signature)), denial, body_checked }
        }
    }
}

/// The answer about a badge.
pub(crate) fn report_badge(credential: &Handed<'_>, judged: &JudgedBadge, now: UnixTime) -> Object<'static> {
    let mut report = report(credential, judged.denial.as_ref(), now);
    report.set("audience_checked", judged.audience_checked.into());
    if let Some(badge) = &judged.badge {
        report.set("badge", badge_facts(badge).into());
        report.set("ial", Value::from(badge.ial().text()));
        report.set("level", Value::from(badge.level().text()));
    }
    report
}

/// The answer about a signature.
pub(crate) fn report_signature(
    credential: &Handed<'_>,
    judged: &JudgedSignature,
    now: UnixTime,
) -> Object<'static> {
    let mut report = report(credential, judged.denial.as_ref(), now);
    report.set("body_checked", judged.body_checked.into());
    if let Some((kid, signature)) = &judged.signature {
        let facts = Object::from([
            ("bh", optional(signature.body_hash().map(|hash| base64::encode_url(hash)))),
            ("expires_at", time(signature.expires_at())),
            ("issued_at", time(signature.issued_at())),
            ("kid", owned(kid.clone())),
        ]);
        report.set("signature", facts.into());
    }
    report
}

/// Members about the credential are null until its signature holds.
fn report(credential: &Handed<'_>, denial: Option<&Denial>, now: UnixTime) -> Object<'static> {
    Object::from([
        ("audience_checked", Value::Null),
        ("badge", Value::Null),
        ("body_checked", Value::Null),
        ("detail", optional(denial.map(|denial| denial.detail.clone()))),
        ("explanation", explained(denial)),
        ("ial", Value::Null),
        ("judged_at", time(now)),
        ("kind", Value::from(credential.kind().name())),
        ("level", Value::Null),
        ("reason_code", Value::from(denial.map(|denial| denial.reason.code()))),
        ("signature", Value::Null),
        ("valid", denial.is_none().into()),
    ])
}

fn badge_facts(badge: &Badge) -> Object<'static> {
    let audience =
        badge.audience().map(|names| names.iter().map(|name| owned(name.clone())).collect::<Vec<_>>());
    Object::from([
        ("audience", audience.map_or(Value::Null, Value::Array)),
        ("domain", optional(badge.domain())),
        ("expires_at", time(badge.expires_at())),
        ("ial", Value::from(badge.ial().text())),
        ("issued_at", time(badge.issued_at())),
        ("issuer", owned(badge.issuer())),
        ("jti", owned(badge.id())),
        ("key", public_jwk(badge.key())),
        ("key_did", owned(did_of_key(badge.key()))),
        ("level", Value::from(badge.level().text())),
        ("signed_by", owned(badge.signer().id.clone())),
        ("subject", owned(badge.subject())),
    ])
}
