//! RFC 4648, strict: the one encoding of each byte string and no other.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use base64ct::{Base64UrlUnpadded, Encoding};

/// Decodes standard base64 with padding (section 4).
pub fn decode(text: &str) -> Option<Vec<u8>> {
    // By the other alphabet, as a second one would be another KB of the plugin's file.
    let bytes = text.as_bytes();
    let padding = bytes.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    if !bytes.len().is_multiple_of(4) || bytes.iter().any(|byte| matches!(byte, b'-' | b'_')) {
        return None;
    }
    let digits = bytes.get(..bytes.len().checked_sub(padding)?)?;
    let other = |byte: &u8| match byte {
        b'+' => b'-',
        b'/' => b'_',
        _ => *byte,
    };
    decode_digits(&digits.iter().map(other).collect::<Vec<_>>())
}

/// Decodes standard base64 of exactly `N` bytes.
pub fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    decode(text)?.try_into().ok()
}

/// Encodes as standard base64 with padding.
pub fn encode(bytes: &[u8]) -> String {
    // By the other alphabet, as a second one would be another KB of the plugin's file.
    let mut text = encode_url(bytes).replace('-', "+").replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Decodes URL-safe base64 without padding (section 5, as RFC 7515 uses it).
pub fn decode_url(text: &str) -> Option<Vec<u8>> {
    decode_digits(text.as_bytes())
}

fn decode_digits(digits: &[u8]) -> Option<Vec<u8>> {
    // Four digits are three bytes; a part of four is less.
    let mut bytes = vec![0; digits.len().div_ceil(4).saturating_mul(3)];
    let length = Base64UrlUnpadded::decode(digits, &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

/// Encodes as URL-safe base64 without padding.
pub fn encode_url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64ct::Base64;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn standard_text_is_what_the_library_writes(bytes in any::<Vec<u8>>()) {
            prop_assert_eq!(encode(&bytes), Base64::encode_string(&bytes));
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }

        #[test]
        fn standard_text_is_read_as_the_library_reads_it(text in "[-_+/AQgwz0=é\n]{0,9}") {
            prop_assert_eq!(decode(&text), Base64::decode_vec(&text).ok());
        }

        #[test]
        fn url_safe_text_is_read_as_the_library_reads_it(text in "[-_+/AQgwz0=é\n]{0,9}") {
            prop_assert_eq!(decode_url(&text), Base64UrlUnpadded::decode_vec(&text).ok());
        }
    }
}
