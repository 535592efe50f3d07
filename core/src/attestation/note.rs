//! Signed notes (C2SP signed-note): a text, and lines that sign it.

use crate::base64;
use crate::ed25519::{PublicKey, SecretKey, sha256};
use alloc::string::String;
use alloc::vec::Vec;

/// A note as it was read. Its signatures are not checked by that.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note<'n> {
    /// The text, with the newline at its end.
    pub text: &'n str,
    signatures: Vec<Line<'n>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Line<'n> {
    name: &'n str,
    key_hash: [u8; 4],
    signature: Vec<u8>,
}

/// The longest note that is read: a checkpoint and sixteen large signatures, which the
/// specification asks for.
const MAX_NOTE: usize = 128 * 1024;
const MAX_SIGNATURES: usize = 32;

/// What a line that signs begins with: em dash, space.
const DASH: &str = "\u{2014} ";

/// The first four bytes of a key's hash: of its name, and the key as one for Ed25519.
pub fn key_hash(name: &str, public_key: &[u8; 32]) -> [u8; 4] {
    let hash = sha256(&[name.as_bytes(), b"\n\x01", public_key].concat());
    hash.first_chunk().copied().unwrap_or_default()
}

impl<'n> Note<'n> {
    /// Reads a note, or `None` if it is none.
    pub fn read(note: &'n str) -> Option<Self> {
        let is_printable = |byte: u8| byte >= 0x20 || byte == b'\n';
        if note.len() > MAX_NOTE || !note.bytes().all(is_printable) {
            return None;
        }
        // The last empty line parts them.
        let at = note.as_bytes().windows(2).rposition(|pair| pair == b"\n\n")?;
        let (text, lines) = note.split_at_checked(at.checked_add(1)?)?;
        let lines = lines.strip_prefix('\n')?.strip_suffix('\n')?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() >= MAX_SIGNATURES {
                return None;
            }
            signatures.push(Line::read(line)?);
        }
        Some(Note { text, signatures })
    }

    /// Whether it is signed by one of these keys of this name. Lines by others are let be; a
    /// line that names one of these and is not by it condemns the note.
    pub fn is_signed<'k>(&self, name: &str, keys: impl Iterator<Item = &'k PublicKey>) -> bool {
        let mut signed = false;
        for key in keys {
            let hash = key_hash(name, key.as_bytes());
            for line in self.signatures.iter().filter(|line| line.name == name && line.key_hash == hash) {
                let is_good = line
                    .signature
                    .as_slice()
                    .try_into()
                    .is_ok_and(|bytes: &[u8; 64]| key.verify(self.text.as_bytes(), bytes));
                if !is_good {
                    return false;
                }
                signed = true;
            }
        }
        signed
    }
}

impl<'n> Line<'n> {
    fn read(line: &'n str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
        let is_name = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+');
        let bytes = base64::decode(encoded).filter(|_| is_name)?;
        let (key_hash, signature) = bytes.split_first_chunk()?;
        if signature.is_empty() {
            return None;
        }
        Some(Line { name, key_hash: *key_hash, signature: signature.into() })
    }
}

/// Signs a text, which must end in a newline, with keys of one name.
pub(super) fn sign(text: &str, name: &str, keys: &[&SecretKey]) -> String {
    let mut note = String::from(text);
    note.push('\n');
    for key in keys {
        let hash = key_hash(name, &key.public_key());
        let signature = key.sign(text.as_bytes());
        note.push_str(DASH);
        note.push_str(name);
        note.push(' ');
        note.push_str(&base64::encode(&[&hash[..], &signature].concat()));
        note.push('\n');
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the note that golang.org/x/mod/sumdb/note publishes with its tests.
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                        then you don't know what your problem is.\n";
    const SIGNATURE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZIn\
                             NIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    const PUBLIC: &str = "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SECRET: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

    fn bytes(encoded: &str) -> [u8; 32] {
        base64::decode(encoded).unwrap()[1..].try_into().unwrap()
    }

    #[test]
    fn the_published_note_is_read_and_made() {
        let published = [TEXT, "\n", SIGNATURE].concat();
        let key = PublicKey::from_bytes(&bytes(PUBLIC)).unwrap();
        assert_eq!(key_hash("PeterNeumann", key.as_bytes()), [0xc7, 0x4f, 0x20, 0xa3]);
        let note = Note::read(&published).unwrap();
        assert_eq!(note.text, TEXT);
        assert!(note.is_signed("PeterNeumann", [&key].into_iter()));
        assert!(!note.is_signed("EnochRoot", [&key].into_iter()));
        assert_eq!(sign(TEXT, "PeterNeumann", &[&SecretKey::from_seed(bytes(SECRET))]), published);
    }

    #[test]
    fn a_changed_text_or_a_forged_line_beside_a_good_one_condemns_a_note() {
        let key = PublicKey::from_bytes(&bytes(PUBLIC)).unwrap();
        let changed = [TEXT, "\n", SIGNATURE].concat().replace("problem is", "problem was");
        assert!(!Note::read(&changed).unwrap().is_signed("PeterNeumann", [&key].into_iter()));
        let forged = SIGNATURE.replace("wJnAM=", "wJnAA=");
        let both = [TEXT, "\n", SIGNATURE, &forged].concat();
        assert!(!Note::read(&both).unwrap().is_signed("PeterNeumann", [&key].into_iter()));
    }

    #[test]
    fn what_is_no_note_is_not_read() {
        let published = [TEXT, "\n", SIGNATURE].concat();
        for note in [
            "",
            TEXT,
            published.trim_end(),
            &published.replace('\u{2014}', "-"),
            &published.replace("PeterNeumann", "Peter Neumann"),
            &published.replace("PeterNeumann", "Peter+Neumann"),
            &published.replace("think", "thi\tk"),
            &[TEXT, SIGNATURE].concat(),
            &[TEXT, "\n", SIGNATURE, "x"].concat(),
        ] {
            assert!(Note::read(note).is_none(), "{note:?}");
        }
    }
}
