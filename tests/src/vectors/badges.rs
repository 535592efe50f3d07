//! Trust Badges, right and wrong in one thing: RFC-002's own cases first.

use super::jws::{self, Token};
use super::make::{HOUR, NOW, key};
use super::{Expect, Vector};
use portcullis_core::base64;
use portcullis_core::capiscio::did_of_key;
use serde_json::{Value, json};

/// All vectors of badges.
pub fn badges() -> Vec<Vector> {
    let mut vectors = rfc_cases();
    vectors.extend(header_rules());
    vectors.extend(claim_rules());
    vectors.extend(issuer_rules());
    vectors.extend(level_0_rules());
    vectors.extend(time_rules());
    vectors.extend(super::badge_wire::vectors());
    vectors.extend(super::badge_wire::real_badges());
    vectors
}

pub(super) const BOB: &str = "did:web:agents.example:bob";

/// The header and claims of a badge that is right in all things: level 2, IAL 0.
pub(super) fn badge() -> Token {
    let seconds = NOW.as_millis() / 1000;
    let header = json!({"alg": "EdDSA", "kid": "registry-1", "typ": "JWT"});
    let claims = json!({
        "jti": "550e8400-e29b-41d4-a716-446655440000",
        "iss": "https://registry.example",
        "sub": BOB,
        "aud": ["https://api.example", "https://other.example"],
        "iat": seconds - 60,
        "exp": seconds + 240,
        "ial": "0",
        "key": jwk("bob"),
        "vc": {
            "type": ["VerifiableCredential", "AgentIdentity"],
            "credentialSubject": {"domain": "agents.example", "level": "2"},
        },
    });
    Token { header, claims, signer: "registry" }
}

/// The same, self-signed: level 0.
fn self_signed(agent: &'static str) -> Token {
    let did = did_of_key(&key(agent).public_key());
    let mut token = badge();
    token.signer = agent;
    token.header["kid"] = format!("{did}#{}", did.trim_start_matches("did:key:")).into();
    token.claims["iss"] = did.clone().into();
    token.claims["sub"] = did.into();
    token.claims["key"] = jwk(agent);
    token.claims["vc"]["credentialSubject"] = json!({"level": "0"});
    token
}

pub(super) fn jwk(owner: &str) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": base64::encode_url(&key(owner).public_key())})
}

/// Trust material with two keys of the registry, bob's document, and one agent's own badge.
pub(super) fn trust() -> Value {
    json!({
        "badge_issuers": [
            {
                "id": "https://registry.example", "tier": 2, "actions": ["*"],
                "keys": [entry("registry-1", "registry"), entry("registry-2", "registry, next")],
            },
            {"id": did_of_key(&key("dora").public_key()), "tier": 1, "actions": ["*"]},
        ],
        "did_documents": [{"id": BOB, "keys": [entry(&format!("{BOB}#key-1"), "bob"), entry(&format!("{BOB}#key-2"), "carl")]}],
        "revoked_badges": [{"issuer": "https://registry.example", "jti": "00000000-0000-4000-8000-00000000000A"}],
        "disabled_agents": [{"issuer": "https://registry.example", "agent_id": "did:web:agents.example:rogue"}],
    })
}

pub(super) fn entry(key_id: &str, owner: &str) -> Value {
    json!({"key_id": key_id, "public_key": base64::encode(&key(owner).public_key())})
}

pub(super) fn vector(name: &str, why: &str, credential: String, expect: &str) -> Vector {
    judged(name, why, trust(), credential, expect)
}

pub(super) fn judged(name: &str, why: &str, trust: Value, credential: String, expect: &str) -> Vector {
    let is_level = expect.len() == 1;
    Vector {
        name: name.into(),
        why: why.into(),
        now: NOW.to_iso(),
        trust: Some(trust),
        audiences: Some(vec!["https://api.example".into()]),
        body: None,
        credential,
        expect: if is_level { Expect::Valid(expect.into()) } else { Expect::Refused(expect.into()) },
    }
}

