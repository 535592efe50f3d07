//! A passport JWT, as it is and signed for the fuzzer.

use super::envelope::signer;
use super::passport::{LIMITS, check_contents, judged, verdict};
use super::{Answer, altered};
use portcullis_core::modei::{from_jwt, is_jwt};
use portcullis_core::{Carrier, base64, json};
use serde_json::Value;

/// Judges a token as it stands; then, with the first line as its header and the rest as
/// its payload, the token that is made of them and signed by whoever should sign it.
pub fn jwt(input: &[u8]) -> Answer {
    let as_it_stands = judge_token(input);
    let made = made_of(input).map(|token| judge_token(token.as_bytes()));
    as_it_stands.or(made.unwrap_or(Answer::Refused))
}

fn judge_token(token: &[u8]) -> Answer {
    let claims_to_be = is_jwt(token);
    assert_eq!(claims_to_be, is_jwt(token));
    let Ok(signed) = from_jwt(token) else { return Answer::Refused };
    // Otherwise a gate would pass it on as somebody else's.
    assert!(claims_to_be, "a token that can be read as a passport JWT is not taken for one");
    let value = [b"Bearer ", token].concat();
    assert!(Carrier::Authorization.carries(&value));

    let mut parts = token.split(|byte| *byte == b'.');
    let mut part = || {
        let text = std::str::from_utf8(parts.next().expect("three parts")).expect("ASCII");
        base64::decode_url(text).expect("base64url")
    };
    let (header, payload) = (part(), part());
    check_header(&header);
    let Ok(passport) = judged(&signed) else { return Answer::Refused };

    let payload: Value = serde_json::from_slice(&payload).expect("what was let in is JSON to others too");
    check_contents(&passport, &payload);
    for copy in altered(token) {
        let other = from_jwt(&copy).and_then(|signed| verdict(&signed));
        assert!(other.is_err(), "something else was signed than {}", String::from_utf8_lossy(&copy));
    }
    Answer::Accepted
}

/// RFC 7515 section 4: what another reader makes of the header.
fn check_header(header: &[u8]) {
    let read: Value = serde_json::from_slice(header).expect("an accepted header is JSON to others too");
    let members = read.as_object().expect("an object");
    assert_eq!(members["alg"], "EdDSA");
    assert_eq!(members["typ"], "passport+jwt");
    assert!(members.keys().all(|name| ["alg", "kid", "typ"].contains(&name.as_str())), "{read}");
}

fn made_of(input: &[u8]) -> Option<String> {
    let at = input.iter().position(|byte| *byte == b'\n')?;
    let (header, payload) = (&input[..at], &input[at + 1..]);
    let envelope = json::parse(payload, LIMITS).ok()?;
    let signing_input = format!("{}.{}", base64::encode_url(header), base64::encode_url(payload));
    let signature = signer(&envelope)?.sign(signing_input.as_bytes());
    Some(format!("{signing_input}.{}", base64::encode_url(&signature)))
}
