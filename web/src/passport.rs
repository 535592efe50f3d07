//! The judgement of a passport, in the words of `portcullis verify --json`.

use crate::answer::{explained, optional, owned, time};
use crate::material::Material;
use portcullis_core::json::{Object, Value};
use portcullis_core::modei::{self, Passport, SelfContained};
use portcullis_core::{Denial, Handed, Reason, Trust, UnixTime, base64, check_window};

/// A judged passport: as far as it could be verified, and why it is refused, if it is.
pub(crate) struct Judged {
    pub(crate) passport: Option<Passport>,
    pub(crate) denial: Option<Denial>,
}

/// Judges a passport.
pub(crate) fn judge(credential: &Handed<'_>, material: &Material, now: UnixTime) -> Judged {
    let trust = material.is_given.then_some(&material.trust);
    let verified = credential.signed().and_then(|signed| match trust {
        None => modei::verify(&signed, &SelfContained),
        Some(trust) => modei::verify(&signed, &trust.roots_at(now)),
    });
    let passport = match verified {
        Ok(passport) => passport,
        Err(denial) => return Judged { passport: None, denial: Some(denial) },
    };
    let standing = check_window(&passport, now).and_then(|()| match trust {
        None => Ok(()),
        Some(trust) => trust
            .check_revocation(&passport)
            .map_err(|reason| Denial::new(reason, "the passport or one that it was delegated from")),
    });
    Judged { passport: Some(passport), denial: standing.err() }
}

/// The answer; members about the passport are null until its signatures hold.
pub(crate) fn report(
    credential: &Handed<'_>,
    judged: &Judged,
    material: &Material,
    now: UnixTime,
) -> Object<'static> {
    let (passport, denial) = (judged.passport.as_ref(), judged.denial.as_ref());
    let trust = material.is_given.then_some(&material.trust);
    let tier = passport.and_then(|passport| trust?.tier(passport.root()));
    let provenance = passport.map(|passport| passport.provenance().name());
    Object::from([
        ("detail", optional(denial.map(|denial| denial.detail.clone()))),
        ("explanation", explained(denial)),
        ("judged_at", time(now)),
        ("judged_by", Value::from(if trust.is_some() { "bundle" } else { "itself" })),
        ("kind", Value::from(credential.kind().name())),
        ("passport", passport.map_or(Value::Null, |passport| facts(passport, trust).into())),
        ("provenance", Value::from(provenance)),
        ("reason_code", Value::from(denial.map(|denial| denial.reason.code()))),
        ("tier", tier.map_or(Value::Null, |tier| i32::from(tier.number()).into())),
        ("valid", denial.is_none().into()),
    ])
}

fn facts(passport: &Passport, trust: Option<&Trust>) -> Object<'static> {
    let root = passport.root();
    let ceiling = |key: &str| trust?.check_ceiling(root, key).err();
    let issuer = Object::from([
        ("id", owned(root.issuer())),
        ("key_id", owned(root.key_id())),
        ("type", Value::from(root.kind().name())),
    ]);
    let hops = passport.hops().map(|hop| {
        let members = [
            ("agent_id", owned(hop.agent_id())),
            ("expires_at", time(hop.expires_at())),
            ("issued_at", time(hop.issued_at())),
            ("passport_id", owned(hop.passport_id())),
        ];
        Object::from(members).into()
    });
    let permissions = passport.permissions().iter().map(|(key, constraints)| {
        let members = [
            ("constraints", constraints.clone().into()),
            ("permission_key", owned(key)),
            ("reason_code", Value::from(ceiling(key).map(Reason::code))),
        ];
        Object::from(members).into()
    });
    Object::from([
        ("agent_id", owned(passport.agent_id())),
        ("agent_name", optional(passport.agent_name())),
        ("expires_at", time(passport.expires_at())),
        ("hops", Value::Array(hops.collect())),
        ("issued_at", time(passport.issued_at())),
        ("issuer", issuer.into()),
        ("passport_id", owned(passport.id())),
        ("permissions", Value::Array(permissions.collect())),
        ("public_key", owned(base64::encode(passport.public_key()))),
    ])
}
