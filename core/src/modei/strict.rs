//! What Modei's own verifier leaves open and a gate must not: ids that belong to other
//! keys, chains within chains that tell another story, times that are none.

use super::envelope::{Envelope, IssuerType, Link};
use super::passport::Hop;
use super::{SELF_AGENT_PREFIX, SelfIds};
use crate::base64;
use crate::denial::Denial;
use crate::json::Canonical;
use crate::reason::Reason;
use crate::time::UnixTime;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

/// What the strict step read on its way.
pub(super) struct Checked {
    pub(super) hops: Vec<Hop>,
    pub(super) leaf: Hop,
    pub(super) leaf_key: [u8; 32],
    pub(super) root_key: [u8; 32],
}

/// Checks each hop by itself and against the root, and that every chain within the
/// chain is the part of it that came before.
///
/// # Errors
/// `public_key_malformed` for a key that is not 32 bytes of base64, and
/// `invalid_envelope_shape` for all else, as Modei has no code for it.
pub(super) fn check(leaf: &Envelope<'_>, canonical: &Canonical<'_, '_>) -> Result<Checked, Denial> {
    let links = leaf.links().unwrap_or_default();
    let root = leaf.root();
    let mut hops = Vec::new();
    let mut previous = None;
    for (index, link) in links.iter().enumerate() {
        let place = |problem| misshapen(&format!("delegation_chain[{index}].passport_json"), problem);
        let envelope = &link.envelope;
        hops.push(check_hop(envelope, root, previous).map_err(place)?);
        if !nested_chain_agrees(envelope, links.get(..index).unwrap_or_default(), canonical) {
            return Err(place(Problem::Said("its own chain is not the part of this chain before it")));
        }
        previous = Some(envelope);
    }
    let (leaf_hop, leaf_key) =
        check_hop(leaf, root, previous).map_err(|problem| misshapen("the passport", problem))?;
    let root_key = hops.first().map_or(leaf_key, |(_, key)| *key);
    Ok(Checked { hops: hops.into_iter().map(|(hop, _)| hop).collect(), leaf: leaf_hop, leaf_key, root_key })
}

enum Problem {
    Key,
    Said(&'static str),
}

fn misshapen(whose: &str, problem: Problem) -> Denial {
    match problem {
        Problem::Key => Denial::new(Reason::PublicKeyMalformed, format!("identity.public_key of {whose}")),
        Problem::Said(problem) => Denial::new(Reason::InvalidEnvelopeShape, format!("{whose}: {problem}")),
    }
}

fn check_hop(
    envelope: &Envelope<'_>,
    root: &Envelope<'_>,
    parent: Option<&Envelope<'_>>,
) -> Result<(Hop, [u8; 32]), Problem> {
    let key = base64::decode_array::<32>(envelope.public_key).ok_or(Problem::Key)?;
    let said = |holds: bool, problem| if holds { Ok(()) } else { Err(Problem::Said(problem)) };

    let ids = [envelope.passport_id, envelope.agent_id, envelope.issuer.id, envelope.issuer.key_id];
    said(ids.into_iter().all(is_printable_id), "an id is not 1 to 256 printable ASCII characters")?;

    let own = SelfIds::of(&key);
    let agent_is_bound = envelope.agent_id == own.agent;
    match parent {
        Some(parent) => {
            said(
                envelope.issuer.kind == IssuerType::Delegate,
                "a delegated passport must be of type delegate",
            )?;
            let expected = envelope.issuer.id.strip_prefix("delegate:");
            said(expected == Some(root.passport_id), "issuer.id does not name the root of the chain")?;
            said(envelope.issuer.key_id == parent.issuer.key_id, "issuer.key_id is not its parent's")?;
            said(inherits_catalog(envelope, root), "gate_id and catalog are not as inherited from the root")?;
            said(agent_is_bound, "agent_id does not belong to public_key")?;
        }
        None if envelope.issuer.kind == IssuerType::SelfIssued => {
            said(envelope.issuer.id == own.issuer, "issuer.id does not belong to public_key")?;
            said(envelope.issuer.key_id == "self", "issuer.key_id of a self-issued passport must be self")?;
            said(agent_is_bound, "agent_id does not belong to public_key")?;
        }
        None => {
            // Issuers name agents as they like, but not with a name that a key speaks for.
            let is_named = !envelope.agent_id.starts_with(SELF_AGENT_PREFIX);
            said(is_named || agent_is_bound, "agent_id does not belong to public_key")?;
            let is_self =
                envelope.issuer.id.starts_with("self:") || envelope.issuer.id.starts_with("delegate:");
            said(!is_self, "issuer.id is of another type than issuer.type")?;
        }
    }

    let time = |text| {
        UnixTime::from_iso(text).ok_or(Problem::Said("a time is not of the form YYYY-MM-DDTHH:MM:SS.mmmZ"))
    };
    let (issued_at, expires_at) = (time(envelope.issued_at)?, time(envelope.expires_at)?);
    said(issued_at < expires_at, "it expires before it is issued")?;
    let hop = Hop {
        passport_id: envelope.passport_id.to_string(),
        agent_id: envelope.agent_id.to_string(),
        issued_at,
        expires_at,
    };
    Ok((hop, key))
}

/// Ids go into headers, records and metrics of other systems, which must not have to
/// guard themselves against them. 256 characters are four times the longest id that
/// Modei's SDKs make (`self:` and 64 hexadecimal digits).
fn is_printable_id(id: &str) -> bool {
    (1..=256).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

fn inherits_catalog(envelope: &Envelope<'_>, root: &Envelope<'_>) -> bool {
    let pin = |envelope: &Envelope<'_>| {
        (
            envelope.gate_id.map(ToString::to_string),
            envelope.catalog_content_hash.map(ToString::to_string),
            envelope.catalog_version,
        )
    };
    let inherited = if root.issuer.kind == IssuerType::Gate { pin(root) } else { (None, None, None) };
    pin(envelope) == inherited
}

/// The chain within a link must be the links before it, byte for byte.
fn nested_chain_agrees(envelope: &Envelope<'_>, before: &[Link<'_>], canonical: &Canonical<'_, '_>) -> bool {
    let Some(nested) = envelope.chain_value() else { return before.is_empty() };
    let Some(mut rest) = canonical.part(nested).and_then(|text| text.strip_prefix('[')) else { return false };
    for (index, link) in before.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        let entry = canonical.part(link.value).unwrap_or_default();
        match rest.strip_prefix(separator).and_then(|rest| rest.strip_prefix(entry)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest == "]"
}
