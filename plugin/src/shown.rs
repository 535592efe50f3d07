//! Bytes of others, for a person to read.

use alloc::string::String;

/// The first `most` bytes as text; what is not ASCII, as `?`.
pub(crate) fn shown(bytes: &[u8], most: usize) -> String {
    bytes.iter().take(most).map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_far_as_they_are_letters_and_cut() {
        assert_eq!(shown("/flüge\u{0}x".as_bytes(), 8), "/fl??ge\u{0}");
    }
}
