//! The plugin's reading of a host's header map.

use super::Answer;
use super::plugin_pairs::{MAX_BYTES, MAX_PAIRS, Pair, decode, head};

/// Reads a map, and writes it again by another hand: nothing may be lost, made up or
/// read twice.
pub fn pairs(input: &[u8]) -> Answer {
    let mut map = input.to_vec();
    let Ok(pairs) = decode(&mut map) else {
        assert!(head(&mut input.to_vec()).is_err(), "a head was read from a map that cannot be");
        return Answer::Refused;
    };
    assert!(pairs.len() <= MAX_PAIRS && input.len() <= MAX_BYTES);
    if !input.is_empty() {
        assert_eq!(encoded(&pairs), encoded(&lower_case(input, &pairs)));
        assert_eq!(encoded(&pairs).len(), input.len(), "bytes were passed over");
    }
    let mut again = encoded(&pairs);
    assert_eq!(decode(&mut again).as_ref(), Ok(&pairs));
    check_head(input, &pairs);
    Answer::Accepted
}

fn check_head(input: &[u8], pairs: &[Pair<'_>]) {
    let values = |wanted: &[u8]| -> Vec<&[u8]> {
        pairs.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| *value).collect()
    };
    let pseudo = [b":method".as_slice(), b":authority", b":path"].map(values);
    let mut map = input.to_vec();
    match head(&mut map) {
        Err(_) => assert!(pseudo.iter().any(|values| values.len() > 1)),
        Ok(head) => {
            assert!(pseudo.iter().all(|values| values.len() <= 1));
            let [method, authority, path] = pseudo.map(|values| values.first().copied().unwrap_or_default());
            assert_eq!((head.method, head.authority, head.path), (method, authority, path));
            let others: Vec<_> = pairs
                .iter()
                .filter(|(name, _)| ![b":method".as_slice(), b":authority", b":path"].contains(name))
                .copied()
                .collect();
            assert_eq!(head.headers, others);
        }
    }
}

/// The pairs as `input` has them at the places where they must be, names in lower case
/// by our own hand.
fn lower_case<'b>(input: &'b [u8], pairs: &[Pair<'b>]) -> Vec<Pair<'b>> {
    let mut at = 4 + 8 * pairs.len();
    let mut take = |length: usize| {
        let text = &input[at..at + length];
        assert_eq!(input[at + length], 0);
        at += length + 1;
        text
    };
    let read = |(name, value): &Pair<'b>| {
        let (read_name, read_value) = (take(name.len()), take(value.len()));
        assert!(!name.iter().any(u8::is_ascii_uppercase));
        assert!(name.eq_ignore_ascii_case(read_name));
        (*name, read_value)
    };
    pairs.iter().map(read).collect()
}

/// A map as hosts write it.
pub fn encoded(pairs: &[Pair<'_>]) -> Vec<u8> {
    let size = |length: usize| u32::try_from(length).expect("a short text").to_le_bytes();
    let mut map = size(pairs.len()).to_vec();
    for (name, value) in pairs {
        map.extend(size(name.len()));
        map.extend(size(value.len()));
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        map.extend(*text);
        map.push(0);
    }
    map
}
