//! The vectors, natively: and that their files are what the generator makes.

use portcullis_core::modei::{self, SelfContained};
use portcullis_core::{Denial, Profile, Trust, TrustConfig, UnixTime, check_window};
use portcullis_tests::vectors::{Expect, Vector, file_text, folder, load, passports};
use std::collections::BTreeSet;

#[test]
fn the_files_are_what_the_generator_makes() {
    let made = passports();
    if std::env::var_os("PORTCULLIS_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        for vector in &made {
            std::fs::write(folder().join(format!("{}.json", vector.name)), file_text(vector)).unwrap();
        }
    }
    let files = load();
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

#[test]
fn every_vector_gets_its_verdict_natively() {
    for (name, text) in load() {
        let vector: Vector = serde_json::from_str(&text).unwrap();
        assert_eq!(verdict(&vector), vector.expect, "{name}: {}", vector.why);
    }
}

#[test]
fn every_reason_that_a_passport_can_be_refused_for_has_a_vector() {
    let refused: BTreeSet<_> = passports()
        .into_iter()
        .filter_map(|vector| match vector.expect {
            Expect::Refused(code) => Some(code),
            Expect::Valid(_) => None,
        })
        .collect();
    // Reasons that speak of the request around the passport have scenarios instead.
    let of_requests = [
        "authority_unknown",
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
        "route_unknown",
        "self_issued_platform_ceiling_exceeded",
        "upgrade_refused",
        // No profile of a gate with static trust material asks for a tier.
        "trust_tier_insufficient",
    ];
    for reason in portcullis_core::Reason::ALL {
        let code = reason.code();
        assert_ne!(refused.contains(code), of_requests.contains(&code), "{code}");
    }
}

fn verdict(vector: &Vector) -> Expect {
    match judge(vector) {
        Ok(provenance) => Expect::Valid(provenance.into()),
        Err(denial) => Expect::Refused(denial.reason.code().into()),
    }
}

fn judge(vector: &Vector) -> Result<&'static str, Denial> {
    let now = UnixTime::from_iso(&vector.now).expect("a time");
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
