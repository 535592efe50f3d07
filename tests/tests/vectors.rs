//! The vectors, natively: and that their files are what the generator makes.

use portcullis_core::capiscio::{self, Audience};
use portcullis_core::modei::{self, SelfContained};
use portcullis_core::{Denial, Profile, Trust, TrustConfig, UnixTime, check_window, sha256};
use portcullis_tests::vectors::{Expect, Family, Vector, file_text};
use std::collections::BTreeSet;

#[test]
fn the_files_are_what_the_generator_makes() {
    for family in Family::ALL {
        let made = family.made();
        if std::env::var_os("PORTCULLIS_WRITE_VECTORS").is_some() {
            std::fs::create_dir_all(family.folder()).unwrap();
            for vector in &made {
                let file = family.folder().join(format!("{}.json", vector.name));
                std::fs::write(file, file_text(vector)).unwrap();
            }
        }
        let files = family.load();
        let names: BTreeSet<_> = made.iter().map(|vector| vector.name.clone()).collect();
        assert_eq!(names.len(), made.len(), "two vectors have one name");
        assert_eq!(files.keys().cloned().collect::<BTreeSet<_>>(), names);
        for vector in &made {
            assert_eq!(
                files[&vector.name],
                file_text(vector),
                "{} (set PORTCULLIS_WRITE_VECTORS to write it)",
                vector.name
            );
        }
    }
}

#[test]
fn every_vector_gets_its_verdict_natively() {
    let mut wrong = Vec::new();
    for family in Family::ALL {
        for (name, text) in family.load() {
            let vector: Vector = serde_json::from_str(&text).unwrap();
            let verdict = match judge(family, &vector) {
                Ok(what) => Expect::Valid(what),
                Err(denial) => Expect::Refused(denial.reason.code().into()),
            };
            if verdict != vector.expect {
                wrong.push(format!("{name}: {verdict:?} and not {:?} ({})", vector.expect, vector.why));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_reason_that_a_credential_can_be_refused_for_has_a_vector() {
    let refused: BTreeSet<_> = Family::ALL
        .into_iter()
        .flat_map(Family::made)
        .filter_map(|vector| match vector.expect {
            Expect::Refused(code) => Some(code),
            Expect::Valid(_) => None,
        })
        .collect();
    // Reasons that speak of the request around the credential have scenarios instead.
    let of_requests = [
        "authority_unknown",
        "body_too_large",
        "constraint_not_enforceable",
        "credential_ambiguous",
        "credential_malformed",
        "credential_missing",
        "header_ambiguous",
        "host_fault",
        "issuer_ceiling_exceeded",
        "method_unknown",
        "path_ambiguous",
        "permission_denied",
        "request_replayed",
        "route_unknown",
        "self_issued_platform_ceiling_exceeded",
        "upgrade_refused",
        // A memory that is full has tests of its own.
        "replay_memory_full",
        // Nor is live trust material a matter of the credential.
        "trust_material_missing",
        "trust_material_stale",
        // No profile of a gate with static trust material asks for a tier.
        "trust_tier_insufficient",
    ];
    for reason in portcullis_core::Reason::ALL {
        let code = reason.code();
        assert_ne!(refused.contains(code), of_requests.contains(&code), "{code}");
    }
}

fn judge(family: Family, vector: &Vector) -> Result<String, Denial> {
    let now = UnixTime::from_iso(&vector.now).expect("a time");
    let trust = |vector: &Vector| {
        let text = vector.trust.as_ref().expect("trust material").to_string();
        let config = TrustConfig::from_json(text.as_bytes()).expect("trust material");
        Trust::new(&config, Profile::L1).expect("trust material")
    };
    match family {
        Family::Passport => judge_passport(vector, now).map(Into::into),
        Family::Badge => {
            let trust = trust(vector);
            let audiences: BTreeSet<_> = vector.audiences.iter().flatten().cloned().collect();
            let badge = capiscio::verify(vector.credential.as_bytes(), &trust, now)?;
            capiscio::check_standing(&badge, &trust, Audience::OneOf(&audiences), now)?;
            Ok(badge.level().text().into())
        }
        Family::SimpleGuard => {
            let trust = trust(vector);
            let token = vector.credential.as_bytes();
            let kid = capiscio::key_id(token)?;
            let key = trust.simpleguard_key(&kid, now)?;
            let signature = capiscio::verify_request_signature(token, key, now)?;
            let body = vector.body.as_deref().unwrap_or_default().as_bytes();
            signature.check_body(u64::try_from(body.len()).unwrap(), &sha256(body))?;
            Ok(kid)
        }
    }
}

fn judge_passport(vector: &Vector, now: UnixTime) -> Result<&'static str, Denial> {
    let bytes = vector.credential.as_bytes();
    let signed =
        if modei::is_jwt(bytes) { modei::from_jwt(bytes)? } else { modei::from_json(bytes.to_vec()) };
    let Some(trust) = &vector.trust else {
        let passport = modei::verify(&signed, &SelfContained)?;
        check_window(&passport, now)?;
        return Ok(passport.provenance().name());
    };
    let config = TrustConfig::from_json(trust.to_string().as_bytes()).expect("trust material");
    let trust = Trust::new(&config, Profile::L1).expect("trust material");
    let passport = modei::verify(&signed, &trust.roots_at(now))?;
    check_window(&passport, now)?;
    trust.check_revocation(&passport).map_err(|reason| Denial::new(reason, "listed"))?;
    Ok(passport.provenance().name())
}