/// One change of the good badge's claims.
fn claim(name: &str, why: &str, expect: &str, change: impl FnOnce(&mut Value)) -> Vector {
    let mut token = badge();
    change(&mut token.claims);
    vector(name, why, token.signed(), expect)
}

fn ial_1(claims: &mut Value, method: &str) {
    claims["ial"] = "1".into();
    claims["cnf"] = json!({"kid": method});
}

const INVALID: &str = "BADGE_CLAIMS_INVALID";
const MALFORMED: &str = "BADGE_MALFORMED";
const UNTRUSTED: &str = "BADGE_ISSUER_UNTRUSTED";
const FORGED: &str = "BADGE_SIGNATURE_INVALID";

/// RFC-002 section 14.4. Cases 1 to 12 are those of version 1.3; 13 to 16, which a later
/// version accepts too, are rebuilt from the rules.
fn rfc_cases() -> Vec<Vector> {
    let key_1 = format!("{BOB}#key-1");
    let mut level_0 = self_signed("dora");
    let dora = did_of_key(&key("dora").public_key());
    ial_1(&mut level_0.claims, &format!("{dora}#{}", dora.trim_start_matches("did:key:")));
    let mut forged = badge();
    forged.signer = "mallory";
    let mut next_key = badge();
    next_key.signer = "registry, next";
    next_key.header["kid"] = "registry-2".into();
    let mut bound = badge();
    let carl = did_of_key(&key("carl").public_key());
    bound.claims["sub"] = carl.clone().into();
    bound.claims["key"] = jwk("carl");
    ial_1(&mut bound.claims, &format!("{carl}#{}", carl.trim_start_matches("did:key:")));
    vec![
        claim("tv_001_audience_as_a_string", "case 1: aud must be an array", INVALID, |claims| {
            claims["aud"] = "https://api.example".into();
        }),
        vector("tv_002_level_0_with_ial_1", "case 2: level 0 assures nothing", level_0.signed(), INVALID),
        claim("tv_003_ial_0_with_cnf", "case 3: ial 0 has no cnf", INVALID, |claims| {
            claims["cnf"] = json!({"kid": key_1});
        }),
        claim("tv_004_ial_1_without_cnf", "case 4: ial 1 has cnf", INVALID, |claims| {
            claims["ial"] = "1".into();
        }),
        claim("tv_005_cnf_of_no_method", "case 5: cnf.kid must be in the document", INVALID, |claims| {
            ial_1(claims, &format!("{BOB}#key-9"));
        }),
        claim("tv_006_cnf_of_another_key", "case 6: cnf.kid must name the badge's key", INVALID, |claims| {
            ial_1(claims, &format!("{BOB}#key-2"));
        }),
        claim("tv_007_revoked", "case 7: its jti is listed", "BADGE_REVOKED", |claims| {
            claims["jti"] = "00000000-0000-4000-8000-00000000000a".into();
        }),
        claim("tv_008_agent_disabled", "case 8: its agent is listed", "BADGE_AGENT_DISABLED", |claims| {
            claims["sub"] = "did:web:agents.example:rogue".into();
        }),
        claim("tv_009_expired", "case 9: beyond the skew", "BADGE_EXPIRED", |claims| {
            claims["exp"] = (NOW.as_millis() / 1000 - 61).into();
            claims["iat"] = (NOW.as_millis() / 1000 - 400).into();
        }),
        claim("tv_010_issuer_untrusted", "case 10: its issuer is not listed", UNTRUSTED, |claims| {
            claims["iss"] = "https://unknown.example".into();
        }),
        vector("tv_011_forged", "case 11: another key signed", forged.signed(), FORGED),
        vector("tv_012_valid", "case 12: all is right", badge().signed(), "2"),
        claim("tv_013_bound_by_document", "accepted: ial 1, cnf.kid names the badge's key", "2", |claims| {
            ial_1(claims, &format!("{BOB}#key-1"));
        }),
        vector(
            "tv_014_bound_by_did_key",
            "accepted: ial 1, a did:key is its own document",
            bound.signed(),
            "2",
        ),
        claim("tv_015_within_the_skew", "accepted: expired less than 60 s ago", "2", |claims| {
            claims["exp"] = (NOW.as_millis() / 1000 - 59).into();
            claims["iat"] = (NOW.as_millis() / 1000 - 400).into();
        }),
        vector(
            "tv_016_rotated_key",
            "accepted: the second key of the set, found by kid",
            next_key.signed(),
            "2",
        ),
    ]
}

