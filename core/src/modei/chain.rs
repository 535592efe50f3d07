//! The order of checks for a passport.

use super::envelope::{self, Envelope, IssuerType, Link};
use super::passport::{CatalogPin, Passport, Root, RootKind};
use super::wire::{Seal, SignedEnvelope};
use super::{strict, subset};
use crate::base64;
use crate::denial::Denial;
use crate::ed25519::PublicKey;
use crate::json::{Canonical, Value};
use crate::ordered::Names;
use crate::reason::Reason;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Verifies a passport: shape, sizes, chain, admission of its root, signatures from the
/// root down, narrowing from hop to hop, and last what binds ids to keys. The first
/// failure is the answer. Order and codes are those of Modei's own verifier up to the
/// last step, which closes what that one leaves open.
///
/// Not judged here, as it changes with time: window, revocation, grant.
///
/// # Errors
/// The [`Denial`] names the first check that failed.
pub fn verify(passport: &SignedEnvelope, roots: &impl Roots) -> Result<Passport, Denial> {
    let parsed = passport.parse()?;
    let (leaf, signature) = passport.leaf(&parsed)?;
    let leaf = envelope::read(leaf).map_err(|fault| Denial::new(fault.reason, fault.detail))?;
    let watched = watched_parts(&leaf);
    let canonical = Canonical::of(leaf.value, &watched);

    check_size(&leaf, canonical.text(), &canonical)?;
    check_chain(leaf.links(), &canonical)?;
    let root = leaf.root();
    let (kind, signer) = admit(root, roots)?;
    check_signatures(&leaf, &signature, &canonical, &signer)?;
    check_narrowing(&leaf)?;
    let checked = strict::check(&leaf, &canonical)?;

    let key = match signer {
        Signer::Known(key) => *key.as_bytes(),
        Signer::Claimed(_) => checked.root_key,
    };
    let (permissions, granted) = subset::effective(&leaf);
    Ok(Passport {
        form: passport.form(),
        agent_name: leaf.agent_name.map(ToString::to_string),
        public_key: checked.leaf_key,
        root: Root { kind, issuer: root.issuer.id.to_string(), key_id: root.issuer.key_id.to_string(), key },
        hops: checked.hops,
        leaf: checked.leaf,
        permissions,
        granted,
        catalog_pin: root.catalog_pin(),
    })
}

/// Checks of a freshly delegated envelope what needs no key: shape, sizes, chain and
/// narrowing.
///
/// # Errors
/// What [`verify`] would answer.
pub(super) fn check_delegation(leaf: &Value<'_>) -> Result<(), Denial> {
    let leaf = envelope::read(leaf).map_err(|fault| Denial::new(fault.reason, fault.detail))?;
    let watched = watched_parts(&leaf);
    let canonical = Canonical::of(leaf.value, &watched);
    check_size(&leaf, canonical.text(), &canonical)?;
    check_chain(leaf.links(), &canonical)?;
    check_narrowing(&leaf)
}

/// Who may stand at the root of a passport.
pub trait Roots {
    /// Judges a root before any signature is checked, so that a forgery in the name of
    /// an issuer nobody trusts costs no arithmetic.
    ///
    /// # Errors
    /// The reason for which passports of this root are not admitted.
    fn admit(&self, kind: RootKind, issuer: &str, key_id: &str) -> Result<Admission<'_>, Reason>;
}

/// How the signature of an admitted root is to be checked.
#[derive(Clone, Copy, Debug)]
pub enum Admission<'k> {
    /// With the issuer's key.
    IssuerKey(&'k PublicKey),
    /// With the key that the passport itself names.
    OwnKey,
}

/// Judges a passport by itself, as Modei's SDK does: self-issued roots stand for
/// themselves, and no key of any issuer is known.
#[derive(Clone, Copy, Debug)]
pub struct SelfContained;

impl Roots for SelfContained {
    fn admit(&self, kind: RootKind, _issuer: &str, _key_id: &str) -> Result<Admission<'_>, Reason> {
        match kind {
            RootKind::SelfIssued => Ok(Admission::OwnKey),
            RootKind::Gate | RootKind::Platform => Err(Reason::SignatureKeyUnavailable),
        }
    }
}

/// The longest chain: five passports before the leaf.
const MAX_CHAIN: usize = 5;

/// The largest envelope, in canonical bytes, its chain counted as `null`.
const MAX_ENVELOPE_BYTES: usize = 65_536;

/// The signature of the leaf.
pub(super) enum LeafSignature<'p> {
    Detached(&'p str),
    Jws { signing_input: &'p [u8], signature: &'p [u8; 64] },
}

