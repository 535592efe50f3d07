//! A passport's JSON, as it is and with its signature made good.

use super::keys::key_for;
use super::passport::{LIMITS, check_contents, contents, judged, rewritten, signed_text, verdict};
use super::{Answer, altered};
use portcullis_core::json::{self, Value};
use portcullis_core::modei::{Passport, from_header, from_json};
use portcullis_core::{Denial, SecretKey, base64};

/// Judges a passport as it stands; then once more with the leaf signed again by whoever
/// should have signed it, so that a change of the text gets past the signature.
pub fn envelope(input: &[u8]) -> Answer {
    let as_it_stands = judge_writings(input);
    let signed_again = signed_again(input).map(|text| judge_writings(text.as_bytes()));
    as_it_stands.or(signed_again.unwrap_or(Answer::Refused))
}

/// Judges `{"passport_json": …, "signature": …}`, and checks that other writings of it
/// get the same verdict.
fn judge_writings(text: &[u8]) -> Answer {
    let judged = judge(text);
    let header = format!(":{}:", base64::encode(text));
    let in_header = verdict(&from_header(header.as_bytes()).expect("our own header is well-formed"));
    assert_eq!(format!("{judged:?}"), format!("{in_header:?}"));
    let Ok(passport) = judged else { return Answer::Refused };
    let value = json::parse(text, LIMITS).expect("what was let in is JSON");
    for other in [json::canonical_text(&value).into_bytes(), rewritten(text)] {
        // Another writer's doubles may be ones that this text has not signed.
        if signed_text(&other) == signed_text(text) {
            let again = verdict(&from_json(other)).expect("the same passport, written otherwise");
            assert_eq!(contents(&again), contents(&passport));
        }
    }
    Answer::Accepted
}

/// Judges `{"passport_json": …, "signature": …}`; of an accepted one checks what it says,
/// and that none is accepted which says something else.
pub(super) fn judge(text: &[u8]) -> Result<Passport, Denial> {
    let passport = judged(&from_json(text.to_vec()))?;
    let read: serde_json::Value =
        serde_json::from_slice(text).expect("what was let in is JSON to others too");
    check_contents(&passport, &read["passport_json"]);
    for copy in altered(text) {
        if let Ok(other) = verdict(&from_json(copy.clone())) {
            assert_eq!(signed_text(&copy), signed_text(text), "something else was signed than this");
            assert_eq!(contents(&other), contents(&passport));
        }
    }
    Ok(passport)
}

/// The passport with the signature of its leaf made by the one who should have made it,
/// if that is one of ours.
fn signed_again(text: &[u8]) -> Option<String> {
    let value = json::parse(text, LIMITS).ok()?;
    let mut whole = value.as_object()?.clone();
    let leaf = whole.get("passport_json")?;
    let signature = signer(leaf)?.sign(json::canonical_text(leaf).as_bytes());
    whole.set("signature", Value::String(base64::encode(&signature).into()));
    Some(json::canonical_text(&whole.into()))
}

/// Who should have signed an envelope: who holds the passport before it, else its issuer.
pub(super) fn signer(envelope: &Value<'_>) -> Option<&'static SecretKey> {
    let member = |value: &Value<'_>, path: &[&str]| {
        let found = path.iter().try_fold(value, |value, name| value.as_object()?.get(name));
        found.and_then(Value::as_str).map(str::to_owned)
    };
    let chain = envelope.as_object()?.get("provenance")?.as_object()?.get("delegation_chain")?;
    if let Some(last) = chain.as_array().and_then(<[Value<'_>]>::last) {
        return key_for(&member(last, &["passport_json", "identity", "public_key"])?);
    }
    let issuer = member(envelope, &["provenance", "issuer", "id"])?;
    let managed = super::gate::issuers().into_iter().find(|(managed, _)| managed.id == issuer);
    match managed {
        Some((_, owner)) => key_for(&base64::encode(&super::key(owner).public_key())),
        None => key_for(&member(envelope, &["identity", "public_key"])?),
    }
}