fn header_rules() -> Vec<Vector> {
    let with = |name: &str, why: &str, expect: &str, change: &dyn Fn(&mut Value)| {
        let mut token = badge();
        change(&mut token.header);
        vector(name, why, token.signed(), expect)
    };
    let set = |member: &'static str, value: Value| move |header: &mut Value| header[member] = value.clone();
    let without = |member: &'static str| {
        move |header: &mut Value| drop(header.as_object_mut().expect("an object").remove(member))
    };
    vec![
        with("alg_es256", "only EdDSA is taken", MALFORMED, &set("alg", json!("ES256"))),
        with("alg_none", "only EdDSA is taken", MALFORMED, &set("alg", json!("none"))),
        with("alg_in_lower_case", "names are compared exactly", MALFORMED, &set("alg", json!("eddsa"))),
        with("alg_missing", "alg is required", MALFORMED, &without("alg")),
        with(
            "alg_under_another_case",
            "a reader that ignores case takes it",
            MALFORMED,
            &set("ALG", json!("none")),
        ),
        with("crit", "no critical parameter is known", MALFORMED, &set("crit", json!(["exp"]))),
        with(
            "crit_under_another_case",
            "a reader that ignores case takes it",
            MALFORMED,
            &set("Crit", json!(["exp"])),
        ),
        with("b64", "the payload is always encoded", MALFORMED, &set("b64", json!(false))),
        with("typ_missing", "typ is required", INVALID, &without("typ")),
        with("typ_dv_grant", "a DV grant is no badge", INVALID, &set("typ", json!("capiscio.dvgrant+jwt"))),
        with("typ_hop", "a hop is no badge", INVALID, &set("typ", json!("capiscio.hop+jwt"))),
        with("typ_pop", "a proof of possession is no badge", INVALID, &set("typ", json!("pop+jwt"))),
        with("typ_pop_jws", "an MCP server's proof is no badge", INVALID, &set("typ", json!("pop+jws"))),
        with(
            "typ_envelope",
            "an envelope is no badge",
            INVALID,
            &set("typ", json!("capiscio-authority-envelope+jws")),
        ),
        with("typ_passport", "a passport is no badge", INVALID, &set("typ", json!("passport+jwt"))),
        with("typ_in_lower_case", "names are compared exactly", INVALID, &set("typ", json!("jwt"))),
        with("typ_no_string", "typ is a string", MALFORMED, &set("typ", json!(1))),
        with(
            "kid_missing",
            "kid is asked for, unless the issuer's switch says otherwise",
            INVALID,
            &without("kid"),
        ),
        with("kid_unknown", "the issuer has no such key", FORGED, &set("kid", json!("registry-9"))),
        with("kid_of_another_key", "kid chooses the key", FORGED, &set("kid", json!("registry-2"))),
        with("unknown_parameter", "others are ignored", "2", &set("x5t", json!("abc"))),
        with("key_in_the_header", "a key in the header is none", "2", &set("jwk", jwk("mallory"))),
    ]
}

