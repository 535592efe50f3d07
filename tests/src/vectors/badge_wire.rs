//! Badges that are wrong in how they are written, badges without `kid`, and those that
//! the real command line has made.

use super::badges::{badge, entry, good, judged, trust, vector};
use super::jws::{grown, of_texts};
use super::make::key;
use super::{Expect, Vector};
use portcullis_core::base64;
use serde_json::{Value, json};

const MALFORMED: &str = "BADGE_MALFORMED";

pub(super) fn vectors() -> Vec<Vector> {
    let token = badge();
    let (header, claims) = (token.header.to_string(), token.claims.to_string());
    let parts: Vec<String> = good().split('.').map(Into::into).collect();
    let [head, body, signature] = parts.as_slice() else { panic!("three parts") };
    let json_serialised =
        json!({"payload": body, "signatures": [{"protected": head, "signature": signature}]}).to_string();
    let doubled = claims.replacen("\"iss\":", "\"iss\":\"https://unknown.example\",\"iss\":", 1);
    let of = |name: &str, why: &str, credential: String| vector(name, why, credential, MALFORMED);
    let mut vectors = vec![
        of("wire_two_parts", "a JWS has three", format!("{head}.{body}")),
        of("wire_four_parts", "a JWS has three", format!("{head}.{body}.{signature}.")),
        of("wire_white_space_inside", "none anywhere", format!("{head}. {body}.{signature}")),
        of(
            "wire_line_break_in_the_payload",
            "none anywhere",
            format!("{head}.{}\n{}.{signature}", &body[..8], &body[8..]),
        ),
        of("wire_padded_header", "base64url without padding", format!("{head}=.{body}.{signature}")),
        of("wire_padded_signature", "base64url without padding", format!("{head}.{body}.{signature}==")),
        of("wire_standard_base64", "the URL-safe alphabet", format!("{head}.{body}.+{}", &signature[1..])),
        of("wire_json_serialisation", "compact only", json_serialised),
        of("wire_short_signature", "64 bytes", format!("{head}.{body}.{}", &signature[..80])),
        of("wire_empty_signature", "64 bytes", format!("{head}.{body}.")),
        of(
            "wire_payload_no_object",
            "claims are an object",
            of_texts(&header, "[\"vc\",\"ial\"]", "registry"),
        ),
        of("wire_payload_cut_off", "JSON", of_texts(&header, &claims[..claims.len() - 1], "registry")),
        of(
            "wire_payload_with_more_behind",
            "one value",
            of_texts(&header, &format!("{claims}x"), "registry"),
        ),
        of("wire_claim_twice", "two readers, two issuers", of_texts(&header, &doubled, "registry")),
        of(
            "wire_header_twice",
            "two readers, two algorithms",
            of_texts(r#"{"alg":"none","alg":"EdDSA","typ":"JWT","kid":"registry-1"}"#, &claims, "registry"),
        ),
        vector(
            "signature_grown",
            "S must be below the group's order",
            grown(&good()),
            "BADGE_SIGNATURE_INVALID",
        ),
        vector(
            "signature_of_other_claims",
            "it covers every byte",
            format!("{head}.{}.{signature}", base64::encode_url(claims.replace("bob", "bib").as_bytes())),
            "BADGE_SIGNATURE_INVALID",
        ),
        vector(
            "claims_with_white_space",
            "between values it means nothing",
            of_texts(&header, &claims.replace(",\"", ", \""), "registry"),
            "2",
        ),
    ];
    vectors.extend(without_kid());
    vectors
}

/// RFC-002 section 11: at most five keys are tried, where the issuer's switch lets a badge
/// name none.
fn without_kid() -> Vec<Vector> {
    let mut token = badge();
    token.header = json!({"alg": "EdDSA", "typ": "JWT"});
    let credential = token.signed();
    let with_keys = |count: usize, place: usize| {
        let key_of = |index: usize| {
            let owner = if index == place { "registry".to_owned() } else { format!("registry {index}") };
            entry(&format!("k{index}"), &owner)
        };
        let mut trust = trust();
        trust["badge_issuers"][0]["keys"] = (0..count).map(key_of).collect();
        trust["badge_issuers"][0]["compatibility"] = json!(["missing_kid"]);
        trust
    };
    let of = |name: &str, why: &str, count: usize, place: usize, expect: &str| {
        judged(name, why, with_keys(count, place), credential.clone(), expect)
    };
    vec![
        of("no_kid_first_key", "tried in the order of their ids", 1, 0, "2"),
        of("no_kid_fifth_key", "five are tried", 7, 4, "2"),
        of("no_kid_sixth_key", "and no more", 7, 5, "BADGE_SIGNATURE_INVALID"),
    ]
}

/// Badges of capiscio-core's command line; see `tests/vectors/capiscio-cli/README.md`.
pub(super) fn real_badges() -> Vec<Vector> {
    const BADGES: [&str; 5] = [
        include_str!("../../vectors/capiscio-cli/badge-level0.jws"),
        include_str!("../../vectors/capiscio-cli/badge-level1.jws"),
        include_str!("../../vectors/capiscio-cli/badge-level2.jws"),
        include_str!("../../vectors/capiscio-cli/badge-level3.jws"),
        include_str!("../../vectors/capiscio-cli/badge-level4.jws"),
    ];
    const CA: &str = include_str!("../../vectors/capiscio-cli/ca.pub.jwk");
    const SWITCHES: [&str; 3] = ["missing_typ", "missing_kid", "empty_ial"];
    let ca: Value = serde_json::from_str(CA).expect("a JWK");
    let ca = base64::decode_url(ca["x"].as_str().expect("x")).expect("base64url");
    let trust = |switches: &[&str]| {
        json!({
            "badge_issuers": [{
                "id": "https://registry.example", "tier": 2, "actions": ["*"], "compatibility": switches,
                "keys": [{"key_id": "ca", "public_key": base64::encode(&ca)}],
            }],
            "accept_self_signed": {"actions": ["*"], "compatibility": switches},
        })
    };
    let of = |name: String, why: &str, level: usize, switches: &[&str], expect: Expect| Vector {
        name,
        why: why.into(),
        // A week after they were made.
        now: "2026-11-28T00:00:00.000Z".into(),
        trust: Some(trust(switches)),
        audiences: Some(vec!["https://api.example".into()]),
        body: None,
        credential: BADGES[level].trim().into(),
        expect,
    };
    let refused = || Expect::Refused("BADGE_CLAIMS_INVALID".into());
    let mut vectors = Vec::new();
    for level in 0..BADGES.len() {
        let valid = Expect::Valid(level.to_string());
        vectors.push(of(format!("real_level_{level}"), "with every switch on", level, &SWITCHES, valid));
        vectors.push(of(
            format!("real_level_{level}_strictly"),
            "with every switch off",
            level,
            &[],
            refused(),
        ));
        for off in SWITCHES {
            let on: Vec<_> = SWITCHES.into_iter().filter(|switch| *switch != off).collect();
            vectors.push(of(
                format!("real_level_{level}_without_{off}"),
                "with one switch off",
                level,
                &on,
                refused(),
            ));
        }
    }
    // A switch is for the issuer that has it.
    let mut unknown = of("real_of_no_issuer".into(), "nobody's switches", 1, &SWITCHES, refused());
    unknown.trust = Some(json!({"badge_issuers": [{
        "id": "https://other.example", "tier": 2, "actions": ["*"], "compatibility": SWITCHES,
        "keys": [{"key_id": "ca", "public_key": base64::encode(&key("registry").public_key())}],
    }]}));
    vectors.push(unknown);
    vectors
}
