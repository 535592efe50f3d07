//! Credentials that were verified before.

use crate::modei::Passport;
use crate::modei::RootKind;
use crate::presented::{Kind, Presented};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
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
            .flat_map(BTreeMap::values)
            .fold(0, |sum, entries| sum.saturating_add(entries.len()))
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn get(&mut self, presented: Presented<'_>) -> Option<Rc<Passport>> {
        self.issued.get(presented).or_else(|| self.self_issued.get(presented))
    }

    pub(crate) fn insert(&mut self, presented: Presented<'_>, passport: &Rc<Passport>) {
        let generations = match passport.root().kind() {
            RootKind::SelfIssued => &mut self.self_issued,
            RootKind::Gate | RootKind::Platform => &mut self.issued,
        };
        generations.insert(presented, Rc::clone(passport));
    }
}

/// Two generations: when the young one is full it becomes the old one, and the old
/// one is forgotten. What is used moves to the young one. So what is used at least
/// once a generation stays, without a list to keep in order.
#[derive(Debug)]
struct Generations {
    young: Entries,
    old: Entries,
    weight: usize,
    budget: usize,
}

/// B-trees: nobody can choose keys that make them slow, as with a hash table.
type Entries = BTreeMap<Kind, BTreeMap<Box<[u8]>, Rc<Passport>>>;

impl Generations {
    fn new(budget: usize) -> Self {
        Generations { young: BTreeMap::new(), old: BTreeMap::new(), weight: 0, budget }
    }

    fn get(&mut self, presented: Presented<'_>) -> Option<Rc<Passport>> {
        let Presented { kind, bytes } = presented;
        if let Some(passport) = self.young.get(&kind).and_then(|entries| entries.get(bytes)) {
            return Some(Rc::clone(passport));
        }
        let passport = self.old.get_mut(&kind)?.remove(bytes)?;
        self.insert(presented, Rc::clone(&passport));
        Some(passport)
    }

    fn insert(&mut self, presented: Presented<'_>, passport: Rc<Passport>) {
        let weight = presented.bytes.len().saturating_add(passport.weight());
        if weight > self.budget {
            return;
        }
        if self.weight.saturating_add(weight) > self.budget {
            self.old = core::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight = self.weight.saturating_add(weight);
        self.young.entry(presented.kind).or_default().insert(Box::from(presented.bytes), passport);
    }
}