fn claim_rules() -> Vec<Vector> {
    let set = |name: &str, why: &str, expect: &str, pointer: &str, value: Value| {
        claim(name, why, expect, |claims| *claims.pointer_mut(pointer).expect("a member") = value)
    };
    let without = |member: &'static str| {
        claim(&format!("{member}_missing"), "it is required", INVALID, |claims| {
            claims.as_object_mut().expect("an object").remove(member);
        })
    };
    let subject = "/vc/credentialSubject";
    let mut vectors: Vec<_> = ["jti", "iss", "sub", "iat", "exp", "ial", "key", "vc"].map(without).into();
    let small_order = base64::encode_url(&[0; 32]);
    let identity = base64::encode_url(&{
        let mut point = [0; 32];
        point[0] = 1;
        point
    });
    let non_canonical = base64::encode_url(&{
        let mut point = [0xff; 32];
        (point[0], point[31]) = (0xee, 0x7f);
        point
    });
    vectors.extend([
        set("jti_no_uuid", "jti is a UUID", INVALID, "/jti", json!("badge-1")),
        set(
            "jti_of_version_1",
            "of version 4",
            INVALID,
            "/jti",
            json!("550e8400-e29b-11d4-a716-446655440000"),
        ),
        set(
            "jti_of_no_variant",
            "of the standard's variant",
            INVALID,
            "/jti",
            json!("550e8400-e29b-41d4-c716-446655440000"),
        ),
        set(
            "jti_in_capitals_revoked",
            "listed in any case",
            "BADGE_REVOKED",
            "/jti",
            json!("00000000-0000-4000-8000-00000000000A"),
        ),
        set("sub_with_an_empty_part", "a DID has none", INVALID, "/sub", json!("did:web:a.example::bob")),
        set("sub_with_a_space", "a DID has none", INVALID, "/sub", json!("did:web:a.example:bob smith")),
        set(
            "sub_of_257_characters",
            "256 at most",
            INVALID,
            "/sub",
            json!(format!("did:web:{}", "a".repeat(249))),
        ),
        set(
            "sub_of_256_characters",
            "256 at most",
            "2",
            "/sub",
            json!(format!("did:web:{}", "a".repeat(248))),
        ),
        set("key_of_kty_ec", "OKP only", INVALID, "/key/kty", json!("EC")),
        set("key_for_another_algorithm", "EdDSA only", INVALID, "/key", {
            let mut jwk = jwk("bob");
            jwk["alg"] = "HS256".into();
            jwk
        }),
        set(
            "key_with_its_private_part_in_capitals",
            "a reader that ignores case takes it",
            INVALID,
            "/key",
            {
                let mut jwk = jwk("bob");
                jwk["D"] = "AAAA".into();
                jwk
            },
        ),
        claim("cnf_by_jwk_in_capitals", "a reader that ignores case takes it", INVALID, |claims| {
            ial_1(claims, &format!("{BOB}#key-1"));
            claims["cnf"]["JWK"] = jwk("bob");
        }),
        claim("cnf_by_jwk", "cnf.kid and nothing else", INVALID, |claims| {
            ial_1(claims, &format!("{BOB}#key-1"));
            claims["cnf"]["jwk"] = jwk("bob");
        }),
        set(
            "jti_in_capitals",
            "hexadecimal in any case",
            "2",
            "/jti",
            json!("550E8400-E29B-41D4-A716-446655440000"),
        ),
        set("sub_no_did", "sub is a DID", INVALID, "/sub", json!("bob")),
        set("sub_key_did_of_no_key", "a did:key is of a key", INVALID, "/sub", json!("did:key:z6Mk")),
        set("ial_2", "ial is 0 or 1", INVALID, "/ial", json!("2")),
        set("ial_a_number", "ial is a string", INVALID, "/ial", json!(0)),
        set("ial_empty", "empty is neither", INVALID, "/ial", json!("")),
        set("aud_of_numbers", "aud is of strings", INVALID, "/aud", json!([1])),
        set("aud_empty", "an audience without anyone", "BADGE_AUDIENCE_MISMATCH", "/aud", json!([])),
        set(
            "aud_of_others",
            "the verifier is not named",
            "BADGE_AUDIENCE_MISMATCH",
            "/aud",
            json!(["https://other.example"]),
        ),
        set(
            "aud_with_a_slash",
            "names are compared exactly",
            "BADGE_AUDIENCE_MISMATCH",
            "/aud",
            json!(["https://api.example/"]),
        ),
        claim("aud_missing", "a badge for anyone", "2", |claims| {
            drop(claims.as_object_mut().expect("an object").remove("aud"))
        }),
        set("key_of_another_type", "Ed25519 only", INVALID, "/key/crv", json!("X25519")),
        set("key_with_its_private_part", "a secret is out", INVALID, "/key", {
            let mut jwk = jwk("bob");
            jwk["d"] = "AAAA".into();
            jwk
        }),
        set("key_for_encryption", "keys for signatures only", INVALID, "/key", {
            let mut jwk = jwk("bob");
            jwk["use"] = "enc".into();
            jwk
        }),
        set(
            "key_padded",
            "base64url without padding",
            INVALID,
            "/key/x",
            json!(format!("{}=", base64::encode_url(&key("bob").public_key()))),
        ),
        set("key_of_small_order", "one signature fits many messages", INVALID, "/key/x", json!(small_order)),
        set("key_the_identity", "one signature fits many messages", INVALID, "/key/x", json!(identity)),
        set("key_not_canonical", "a second encoding of a point", INVALID, "/key/x", json!(non_canonical)),
        set("level_a_number", "levels are strings", INVALID, &format!("{subject}/level"), json!(2)),
        set("level_5", "there is none", INVALID, &format!("{subject}/level"), json!("5")),
        set("level_02", "levels are no numbers", INVALID, &format!("{subject}/level"), json!("02")),
        set("level_1", "registered", "1", &format!("{subject}/level"), json!("1")),
        set("level_3", "organization validated", "3", &format!("{subject}/level"), json!("3")),
        set("level_4", "extended validated", "4", &format!("{subject}/level"), json!("4")),
        set("domain_empty", "no domain", INVALID, &format!("{subject}/domain"), json!("")),
        set("domain_missing_at_level_2", "required from there on", INVALID, subject, json!({"level": "2"})),
        set("domain_missing_at_level_1", "optional there", "1", subject, json!({"level": "1"})),
        set(
            "profile_anonymous",
            "one of two",
            "2",
            subject,
            json!({"level": "2", "domain": "a.example", "issuance_profile": "anonymous_dv"}),
        ),
        set(
            "profile_unknown",
            "one of two",
            INVALID,
            subject,
            json!({"level": "2", "domain": "a.example", "issuance_profile": "vip"}),
        ),
        set(
            "type_without_agent_identity",
            "both types",
            INVALID,
            "/vc/type",
            json!(["VerifiableCredential"]),
        ),
        set("type_a_string", "an array", INVALID, "/vc/type", json!("AgentIdentity")),
        claim("cnf_by_thumbprint", "cnf.kid and nothing else", INVALID, |claims| {
            ial_1(claims, &format!("{BOB}#key-1"));
            claims["cnf"]["jkt"] = "x".into();
        }),
        claim("cnf_of_no_method_of_a_did_key", "a did:key has one method", INVALID, |claims| {
            let bob = did_of_key(&key("bob").public_key());
            claims["sub"] = bob.clone().into();
            ial_1(claims, &format!("{bob}#key-1"));
        }),
        claim("cnf_of_another_agent", "a method of sub", INVALID, |claims| {
            ial_1(claims, "did:web:agents.example:bobby#key-1")
        }),
        claim("cnf_null", "null is there too", INVALID, |claims| claims["cnf"] = Value::Null),
        claim("cnf_without_document", "no document, no binding", INVALID, |claims| {
            claims["sub"] = "did:web:agents.example:eve".into();
            ial_1(claims, "did:web:agents.example:eve#key-1");
        }),
        claim("unknown_claims", "others are ignored", "2", |claims| {
            claims["agent_card_hash"] = "sha256:x".into();
            claims["did_doc_hash"] = "sha256:x".into();
            claims["pop_challenge_id"] = "ch-1".into();
            claims["extra"] = json!({"a": [1, 2]});
        }),
        claim("other_case_alone", "a reader that ignores case takes it", INVALID, |claims| {
            let audience = claims["aud"].take();
            claims.as_object_mut().expect("an object").remove("aud");
            claims["Aud"] = audience;
        }),
        claim("other_case_beside", "two members that some take for one", MALFORMED, |claims| {
            claims["ISS"] = "https://unknown.example".into();
        }),
        claim("other_case_of_domain", "inside too", INVALID, |claims| {
            claims["vc"]["credentialSubject"] = json!({"level": "1", "Domain": "agents.example"});
        }),
        claim("other_case_of_level", "inside too", INVALID, |claims| {
            claims["vc"]["credentialSubject"] = json!({"Level": "4", "domain": "agents.example"});
        }),
    ]);
    vectors
}

