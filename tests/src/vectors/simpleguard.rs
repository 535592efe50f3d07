//! SimpleGuard signatures in their three dialects, right and wrong in one thing.

use super::badges::{badge, entry};
use super::jws::{Token, grown, of_texts};
use super::make::{NOW, key};
use super::{Expect, Vector};
use portcullis_core::{base64, sha256};
use serde_json::{Value, json};

const MALFORMED: &str = "simpleguard_malformed";
const BODY: &str = "window seat";

/// All vectors of SimpleGuard signatures.
pub fn signatures() -> Vec<Vector> {
    let mut vectors = dialects();
    vectors.extend(bodies());
    vectors.extend(times());
    vectors.extend(shapes());
    vectors.extend(keys());
    vectors
}

fn token() -> Token {
    let now = NOW.as_millis() / 1000;
    Token {
        header: json!({"alg": "EdDSA", "kid": "agent-a-key-1", "typ": "JWT"}),
        claims: json!({"iss": "agent-a", "iat": now, "exp": now + 60, "bh": hash(BODY)}),
        signer: "agent-a",
    }
}

fn hash(body: &str) -> String {
    base64::encode_url(&sha256(body.as_bytes()))
}

fn trust() -> Value {
    let agent = |key_id: &str, owner: &str| {
        let mut entry = entry(key_id, owner);
        entry["actions"] = json!(["*"]);
        entry
    };
    let mut retired = agent("retired-key", "retired");
    retired["not_after"] = NOW.to_iso().into();
    json!({
        "simpleguard_agents": [agent("agent-a-key-1", "agent-a"), agent("agent-b-key-1", "agent-b"), retired],
        // Keys of badges' issuers are not keys of agents.
        "badge_issuers": [{"id": "https://registry.example", "tier": 2, "actions": ["*"], "keys": [entry("registry-1", "registry")]}],
    })
}

fn vector(name: &str, why: &str, credential: String, body: Option<&str>, expect: &str) -> Vector {
    let is_kid = expect.contains("-key-");
    Vector {
        name: name.into(),
        why: why.into(),
        now: NOW.to_iso(),
        trust: Some(trust()),
        audiences: None,
        body: Some(body.unwrap_or_default().into()),
        credential,
        expect: if is_kid { Expect::Valid(expect.into()) } else { Expect::Refused(expect.into()) },
    }
}

fn with(name: &str, why: &str, expect: &str, change: impl FnOnce(&mut Token)) -> Vector {
    let mut token = token();
    change(&mut token);
    vector(name, why, token.signed(), Some(BODY), expect)
}

const VALID: &str = "agent-a-key-1";

fn dialects() -> Vec<Vector> {
    let now = NOW.as_millis() / 1000;
    vec![
        vector(
            "pure_python",
            "caller's claims beside iss, times and bh",
            token().signed(),
            Some(BODY),
            VALID,
        ),
        with("pure_python_with_any_claims", "whatever JSON the caller gives", VALID, |token| {
            token.claims["sub"] = "a task".into();
            token.claims["nested"] = json!({"vcx": [1, 2.5, null, {"ials": true}]});
        }),
        with("later_python", "iss in the header, times and bh only", VALID, |token| {
            token.header["iss"] = "did:key:z6Mk".into();
            token.claims = json!({"iat": now, "exp": now + 60, "bh": hash(BODY)});
        }),
        with("go", "sub, iss and jti", VALID, |token| {
            token.claims = json!({
                "sub": "agent-a", "iss": "agent-a", "jti": "550e8400-e29b-41d4-a716-446655440000",
                "iat": now, "exp": now + 60, "bh": hash(BODY),
            });
        }),
        with("another_identity_in_its_claims", "the identity is the kid", VALID, |token| {
            token.claims["iss"] = "agent-b-key-1".into();
            token.claims["sub"] = "agent-b-key-1".into();
        }),
    ]
}

fn bodies() -> Vec<Vector> {
    let without_bh = || {
        let mut token = token();
        token.claims.as_object_mut().expect("an object").remove("bh");
        token.signed()
    };
    let of = |body: &str| {
        let mut token = token();
        token.claims["bh"] = hash(body).into();
        token.signed()
    };
    vec![
        vector("body_changed", "one byte", token().signed(), Some("window seaT"), "body_digest_mismatch"),
        vector("body_gone", "a body was signed", token().signed(), None, "body_digest_mismatch"),
        vector(
            "body_unsigned",
            "bh is required where there is a body",
            without_bh(),
            Some(BODY),
            "body_not_signed",
        ),
        vector("no_body_unsigned", "nothing to sign", without_bh(), None, VALID),
        vector("no_body_signed", "an empty body, signed as one", of(""), None, VALID),
        with("bh_of_31_bytes", "SHA-256", MALFORMED, |token| {
            token.claims["bh"] = base64::encode_url(&[0; 31]).into()
        }),
        with("bh_padded", "base64url without padding", MALFORMED, |token| {
            token.claims["bh"] = format!("{}=", hash(BODY)).into();
        }),
        with("bh_no_string", "a string", MALFORMED, |token| token.claims["bh"] = Value::Null),
        with("bh_under_another_case", "a reader that ignores case takes it", MALFORMED, |token| {
            token.claims["BH"] = hash("another").into();
            token.claims.as_object_mut().expect("an object").remove("bh");
        }),
    ]
}