impl SignedEnvelope {
    fn leaf<'p>(&'p self, parsed: &'p Value<'p>) -> Result<(&'p Value<'p>, LeafSignature<'p>), Denial> {
        match &self.seal {
            Seal::Detached => {
                let [envelope, signature] = envelope::members(parsed, ["passport_json", "signature"])
                    .map_err(|fault| {
                        Denial::new(Reason::InvalidEnvelopeShape, format!("around the envelope: {fault}"))
                    })?;
                let signature = signature
                    .as_str()
                    .ok_or_else(|| Denial::new(Reason::InvalidEnvelopeShape, "signature must be a string"))?;
                Ok((envelope, LeafSignature::Detached(signature)))
            }
            Seal::Jws { signing_input, signature } => {
                Ok((parsed, LeafSignature::Jws { signing_input, signature }))
            }
        }
    }
}

/// What a passport says of itself and its root. Nothing of it is verified.
#[derive(Clone)]
pub(crate) struct ChainClaims {
    pub(crate) passport_id: String,
    pub(crate) agent_id: String,
    /// The agent's key, in standard base64.
    pub(crate) public_key: String,
    /// The first passport of its chain, or itself.
    pub(crate) root_passport_id: String,
    /// The issuer of that.
    pub(crate) issuer_id: String,
    /// The catalog that it is pinned to.
    pub(crate) catalog_pin: Option<CatalogPin>,
}

impl SignedEnvelope {
    pub(crate) fn chain_claims(&self) -> Option<ChainClaims> {
        let parsed = self.parse().ok()?;
        let (leaf, _) = self.leaf(&parsed).ok()?;
        let leaf = envelope::read(leaf).ok()?;
        let root = leaf.root();
        Some(ChainClaims {
            passport_id: leaf.passport_id.to_string(),
            agent_id: leaf.agent_id.to_string(),
            public_key: leaf.public_key.to_string(),
            root_passport_id: root.passport_id.to_string(),
            issuer_id: root.issuer.id.to_string(),
            catalog_pin: root.catalog_pin(),
        })
    }
}

/// Whose key must have made a signature.
enum Signer<'v> {
    /// The key named in an envelope, as base64.
    Claimed(&'v str),
    /// A key from the trust material.
    Known(&'v PublicKey),
}

/// The parts of the leaf whose bytes are needed by themselves.
fn watched_parts<'v>(leaf: &Envelope<'v>) -> Vec<&'v Value<'v>> {
    let links = leaf.links().unwrap_or_default();
    // Of a chain longer than is allowed nothing further is looked at.
    let links = links.iter().take(MAX_CHAIN);
    let of_link = |link: &Link<'v>| {
        [Some(link.value), Some(link.envelope.value), link.envelope.chain_value()].into_iter().flatten()
    };
    leaf.chain_value().into_iter().chain(links.flat_map(of_link)).collect()
}

fn check_size(envelope: &Envelope<'_>, text: &str, canonical: &Canonical<'_, '_>) -> Result<(), Denial> {
    let chain = envelope.chain_value().and_then(|chain| canonical.part(chain));
    let size =
        chain.map_or(text.len(), |chain| text.len().saturating_sub(chain.len()).saturating_add("null".len()));
    if size <= MAX_ENVELOPE_BYTES {
        return Ok(());
    }
    let detail = format!("an envelope has {size} canonical bytes, and {MAX_ENVELOPE_BYTES} are allowed");
    Err(Denial::new(Reason::EnvelopeTooLarge, detail))
}

fn check_chain(links: Option<&[Link<'_>]>, canonical: &Canonical<'_, '_>) -> Result<(), Denial> {
    let Some(links) = links else { return Ok(()) };
    if links.len() > MAX_CHAIN {
        let detail = format!("the chain has {} entries, and {MAX_CHAIN} are allowed", links.len());
        return Err(Denial::new(Reason::DelegationChainTooDeep, detail));
    }
    let first = links
        .first()
        .ok_or_else(|| Denial::new(Reason::DelegationChainInvalidRoot, "delegation_chain is empty"))?;
    if first.envelope.chain.is_some() {
        let detail = "delegation_chain[0] has a chain of its own";
        return Err(Denial::new(Reason::DelegationChainInvalidRoot, detail));
    }
    for (index, link) in links.iter().enumerate() {
        let text = canonical.part(link.envelope.value).unwrap_or_default();
        check_size(&link.envelope, text, canonical)?;
        if !link.envelope.delegation_authority {
            let detail = format!("delegation_chain[{index}].delegation_authority is not true");
            return Err(Denial::new(Reason::DelegationAuthorityMissing, detail));
        }
    }
    Ok(())
}

fn admit<'v>(root: &Envelope<'v>, roots: &'v impl Roots) -> Result<(RootKind, Signer<'v>), Denial> {
    let kind = match root.issuer.kind {
        IssuerType::Gate => RootKind::Gate,
        IssuerType::Platform => RootKind::Platform,
        IssuerType::SelfIssued => RootKind::SelfIssued,
        IssuerType::Delegate => {
            let detail = "a passport of type delegate has no chain to stand on";
            return Err(Denial::new(Reason::DelegationChainInvalidRoot, detail));
        }
    };
    let admission = roots
        .admit(kind, root.issuer.id, root.issuer.key_id)
        .map_err(|reason| Denial::new(reason, format!("the root is {}-issued", kind.name())))?;
    let signer = match admission {
        Admission::IssuerKey(key) => Signer::Known(key),
        Admission::OwnKey => Signer::Claimed(root.public_key),
    };
    Ok((kind, signer))
}

