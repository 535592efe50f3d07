//! What is left of a passport once it is verified.

use crate::guardrails::{Granted, RuleFault};
use crate::json::Object;
use crate::ordered::Named;
use crate::time::{CLOCK_SKEW_MS, UnixTime};
use alloc::string::String;
use alloc::vec::Vec;

/// A passport whose signatures, chain and bindings are right. Made by
/// [`verify`](super::verify) alone. That it is valid now, not revoked and good for a
/// route is judged anew at each use.
#[derive(Clone, Debug)]
pub struct Passport {
    pub(super) form: Form,
    pub(super) agent_name: Option<String>,
    pub(super) public_key: [u8; 32],
    pub(super) root: Root,
    pub(super) hops: Vec<Hop>,
    pub(super) leaf: Hop,
    pub(super) permissions: Permissions,
    pub(super) catalog_pin: Option<CatalogPin>,
    /// Of the permissions that have any.
    pub(super) granted: Named<Result<Granted, RuleFault>>,
}

/// The catalog that a passport was issued under: its terms are the passport's for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogPin {
    /// The version; 0, which no catalog has, where the passport names none.
    pub version: i64,
    /// The lower-case hexadecimal SHA-256 of the catalog; empty where it names none.
    pub content_hash: String,
}

/// Permission keys, and for each the constraints in force: what the root set, with
/// each dimension as the last hop that restated it has it.
#[derive(Clone, Debug, Default)]
pub struct Permissions(pub(super) Named<Object<'static>>);

impl Permissions {
    /// The constraints of this one, if it is there.
    pub fn get(&self, permission: &str) -> Option<&Object<'static>> {
        self.0.get(permission)
    }

    /// All of them with their constraints, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Object<'static>)> {
        self.0.iter()
    }
}

/// How a passport was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Over the canonical bytes of the envelope.
    Envelope,
    /// As a JWS.
    Jwt,
}

/// The passport at the beginning of a chain, or the passport itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub(super) kind: RootKind,
    pub(super) issuer: String,
    pub(super) key_id: String,
    pub(super) key: [u8; 32],
}

/// Who issued a passport that stands on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootKind {
    /// A gate.
    Gate,
    /// A platform's managed issuer.
    Platform,
    /// The agent itself.
    SelfIssued,
}

/// One passport of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    pub(super) passport_id: String,
    pub(super) agent_id: String,
    pub(super) issued_at: UnixTime,
    pub(super) expires_at: UnixTime,
}

/// Modei's derived tier of a passport: who stands at its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// Self-issued.
    L0,
    /// Issued by a platform.
    L1,
    /// Issued by a gate.
    L2,
}

impl Passport {
    /// The id that its issuer, or the agent that delegated it, gave it.
    pub fn id(&self) -> &str {
        &self.leaf.passport_id
    }

    /// The id of the agent that holds it.
    pub fn agent_id(&self) -> &str {
        &self.leaf.agent_id
    }

    /// The agent's name, unverified.
    pub fn agent_name(&self) -> Option<&str> {
        self.agent_name.as_deref()
    }

    /// The agent's Ed25519 key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// How it was signed.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Who vouches for it.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The passports it was delegated from, root first, and itself last.
    pub fn hops(&self) -> impl Iterator<Item = &Hop> {
        self.hops.iter().chain(core::iter::once(&self.leaf))
    }

    /// The ids from the root to this hop, with spaces between, which no id has. Each passport
    /// was named by the holder of the one before it, so nobody can make up the path of a
    /// passport that was not delegated to him.
    pub fn path_to(&self, hop: usize) -> String {
        let mut path = String::new();
        for (index, passport) in self.hops().take(hop.saturating_add(1)).enumerate() {
            if index > 0 {
                path.push(' ');
            }
            path.push_str(&passport.passport_id);
        }
        path
    }

    /// How often it was delegated: 0 to 5.
    pub fn depth(&self) -> usize {
        self.hops.len()
    }

    /// The permissions and their constraints, merged down the chain.
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// What the constraints of a permission ask, where it has some; or why they cannot be
    /// kept.
    pub fn constraints(&self, permission: &str) -> Option<&Result<Granted, RuleFault>> {
        self.granted.get(permission)
    }