fn times() -> Vec<Vector> {
    let now = NOW.as_millis() / 1000;
    let at = |name: &str, why: &str, expect: &str, iat: i64, exp: i64| {
        with(name, why, expect, |token| {
            token.claims["iat"] = (now + iat).into();
            token.claims["exp"] = (now + exp).into();
        })
    };
    vec![
        at("expired_59_s_ago", "60 s of skew", VALID, -119, -59),
        at("expired_60_s_ago", "60 s of skew", "simpleguard_expired", -120, -60),
        at("made_in_60_s", "60 s of skew", VALID, 60, 120),
        at("made_in_61_s", "60 s of skew", "simpleguard_not_yet_valid", 61, 121),
        at("lives_61_s", "a signature lives 60 s", MALFORMED, 0, 61),
        at("lives_ten_years", "a signature lives 60 s", MALFORMED, 0, 315_360_000),
        at("expires_before_it_is_made", "times contradict each other", MALFORMED, 0, -1),
        with("exp_missing", "required", MALFORMED, |token| {
            drop(token.claims.as_object_mut().expect("an object").remove("exp"))
        }),
        with("iat_missing", "required", MALFORMED, |token| {
            drop(token.claims.as_object_mut().expect("an object").remove("iat"))
        }),
        with("iat_with_a_fraction", "whole seconds", MALFORMED, |token| {
            token.claims["iat"] = json!(now as f64 + 0.5)
        }),
    ]
}

fn shapes() -> Vec<Vector> {
    let good = token().signed();
    let parts: Vec<_> = good.split('.').map(str::to_owned).collect();
    let [head, body, signature] = parts.as_slice() else { panic!("three parts") };
    let (header, claims) = (token().header.to_string(), token().claims.to_string());
    let of = |name: &str, why: &str, credential: String| vector(name, why, credential, Some(BODY), MALFORMED);
    vec![
        of("wire_two_parts", "a JWS has three", format!("{head}.{body}")),
        of("wire_padded", "base64url without padding", format!("{head}.{body}=.{signature}")),
        of("wire_white_space", "none anywhere", format!("{head}.{body} .{signature}")),
        of(
            "claim_twice",
            "two readers, two times",
            of_texts(&header, &claims.replacen("\"iat\":", "\"iat\":1,\"iat\":", 1), "agent-a"),
        ),
        with("alg_none", "EdDSA", MALFORMED, |token| token.header["alg"] = "none".into()),
        with("crit", "no critical parameter is known", MALFORMED, |token| {
            token.header["crit"] = json!(["x"])
        }),
        with("typ_missing", "all dialects have it", MALFORMED, |token| {
            drop(token.header.as_object_mut().expect("an object").remove("typ"))
        }),
        with("typ_hop", "a hop is no request signature", MALFORMED, |token| {
            token.header["typ"] = "capiscio.hop+jwt".into()
        }),
        with("typ_pop", "a proof of possession is no request signature", MALFORMED, |token| {
            token.header["typ"] = "pop+jwt".into()
        }),
        with("kid_missing", "it names the key", MALFORMED, |token| {
            drop(token.header.as_object_mut().expect("an object").remove("kid"))
        }),
        with("vc", "a badge is no request signature", MALFORMED, |token| token.claims["vc"] = json!({})),
        with("ial", "a badge is no request signature", MALFORMED, |token| token.claims["ial"] = "0".into()),
        vector(
            "a_badge",
            "a badge is no request signature",
            badge().signed(),
            Some(BODY),
            "simpleguard_key_untrusted",
        ),
        vector(
            "signature_grown",
            "S must be below the group's order",
            grown(&good),
            Some(BODY),
            "simpleguard_signature_invalid",
        ),
    ]
}

fn keys() -> Vec<Vector> {
    let untrusted = "simpleguard_key_untrusted";
    let kid = |name: &str, why: &str, kid: &str, signer: &'static str, expect: &str| {
        with(name, why, expect, |token| {
            token.header["kid"] = kid.into();
            token.signer = signer;
        })
    };
    let did = portcullis_core::capiscio::did_of_key(&key("agent-a").public_key());
    vec![
        kid("another_agent", "each by its own key", "agent-b-key-1", "agent-b", "agent-b-key-1"),
        kid(
            "kid_of_another_agent",
            "by the key that kid names",
            "agent-b-key-1",
            "agent-a",
            "simpleguard_signature_invalid",
        ),
        kid("kid_unknown", "not in the trust store", "agent-c-key-1", "agent-c", untrusted),
        kid("kid_a_path", "compared as text", "../trusted/agent-a-key-1", "agent-a", untrusted),
        kid("kid_in_capitals", "compared exactly", "Agent-A-Key-1", "agent-a", untrusted),
        kid("kid_a_did", "not in the trust store", &did, "agent-a", untrusted),
        kid("kid_of_a_registry", "issuers of badges are no agents", "registry-1", "registry", untrusted),
        kid("kid_retired", "its time is over", "retired-key", "retired", untrusted),
        kid("kid_empty", "no key has that name", "", "agent-a", untrusted),
    ]
}
