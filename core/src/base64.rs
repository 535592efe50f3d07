//! RFC 4648, strict: the one encoding of each byte string and no other.

use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64, Base64UrlUnpadded, Encoding};

/// Decodes standard base64 with padding (section 4).
pub fn decode(text: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(text).ok()
}

/// Decodes standard base64 of exactly `N` bytes.
pub fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let decoded = Base64::decode(text, &mut bytes).ok()?;
    (decoded.len() == N).then_some(bytes)
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
    Base64UrlUnpadded::decode_vec(text).ok()
}

/// Encodes as URL-safe base64 without padding.
pub fn encode_url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn standard_text_is_what_the_library_writes(bytes in any::<Vec<u8>>()) {
            prop_assert_eq!(encode(&bytes), Base64::encode_string(&bytes));
        }
    }
}
