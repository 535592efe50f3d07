//! JSON text, beside another parser.

use super::Answer;
use portcullis_core::json::{Canonical, Fault, Limits, Value, canonical_text, parse};

/// Parses, writes canonically, parses again; and holds the parser against serde_json:
/// what is read here is read there alike, and what is no JSON here is none there.
pub fn json(input: &[u8]) -> Answer {
    let theirs: Result<serde_json::Value, _> = serde_json::from_slice(input);
    let value = match parse(input, LIMITS) {
        Ok(value) => value,
        Err(error) => {
            assert!(error.at <= input.len());
            assert!(!error.to_string().is_empty());
            if matches!(error.fault, Fault::NotUtf8 | Fault::Syntax | Fault::TrailingBytes) {
                assert!(theirs.is_err(), "{error}, but serde_json reads {theirs:?}");
            }
            return Answer::Refused;
        }
    };
    let theirs = theirs.expect("what is read here is read by serde_json too");
    assert!(is_alike(&value, &theirs), "{value:?} here, {theirs:?} there");

    let text = canonical_text(&value);
    let again = parse(text.as_bytes(), WIDER).expect("canonical text is JSON");
    assert_eq!(again, value, "canonical text says the same");
    assert_eq!(canonical_text(&again), text, "and is its own canonical text");
    let owned = value.clone().into_owned();
    assert_eq!(canonical_text(&owned), text);
    assert!(owned.weight() == value.weight());
    check_parts(&value);
    Answer::Accepted
}

/// Canonical text is compositional, and members are found by their names.
fn check_parts(value: &Value<'_>) {
    let parts: Vec<&Value<'_>> = match value {
        Value::Array(elements) => elements.iter().collect(),
        Value::Object(object) => {
            for (name, member) in object.iter() {
                assert!(std::ptr::eq(object.get(name).expect("a member"), member), "{name:?} is another's");
            }
            let names: Vec<Vec<u16>> = object.iter().map(|(name, _)| name.encode_utf16().collect()).collect();
            assert!(names.is_sorted_by(|left, right| left < right), "{names:?}");
            object.iter().map(|(_, member)| member).collect()
        }
        _ => return,
    };
    // Watching costs a look at every part for each value.
    let parts = &parts[..parts.len().min(8)];
    let whole = Canonical::of(value, parts);
    for part in parts.iter().filter(|part| matches!(part, Value::Array(_) | Value::Object(_))) {
        assert_eq!(whole.part(part), Some(canonical_text(part).as_str()));
    }
}

fn is_alike(ours: &Value<'_>, theirs: &serde_json::Value) -> bool {
    use serde_json::Value as Theirs;
    match (ours, theirs) {
        (Value::Null, Theirs::Null) => true,
        (Value::Bool(ours), Theirs::Bool(theirs)) => ours == theirs,
        (Value::String(ours), Theirs::String(theirs)) => ours == theirs,
        (Value::Number(ours), Theirs::Number(theirs)) => match ours.as_integer() {
            // serde_json has no integer -0.
            Some(0) => theirs.as_f64() == Some(0.0),
            Some(integer) => theirs.as_i64() == Some(integer),
            None => is_close(Some(ours.as_f64()), theirs.as_f64()),
        },
        (Value::Array(ours), Theirs::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_alike(ours, theirs))
        }
        (Value::Object(ours), Theirs::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .all(|(name, ours)| theirs.get(name).is_some_and(|theirs| is_alike(ours, theirs)))
        }
        _ => false,
    }
}

/// Whether two doubles are the same but for the last bit, which serde_json gives up for
/// speed; the core's own tests hold it to that bit.
pub(super) fn is_close(left: Option<f64>, right: Option<f64>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => {
            left == right
                || (left.signum() == right.signum() && left.to_bits().abs_diff(right.to_bits()) <= 1)
        }
        _ => false,
    }
}

/// Those of passports.
const LIMITS: Limits = Limits { bytes: 256 * 1024, depth: 64, values: 32_768 };

/// Canonical text may be longer: `1E9` has ten digits, and no number grows beyond 22.
const WIDER: Limits = Limits { bytes: 8 * 256 * 1024, depth: 64, values: 32_768 };
