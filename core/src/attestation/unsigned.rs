//! A record without its place in a lane, and how it gets one.

use super::signer::Signer;
use super::{Hash, LaneId};
use crate::base64;
use crate::ed25519::Hasher;
use crate::live::hex;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A record's canonical text without chain hash, lane, number and signature: four pieces,
/// as each of those stands between two of them. Signing is joining and hashing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unsigned {
    pub(super) text: String,
    /// Where the second, third and fourth piece begin.
    cuts: [usize; 3],
}

/// A record as it is sent, stored and exported.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signed {
    /// The whole text, one line.
    pub text: String,
    /// Its chain hash.
    pub chain_hash: Hash,
    /// Its signature.
    pub signature: [u8; 64],
}

/// The two members that say where in a lane a record stands.
pub(super) struct Placed {
    /// `,"lane":…`
    pub(super) lane: String,
    /// `,"sequence_number":…`
    pub(super) number: String,
}

impl Unsigned {
    pub(super) fn begin() -> Self {
        // Room for a record of usual size.
        Unsigned { text: String::with_capacity(1024), cuts: [0; 3] }
    }

    /// The piece with this index ends here.
    pub(super) fn cut(&mut self, index: usize) {
        if let Some(cut) = self.cuts.get_mut(index) {
            *cut = self.text.len();
        }
    }

    /// Puts text into the second piece.
    pub(super) fn insert(&mut self, at: usize, text: &str) {
        self.text.insert_str(at, text);
        for cut in self.cuts.iter_mut().skip(1) {
            *cut = cut.saturating_add(text.len());
        }
    }

    /// How it stands in a queue: three lengths, each two bytes, little endian, then the text.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.text.len().saturating_add(6));
        for cut in self.cuts {
            // A record has 4 KiB at most.
            bytes.extend_from_slice(&u16::try_from(cut).unwrap_or(u16::MAX).to_le_bytes());
        }
        bytes.extend_from_slice(self.text.as_bytes());
        bytes
    }

    /// Reads it. What a queue holds was written by this process, so that only its form is
    /// looked at.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (cuts, text) = bytes.split_first_chunk::<6>()?;
        let [a, b, c, d, e, f] = *cuts;
        let cuts = [[a, b], [c, d], [e, f]].map(|cut| usize::from(u16::from_le_bytes(cut)));
        let text = core::str::from_utf8(text).ok()?;
        let unsigned = Unsigned { text: text.to_string(), cuts };
        unsigned.pieces().map(|_| ())?;
        Some(unsigned)
    }

    /// The attestation's id, `att_…`, by which a reply names it before it is signed.
    pub fn id(&self) -> &str {
        // INVARIANT: the first piece ends with the id and a quote.
        let [first, ..] = self.pieces().unwrap_or_default();
        first.get(first.len().saturating_sub(37)..first.len().saturating_sub(1)).unwrap_or_default()
    }

    /// Gives it its place in a lane, after the record whose chain hash is `previous`, and
    /// signs it. The same arguments give the same bytes.
    pub fn sign(&self, lane: &LaneId, number: u64, previous: &Hash, signer: &Signer) -> Signed {
        let pieces = self.pieces().unwrap_or_default();
        let placed = Placed::new(lane, number);
        let chain_hash = placed.chain_hash(&pieces, previous);
        let chain = chain_member(&chain_hash);
        let signed = placed.join(&pieces, &chain, "");
        let signature = signer.sign(signed.as_bytes());
        let text = placed.join(&pieces, &chain, &signature_member(signer.key_id(), &signature));
        Signed { text, chain_hash, signature }
    }

    pub(super) fn pieces(&self) -> Option<[&str; 4]> {
        let [first, second, third] = self.cuts;
        Some([
            self.text.get(..first)?,
            self.text.get(first..second)?,
            self.text.get(second..third)?,
            self.text.get(third..)?,
        ])
    }
}

impl Placed {
    pub(super) fn new(lane: &LaneId, number: u64) -> Self {
        Placed {
            lane: [",\"lane\":\"", &base64::encode_url(lane), "\""].concat(),
            number: [",\"sequence_number\":", &number.to_string()].concat(),
        }
    }

    /// SHA-256 over the hash before it and the text without chain hash and signature.
    fn chain_hash(&self, [first, second, third, fourth]: &[&str; 4], previous: &Hash) -> Hash {
        let mut hasher = Hasher::default();
        hasher.update(previous);
        for part in [first, second, self.lane.as_str(), third, &self.number, fourth] {
            hasher.update(part.as_bytes());
        }
        hasher.digest()
    }

    pub(super) fn join(
        &self,
        [first, second, third, fourth]: &[&str; 4],
        chain: &str,
        signature: &str,
    ) -> String {
        [first, chain, second, &self.lane, third, &self.number, signature, fourth].concat()
    }
}

/// `,"chain_hash":…`
pub(super) fn chain_member(chain_hash: &Hash) -> String {
    [",\"chain_hash\":\"", &hex(chain_hash), "\""].concat()
}

/// `,"signature":…`
pub(super) fn signature_member(key_id: &str, signature: &[u8; 64]) -> String {
    let value = base64::encode_url(signature);
    [",\"signature\":{\"algorithm\":\"EdDSA\",\"key_id\":\"", key_id, "\",\"value\":\"", &value, "\"}"]
        .concat()
}