fn check_signatures(
    leaf: &Envelope<'_>,
    signature: &LeafSignature<'_>,
    canonical: &Canonical<'_, '_>,
    root_signer: &Signer<'_>,
) -> Result<(), Denial> {
    let check_leaf = |signer: &Signer<'_>| match signature {
        LeafSignature::Detached(signature) => check_detached(canonical.text(), signature, signer)
            .map_err(|reason| (reason, String::from("the passport"))),
        LeafSignature::Jws { signing_input, signature } => check_signature(signing_input, signature, signer)
            .map_err(|reason| (reason, String::from("the JWT"))),
    };
    let check_all = || {
        let Some(links) = leaf.links() else { return check_leaf(root_signer) };
        let mut claimed = None;
        for (index, link) in links.iter().enumerate() {
            let text = canonical.part(link.envelope.value).unwrap_or_default();
            check_detached(text, link.signature, claimed.as_ref().unwrap_or(root_signer))
                .map_err(|reason| (reason, format!("delegation_chain[{index}]")))?;
            claimed = Some(Signer::Claimed(link.envelope.public_key));
        }
        check_leaf(claimed.as_ref().unwrap_or(root_signer))
    };
    check_all().map_err(|(reason, whose)| Denial::new(reason, format!("the signature of {whose}")))
}

fn check_detached(text: &str, signature: &str, signer: &Signer<'_>) -> Result<(), Reason> {
    let signature = base64::decode_array::<64>(signature).ok_or(Reason::SignatureMalformed)?;
    check_signature(text.as_bytes(), &signature, signer)
}

fn check_signature(message: &[u8], signature: &[u8; 64], signer: &Signer<'_>) -> Result<(), Reason> {
    let claimed;
    let key = match signer {
        Signer::Known(key) => key,
        Signer::Claimed(text) => {
            let bytes = base64::decode_array::<32>(text).ok_or(Reason::PublicKeyMalformed)?;
            claimed = PublicKey::from_bytes(&bytes).ok_or(Reason::SignatureInvalid)?;
            &claimed
        }
    };
    if key.verify(message, signature) { Ok(()) } else { Err(Reason::SignatureInvalid) }
}

fn check_narrowing(leaf: &Envelope<'_>) -> Result<(), Denial> {
    // The issuer's own verifier takes the last of several. Before they are compared, so that nobody has
    // a long list of the parent's gone through as often as there is room to name it.
    if !leaf.hops().all(|hop| Names::are_distinct(hop.permissions.iter().map(|(key, _)| *key))) {
        return Err(Denial::new(Reason::InvalidEnvelopeShape, "a permission is stated twice"));
    }
    let children = leaf.hops().skip(1);
    for (index, (parent, child)) in leaf.hops().zip(children).enumerate() {
        let at = |problem: &str| format!("from delegation_chain[{index}] to the next: {problem}");
        subset::check(parent, child)
            .map_err(|problem| Denial::new(Reason::PermissionElevationInChain, at(&problem)))?;
        // As text, which is how the SDK compares; the strict step makes it sound.
        if child.expires_at > parent.expires_at {
            return Err(Denial::new(Reason::ExpiryExtensionInChain, at("expires_at is later")));
        }
    }
    Ok(())
}

impl<'v> Envelope<'v> {
    pub(super) fn links(&self) -> Option<&[Link<'v>]> {
        self.chain.as_ref().map(|(_, links)| links.as_slice())
    }

    pub(super) fn chain_value(&self) -> Option<&'v Value<'v>> {
        self.chain.as_ref().map(|(value, _)| *value)
    }

    /// The first of the chain, or this envelope where there is none.
    pub(super) fn root(&self) -> &Envelope<'v> {
        self.links().and_then(<[Link<'v>]>::first).map_or(self, |link| &link.envelope)
    }

    /// All envelopes of the chain, root first, and this one last.
    pub(super) fn hops(&self) -> impl Iterator<Item = &Envelope<'v>> {
        let links = self.links().unwrap_or_default();
        links.iter().map(|link| &link.envelope).chain(core::iter::once(self))
    }
}