fn issuer_rules() -> Vec<Vector> {
    let issued_by = |name: &str, why: &str, issuer: &str, expect: &str| {
        claim(name, why, expect, |claims| claims["iss"] = issuer.into())
    };
    let mut stale = trust();
    stale["badge_issuers"][0]["revocations_synced_at"] = NOW.plus_millis(-300_001).to_iso().into();
    let mut fresh = trust();
    fresh["badge_issuers"][0]["revocations_synced_at"] = NOW.plus_millis(-300_000).to_iso().into();
    let mut least = trust();
    least["badge_issuers"][0]["minimum_level"] = "3".into();
    let mut retired = trust();
    retired["badge_issuers"][0]["keys"][0]["not_after"] = NOW.to_iso().into();
    let level = |level: &str| {
        let mut token = badge();
        token.claims["vc"]["credentialSubject"]["level"] = level.into();
        token.signed()
    };
    let mut revoked = badge();
    revoked.claims["jti"] = "00000000-0000-4000-8000-00000000000a".into();
    vec![
        issued_by("issuer_http", "HTTPS only", "http://registry.example", INVALID),
        issued_by("issuer_with_a_path", "an origin", "https://registry.example/", INVALID),
        issued_by("issuer_in_capitals", "an origin in its one form", "https://Registry.example", INVALID),
        issued_by(
            "issuer_with_the_default_port",
            "an origin in its one form",
            "https://registry.example:443",
            INVALID,
        ),
        issued_by(
            "issuer_with_a_port_that_is_none",
            "a port is at most 65535",
            "https://registry.example:99999",
            INVALID,
        ),
        issued_by(
            "issuer_with_a_port_with_zeros",
            "an origin in its one form",
            "https://registry.example:08443",
            INVALID,
        ),
        issued_by("issuer_with_a_user", "an origin", "https://a@registry.example", INVALID),
        issued_by("issuer_a_did_at_level_2", "DIDs issue level 0 only", "did:web:registry.example", INVALID),
        judged("nobody_trusted", "an empty list trusts nobody", json!({}), badge().signed(), UNTRUSTED),
        judged(
            "stale_at_level_2",
            "revocations 300.001 s old",
            stale.clone(),
            badge().signed(),
            "REVOCATION_CHECK_FAILED",
        ),
        judged("stale_at_level_1", "levels below 2 may pass", stale.clone(), level("1"), "1"),
        judged("fresh_at_level_2", "revocations exactly 300 s old", fresh, badge().signed(), "2"),
        judged("revoked_and_stale", "the list is asked first", stale, revoked.signed(), "BADGE_REVOKED"),
        judged(
            "below_the_minimum",
            "the issuer's minimum is 3",
            least.clone(),
            badge().signed(),
            "badge_level_insufficient",
        ),
        judged("at_the_minimum", "the issuer's minimum is 3", least, level("3"), "3"),
        judged("retired_key", "the key's time is over", retired, badge().signed(), FORGED),
    ]
}

