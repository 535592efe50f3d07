//! Credentials that were verified before.

use crate::capiscio::{Badge, Level};
use crate::modei::{Passport, RootKind};
use crate::ordered::Named;
use crate::presented::{Kind, Token};
use alloc::rc::Rc;

/// Verified credentials by kind and exact bytes, within a budget of memory. A hit saves
/// decoding and signature arithmetic, nothing else.
///
/// Self-issued credentials, of which anybody can make any number, have half of the
/// budget to themselves, and so cannot push out those of issuers.
#[derive(Debug)]
pub struct CredentialCache {
    issued: Generations,
    self_issued: Generations,
}

/// A credential whose signatures were found right.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    Badge(Rc<Badge>),
    Passport(Rc<Passport>),
}

impl Known {
    /// Whether anybody can make such credentials.
    fn is_self_issued(&self) -> bool {
        match self {
            Known::Badge(badge) => badge.level() == Level::SelfSigned,
            Known::Passport(passport) => passport.root().kind() == RootKind::SelfIssued,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Known::Badge(badge) => badge.weight(),
            Known::Passport(passport) => passport.weight(),
        }
    }
}

impl CredentialCache {
    /// A cache that keeps at most about `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        let quarter = bytes / 4;
        CredentialCache { issued: Generations::new(quarter), self_issued: Generations::new(quarter) }
    }

    /// How many credentials it holds.
    pub fn len(&self) -> usize {
        [&self.issued, &self.self_issued]
            .into_iter()
            .flat_map(|generations| [&generations.young, &generations.old])
            .flatten()
            .fold(0, |sum, entries| sum.saturating_add(entries.len()))
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn get(&mut self, token: Token<'_>) -> Option<Known> {
        self.issued.get(token).or_else(|| self.self_issued.get(token))
    }

    pub(crate) fn insert(&mut self, token: Token<'_>, known: &Known) {
        let generations = if known.is_self_issued() { &mut self.self_issued } else { &mut self.issued };
        generations.insert(token, known.clone());
    }
}

/// Two generations: when the young one is full it becomes the old one, and the old
/// one is forgotten. What is used comes into the young one too. So what is used at least
/// once a generation stays, without a list to keep in order.
#[derive(Debug)]
struct Generations {
    young: Entries,
    old: Entries,
    weight: usize,
    budget: usize,
}

/// By kind, trees: nobody can choose keys that make them slow, as with a hash table.
type Entries = [Named<Known>; 4];

impl Generations {
    fn new(budget: usize) -> Self {
        Generations { young: Entries::default(), old: Entries::default(), weight: 0, budget }
    }

    fn get(&mut self, token: Token<'_>) -> Option<Known> {
        let (place, text) = (place(token.kind), text(token)?);
        if let Some(known) = self.young.get(place).and_then(|entries| entries.get(text)) {
            return Some(known.clone());
        }
        let known = self.old.get(place)?.get(text)?.clone();
        self.insert(token, known.clone());
        Some(known)
    }

    fn insert(&mut self, token: Token<'_>, known: Known) {
        let weight = token.bytes.len().saturating_add(known.weight());
        let Some(text) = text(token).filter(|_| weight <= self.budget) else { return };
        if self.weight.saturating_add(weight) > self.budget {
            self.old = core::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight = self.weight.saturating_add(weight);
        if let Some(entries) = self.young.get_mut(place(token.kind)) {
            entries.set(text, known);
        }
    }
}

/// No credential of any kind that is good has other bytes.
fn text(token: Token<'_>) -> Option<&str> {
    core::str::from_utf8(token.bytes).ok()
}

fn place(kind: Kind) -> usize {
    match kind {
        Kind::Badge => 0,
        Kind::Passport => 1,
        Kind::PassportJwt => 2,
        Kind::SimpleGuard => 3,
    }
}