    /// The catalog that its root is pinned to; `None` where that names neither version nor
    /// hash.
    pub fn catalog_pin(&self) -> Option<&CatalogPin> {
        self.catalog_pin.as_ref()
    }

    /// The same where `gate` has issued it. Whoever issues a passport writes its pin: one of another
    /// issuer says nothing of what was agreed with that gate.
    pub fn catalog_pin_by(&self, gate: &str) -> Option<&CatalogPin> {
        let is_own = self.root.kind == RootKind::Gate && self.root.issuer == gate;
        self.catalog_pin().filter(|_| is_own)
    }

    /// Modei's derived tier.
    pub fn provenance(&self) -> Provenance {
        match self.root.kind {
            RootKind::Gate => Provenance::L2,
            RootKind::Platform => Provenance::L1,
            RootKind::SelfIssued => Provenance::L0,
        }
    }

    /// When the last of its hops was issued.
    pub fn issued_at(&self) -> UnixTime {
        self.hops().map(|hop| hop.issued_at).max().unwrap_or(self.leaf.issued_at)
    }

    /// When it expires. No passport outlives one that it was delegated from.
    pub fn expires_at(&self) -> UnixTime {
        self.leaf.expires_at
    }

    /// Whether it was issued too far in the future for clocks that are 60 s apart.
    pub fn is_early(&self, now: UnixTime) -> bool {
        now.plus_millis(CLOCK_SKEW_MS) < self.issued_at()
    }

    /// Whether its time is over, even for clocks that are 60 s apart.
    pub fn is_late(&self, now: UnixTime) -> bool {
        now.plus_millis(CLOCK_SKEW_MS.saturating_neg()) >= self.expires_at()
    }

    /// About how many bytes it keeps in memory, for caches with a budget.
    pub fn weight(&self) -> usize {
        // A B-tree entry, a vector's header and an allocation's overhead, rounded up.
        const ENTRY: usize = 96;
        let hops: usize = self
            .hops()
            .map(|hop| ENTRY.saturating_add(hop.passport_id.len()).saturating_add(hop.agent_id.len()))
            .sum();
        let permissions: usize = self
            .permissions
            .iter()
            .map(|(key, constraints)| {
                let constraints: usize = constraints
                    .iter()
                    .map(|(name, value)| ENTRY.saturating_add(name.len()).saturating_add(value.weight()))
                    .sum();
                ENTRY.saturating_add(key.len()).saturating_add(constraints)
            })
            .sum();
        let granted = self.granted.iter().map(|(key, granted)| {
            let rules = granted.as_ref().map_or_else(|fault| fault.member.len(), Granted::weight);
            ENTRY.saturating_add(key.len()).saturating_add(rules)
        });
        let granted = granted.fold(0, usize::saturating_add);
        let name = self.agent_name.as_deref().map_or(0, str::len);
        let pin = self.catalog_pin.as_ref().map_or(0, |pin| pin.content_hash.len());
        [ENTRY, hops, permissions, granted, name, pin, self.root.issuer.len(), self.root.key_id.len()]
            .into_iter()
            .fold(0, usize::saturating_add)
    }
}

impl Root {
    /// Who issued it.
    pub fn kind(&self) -> RootKind {
        self.kind
    }

    /// The issuer's id. All other ids in the passport are unique within it only.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The id of the issuer's key.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The key that the root's signature was checked with.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }
}

impl RootKind {
    /// The name in `provenance.issuer.type`.
    pub fn name(self) -> &'static str {
        match self {
            RootKind::Gate => "gate",
            RootKind::Platform => "platform",
            RootKind::SelfIssued => "self",
        }
    }
}

impl Hop {
    /// The passport's id.
    pub fn passport_id(&self) -> &str {
        &self.passport_id
    }

    /// The id of the agent that holds it.
    pub fn agent_id(&self) -> &str {
        &self.agent_id
    }

    /// When it was issued.
    pub fn issued_at(&self) -> UnixTime {
        self.issued_at
    }

    /// When it expires.
    pub fn expires_at(&self) -> UnixTime {
        self.expires_at
    }
}

impl Provenance {
    /// `L0`, `L1` or `L2`.
    pub fn name(self) -> &'static str {
        match self {
            Provenance::L0 => "L0",
            Provenance::L1 => "L1",
            Provenance::L2 => "L2",
        }
    }
}
