//! Bytes of others, for a person to read.

use alloc::string::String;

/// The first `most` bytes as text; what is not ASCII, as `?`.
pub(crate) fn shown(bytes: &[u8], most: usize) -> String {
    bytes.iter().take(most).map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect()
}

/// The first 256 characters of a text, as one word of a log: what is no visible ASCII character, and
/// what could end a quoted text, as `?`. No id is longer.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |character: &char| character.is_ascii_graphic() && !matches!(character, '"' | '\\');
    text.chars().take(256).map(|character| if is_plain(&character) { character } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_nothing_that_could_end_a_line_a_field_or_a_quoted_text() {
        assert_eq!(word("did:web:a.example#k-1"), "did:web:a.example#k-1");
        assert_eq!(word("a b\"c\\d\ne\u{0}f\u{7f}g\u{fc}h"), "a?b?c?d?e?f?g?h");
        assert_eq!(word(&"x".repeat(300)).len(), 256);
    }

    #[test]
    fn bytes_are_shown_as_far_as_they_are_letters_and_cut() {
        assert_eq!(shown("/flüge\u{0}x".as_bytes(), 8), "/fl??ge\u{0}");
    }
}
