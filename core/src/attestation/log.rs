//! A gate's Merkle log (RFC 9162 section 2.1): its right edge, and proofs.
//!
//! Hashes of complete subtrees stand for ever. Whoever keeps them by [`Node`] makes every
//! proof from a few dozen of them, whatever the size.

use super::Hash;
use crate::base64;
use crate::ed25519::{Hasher, sha256};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The right edge of a tree: the hashes of its complete subtrees, largest first, one for
/// each bit of its size. It is all that appending needs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

/// A complete subtree: the leaves from `index << level`, `1 << level` of them. Level 0 are
/// the leaves.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Node {
    /// The logarithm of the number of its leaves.
    pub level: u8,
    /// How many subtrees of this level are before it.
    pub index: u64,
}

/// Which nodes a proof, or a frontier, is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan(Vec<Vec<Node>>);

/// The hash of a node from those of its children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Hasher::default();
    hasher.update(&[1]);
    hasher.update(left);
    hasher.update(right);
    hasher.digest()
}

/// The root of a tree without leaves.
pub fn empty_root() -> Hash {
    sha256(&[])
}

impl Frontier {
    /// A frontier from its parts; `None` where there is not one hash for each bit of the
    /// size.
    pub fn new(size: u64, hashes: Vec<Hash>) -> Option<Self> {
        let bits = usize::try_from(size.count_ones()).ok()?;
        (hashes.len() == bits).then_some(Frontier { size, hashes })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes, of the largest subtree first.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.push_keeping(leaf, &mut |_, _| {});
    }

    /// Appends a leaf, and tells of each node that is complete by it, the leaf first.
    pub fn push_keeping(&mut self, leaf: Hash, keep: &mut dyn FnMut(Node, Hash)) {
        let mut hash = leaf;
        let mut index = self.size;
        let mut level = 0_u8;
        keep(Node { level, index }, hash);
        // At most 64 rounds: one for each bit that carries.
        while index & 1 == 1 {
            let Some(left) = self.hashes.pop() else { break };
            hash = node_hash(&left, &hash);
            index >>= 1;
            level = level.saturating_add(1);
            keep(Node { level, index }, hash);
        }
        self.hashes.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        let mut hashes = self.hashes.iter().rev();
        let Some(last) = hashes.next() else { return empty_root() };
        hashes.fold(*last, |right, left| node_hash(left, &right))
    }

    /// `size`, and each hash in base64url, with spaces between.
    pub fn to_text(&self) -> String {
        let mut text = self.size.to_string();
        for hash in &self.hashes {
            text.push(' ');
            text.push_str(&base64::encode_url(hash));
        }
        text
    }

    /// Reads it.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let size = words.next()?;
        let frontier_size = size.parse::<u64>().ok()?;
        let mut hashes = Vec::new();
        // One more than there can be is refused below.
        for word in words.take(65) {
            hashes.push(base64::decode_url(word)?.try_into().ok()?);
        }
        let frontier = Frontier::new(frontier_size, hashes)?;
        (frontier.to_text() == text).then_some(frontier)
    }
}

impl Plan {
    /// The frontier of the first `size` leaves.
    pub fn frontier(size: u64) -> Self {
        Plan(subtrees(0, size).into_iter().map(|node| [node].into()).collect())
    }

    /// That the leaf of this index, from 0, is in the tree of this size (RFC 9162 section
    /// 2.1.3.1). `None` if there is no such leaf.
    pub fn inclusion(index: u64, size: u64) -> Option<Self> {
        if index >= size {
            return None;
        }
        let (mut from, mut to) = (0, size);
        let mut path = Vec::new();
        // The range at least halves, rounded up, so that 64 rounds are the most.
        while let Some(middle) = split(from, to) {
            if index < middle {
                path.push(subtrees(middle, to));
                to = middle;
            } else {
                path.push(subtrees(from, middle));
                from = middle;
            }
        }
        path.reverse();
        Some(Plan(path))
    }

    /// That the tree of the size `old` is the beginning of that of the size `new` (RFC 9162
    /// section 2.1.4.1). `None` if `old` is the larger one. Empty where either is empty, or
    /// both are the same.
    pub fn consistency(old: u64, new: u64) -> Option<Self> {
        if old > new {
            return None;
        }
        let (mut from, mut to) = (0, new);
        let mut is_whole = true;
        let mut path = Vec::new();
        while old != 0 && old != to {
            let Some(middle) = split(from, to) else { break };
            if old <= middle {
                path.push(subtrees(middle, to));
                to = middle;
            } else {
                path.push(subtrees(from, middle));
                from = middle;
                is_whole = false;
            }
        }
        if !is_whole {
            path.push(subtrees(from, to));
        }
        path.reverse();
        Some(Plan(path))
    }

    /// All nodes that it is made of.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        self.0.iter().flatten().copied()
    }

    /// The proof, from the nodes' hashes; `None` where one is missing.
    pub fn hashes(&self, mut kept: impl FnMut(Node) -> Option<Hash>) -> Option<Vec<Hash>> {
        let mut hashes = Vec::with_capacity(self.0.len());
        for nodes in &self.0 {
            let mut nodes = nodes.iter().rev();
            let mut hash = kept(*nodes.next()?)?;
            for node in nodes {
                hash = node_hash(&kept(*node)?, &hash);
            }
            hashes.push(hash);
        }
        Some(hashes)
    }
}

/// Where a range of leaves is split: after the largest power of two below its length.
fn split(from: u64, to: u64) -> Option<u64> {
    let below = to.saturating_sub(from).checked_sub(1).filter(|below| *below > 0)?;
    from.checked_add(1_u64.checked_shl(below.ilog2())?)
}

/// The complete subtrees of a range whose beginning is aligned to its length, largest first.
fn subtrees(from: u64, to: u64) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut from = from;
    // One round for each bit of the length.
    while let Some(level) = to.saturating_sub(from).checked_ilog2() {
        nodes.push(Node {
            level: u8::try_from(level).unwrap_or(u8::MAX),
            index: from.checked_shr(level).unwrap_or(0),
        });
        from = from.saturating_add(1_u64.checked_shl(level).unwrap_or(u64::MAX));
    }
    nodes
}

/// Whether `proof` shows that the leaf is in the tree (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last) = (index, size.saturating_sub(1));
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the older tree is the beginning of the newer one (RFC 9162
/// section 2.1.4.2). The empty tree is the beginning of every one.
pub fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    if old == 0 {
        return proof.is_empty() && *old_root == empty_root() && (new != 0 || new_root == old_root);
    }
    if old >= new {
        return old == new && proof.is_empty() && old_root == new_root;
    }
    let (mut node, mut last) = (old.saturating_sub(1), new.saturating_sub(1));
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let mut rest = proof.iter();
    // A power of two is a node of the newer tree itself, and so not in the proof.
    let first = if old.is_power_of_two() { Some(old_root) } else { rest.next() };
    let Some(first) = first else { return false };
    let (mut of_old, mut of_new) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            of_old = node_hash(sibling, &of_old);
            of_new = node_hash(sibling, &of_new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            of_new = node_hash(&of_new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && of_old == *old_root && of_new == *new_root
}
