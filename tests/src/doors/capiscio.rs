//! A Trust Badge or a SimpleGuard signature, as it is and signed for the fuzzer.

use super::gate::NOW;
use super::keys::key;
use super::{Answer, altered};
use portcullis_core::capiscio::{self, Audience, Badge};
use portcullis_core::{Denial, Profile, Trust, TrustConfig, base64};
use serde_json::Value;
use std::sync::LazyLock;

/// Judges a token as it stands, as a badge and as a signature; then, with the first line
/// as its header and the rest as its payload, the tokens that are made of them and signed
/// by a registry and by an agent.
pub fn capiscio(input: &[u8]) -> Answer {
    let made = ["registry", "agent-a"].into_iter().filter_map(|signer| made_of(input, signer));
    made.fold(judge(input), |answer, token| answer.or(judge(token.as_bytes())))
}

struct Material {
    trust: Trust,
    /// The same with every switch off and nobody self-signed.
    strict: Trust,
}

static MATERIAL: LazyLock<Material> = LazyLock::new(|| {
    let trust = |more: &str| {
        let public = |owner: &str| base64::encode(&key(owner).public_key());
        let text = TEXT
            .replace("{registry}", &public("registry"))
            .replace("{agent}", &public("agent-a"))
            .replace("{more}", more);
        let config = TrustConfig::from_json(text.as_bytes()).expect("the trust material is readable");
        Trust::new(&config, Profile::L1).expect("and good")
    };
    let lenient = r#""compatibility":["missing_typ","missing_kid","empty_ial"],"#;
    Material { trust: trust(lenient), strict: trust("") }
});

const TEXT: &str = r#"{
  "badge_issuers": [{
    "id": "https://registry.example", "tier": 2, "actions": ["*"], {more}
    "keys": [{"key_id": "registry-1", "public_key": "{registry}"}]
  }],
  "simpleguard_agents": [{"key_id": "agent-a-key-1", "public_key": "{agent}", "actions": ["*"]}]
}"#;

fn judge(token: &[u8]) -> Answer {
    let badge = judge_badge(token, &MATERIAL.trust);
    let signature = judge_signature(token);
    assert!(badge.is_err() || signature.is_err(), "one token is a badge and a signature");
    // Whatever is let in strictly is let in leniently, and means the same.
    if let Ok(strict) = judge_badge(token, &MATERIAL.strict) {
        let lenient = badge.as_ref().expect("a switch opens and closes nothing");
        assert_eq!((strict.id(), strict.subject()), (lenient.id(), lenient.subject()));
    }
    if let Ok(badge) = &badge {
        assert!(!capiscio::is_request_signature(token));
        check_badge(token, badge);
    }
    if signature.is_ok() {
        assert!(capiscio::is_request_signature(token));
        check_signature(token);
    }
    if badge.is_err() && signature.is_err() {
        return Answer::Refused;
    }
    for copy in altered(token) {
        let is_refused = judge_badge(&copy, &MATERIAL.trust).is_err() && judge_signature(&copy).is_err();
        assert!(is_refused, "something else was signed than {}", String::from_utf8_lossy(&copy));
    }
    Answer::Accepted
}

fn judge_badge(token: &[u8], trust: &Trust) -> Result<Badge, Denial> {
    let badge = capiscio::verify(token, trust, NOW)?;
    capiscio::check_standing(&badge, trust, Audience::Unchecked, NOW)?;
    Ok(badge)
}

fn judge_signature(token: &[u8]) -> Result<(), Denial> {
    let kid = capiscio::key_id(token)?;
    let key = MATERIAL.trust.simpleguard_key(&kid, NOW)?;
    capiscio::verify_request_signature(token, key, NOW).map(|_| ())
}

/// What another reader makes of a badge that was let in: RFC-002 section 4.
fn check_badge(token: &[u8], badge: &Badge) {
    let [header, claims] = parts(token);
    assert_eq!(header["alg"], "EdDSA");
    assert!(header.get("typ").is_none_or(|typ| typ == "JWT") && header.get("crit").is_none());
    assert_eq!(claims["iss"], badge.issuer());
    assert_eq!(claims["iss"], "https://registry.example");
    assert_eq!(claims["sub"], badge.subject());
    assert!(
        badge.subject().starts_with("did:") && badge.subject().bytes().all(|byte| byte.is_ascii_graphic())
    );
    assert_eq!(claims["jti"].as_str().map(str::to_ascii_lowercase).as_deref(), Some(badge.id()));
    assert_eq!(claims["vc"]["credentialSubject"]["level"], badge.level().text());
    assert!(["1", "2", "3", "4"].contains(&badge.level().text()));
    assert_eq!(claims["key"]["x"], base64::encode_url(badge.key()));
    assert!(claims.get("aud").is_none_or(Value::is_array));
    let is_bound = badge.ial().text() == "1";
    assert_eq!(claims.get("cnf").is_some(), is_bound);
    let (now, skew) = (NOW.as_millis() / 1000, 60);
    assert!(claims["exp"].as_i64().is_some_and(|until| until > now - skew));
    assert!(claims["iat"].as_i64().is_some_and(|from| from <= now + skew));
}

fn check_signature(token: &[u8]) {
    let [header, claims] = parts(token);
    assert_eq!((&header["alg"], &header["typ"]), (&Value::from("EdDSA"), &Value::from("JWT")));
    assert_eq!(header["kid"], "agent-a-key-1");
    assert!(claims.get("vc").is_none() && claims.get("ial").is_none());
    let time = |name: &str| claims[name].as_i64().expect("a whole number");
    assert!((0..=60).contains(&(time("exp") - time("iat"))));
}

fn parts(token: &[u8]) -> [Value; 2] {
    let mut parts = token.split(|byte| *byte == b'.');
    [(); 2].map(|()| {
        let text = std::str::from_utf8(parts.next().expect("three parts")).expect("ASCII");
        let bytes = base64::decode_url(text).expect("base64url");
        serde_json::from_slice(&bytes).expect("what was let in is JSON to others too")
    })
}

fn made_of(input: &[u8], signer: &str) -> Option<String> {
    let at = input.iter().position(|byte| *byte == b'\n')?;
    let (header, payload) = (&input[..at], &input[at + 1..]);
    let signing_input = format!("{}.{}", base64::encode_url(header), base64::encode_url(payload));
    let signature = key(signer).sign(signing_input.as_bytes());
    Some(format!("{signing_input}.{}", base64::encode_url(&signature)))
}