fn level_0_rules() -> Vec<Vector> {
    let opted_in = || json!({"accept_self_signed": {"actions": ["*"]}});
    let dora = || self_signed("dora");
    let mut other_key = dora();
    other_key.claims["key"] = jwk("mallory");
    let mut other_subject = dora();
    other_subject.claims["sub"] = BOB.into();
    let mut other_issuer = dora();
    other_issuer.claims["iss"] = did_of_key(&key("carl").public_key()).into();
    let mut by_registry = badge();
    by_registry.claims["vc"]["credentialSubject"]["level"] = "0".into();
    let mut raised = dora();
    raised.claims["vc"]["credentialSubject"]["level"] = "1".into();
    let mut forged = dora();
    forged.signer = "mallory";
    vec![
        vector("self_signed_by_one_that_is_listed", "its did:key is an issuer", dora().signed(), "0"),
        vector("self_signed_by_another", "and no other", self_signed("carl").signed(), UNTRUSTED),
        judged("self_signed_with_the_opt_in", "anyone's", opted_in(), self_signed("carl").signed(), "0"),
        judged("the_opt_in_is_for_level_0", "and for nothing else", opted_in(), badge().signed(), UNTRUSTED),
        vector("self_signed_with_another_key", "iss, sub and key are one", other_key.signed(), INVALID),
        vector("self_signed_for_another", "iss, sub and key are one", other_subject.signed(), INVALID),
        vector("self_signed_in_another_name", "iss, sub and key are one", other_issuer.signed(), INVALID),
        vector("level_0_of_a_registry", "iss, sub and key are one", by_registry.signed(), INVALID),
        judged(
            "self_signed_of_level_1",
            "level 1 is a registry's word",
            opted_in(),
            raised.signed(),
            INVALID,
        ),
        vector("self_signed_and_forged", "by another key than it names", forged.signed(), FORGED),
    ]
}

fn time_rules() -> Vec<Vector> {
    let now = NOW.as_millis() / 1000;
    let timed = |name: &str, why: &str, expect: &str, iat: i64, exp: i64, nbf: Option<i64>| {
        claim(name, why, expect, |claims| {
            claims["iat"] = (now + iat).into();
            claims["exp"] = (now + exp).into();
            if let Some(nbf) = nbf {
                claims["nbf"] = (now + nbf).into();
            }
        })
    };
    vec![
        timed("expired_60_s_ago", "now - 60 s < exp", "BADGE_EXPIRED", -400, -60, None),
        timed("issued_in_60_s", "iat <= now + 60 s", "2", 60, 400, None),
        timed("issued_in_61_s", "iat <= now + 60 s", "BADGE_NOT_YET_VALID", 61, 400, None),
        timed(
            "issued_in_61_s_and_begun",
            "iat counts beside nbf",
            "BADGE_NOT_YET_VALID",
            61,
            400,
            Some(-100),
        ),
        timed("not_before_in_60_s", "nbf <= now + 60 s", "2", -60, 400, Some(60)),
        timed("not_before_in_61_s", "nbf <= now + 60 s", "BADGE_NOT_YET_VALID", -60, 400, Some(61)),
        timed("expires_before_it_is_issued", "times contradict each other", INVALID, 10, 10, None),
        timed("expires_before_it_begins", "times contradict each other", INVALID, -60, 40, Some(40)),
        timed("valid_for_years", "at L1 the issuer's business", "2", -60, HOUR, None),
        claim("exp_as_text", "numbers", INVALID, |claims| claims["exp"] = (now + 240).to_string().into()),
        claim("exp_with_a_fraction", "whole seconds", INVALID, |claims| {
            claims["exp"] = json!(4_000_000_000.5)
        }),
        claim("iat_negative", "after 1970", INVALID, |claims| claims["iat"] = (-1).into()),
    ]
}

/// The text of a badge that is right, for changes beyond its members.
pub(super) fn good() -> String {
    jws::signed(&badge())
}
