//! What a delegated passport may say, compared with the one it came from.

use super::envelope::Envelope;
use super::passport::Permissions;
use crate::guardrails::{Granted, RuleFault};
use crate::json::{Object, Value, canonical_text};
use crate::ordered::{Named, Names};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Constraints that a child may lower.
const NUMERIC: [&str; 5] = [
    "max_daily_cost",
    "max_per_action_cost",
    "max_total_cost",
    "rate_limit_per_hour",
    "rate_limit_per_minute",
];

/// Constraints of which a child may keep a part.
const LISTS: [&str; 3] = ["allowed_domains", "allowed_models", "allowed_paths"];

/// Whether every permission of `child` is one of `parent`'s, with constraints that
/// are as tight or tighter. A constraint that the child leaves out is inherited. Neither
/// states a permission twice: each list of the parent's is gone through once.
///
/// # Errors
/// What the child has too much of.
pub(super) fn check(parent: &Envelope<'_>, child: &Envelope<'_>) -> Result<(), String> {
    let parent: Named<_> = parent.permissions.iter().copied().collect();
    for (key, constraints) in &child.permissions {
        let granted =
            parent.get(key).ok_or_else(|| format!("the parent has no permission {}", shown(key)))?;
        for (dimension, value) in constraints.iter() {
            check_dimension(dimension, granted, value).map_err(|problem| {
                format!("constraint {} of permission {} {problem}", shown(dimension), shown(key))
            })?;
        }
    }
    Ok(())
}

fn check_dimension(dimension: &str, parent: &Object<'_>, child: &Value<'_>) -> Result<(), &'static str> {
    let parent = parent.get(dimension).ok_or("is not in the parent")?;
    if NUMERIC.contains(&dimension) {
        let (Some(parent), Some(child)) = (parent.as_number(), child.as_number()) else {
            return Err("must be a number in parent and child");
        };
        return if child.as_f64() <= parent.as_f64() { Ok(()) } else { Err("is higher than the parent's") };
    }
    if LISTS.contains(&dimension) {
        let (Some(parent), Some(child)) = (parent.as_array(), child.as_array()) else {
            return Err("must be a list in parent and child");
        };
        // Of these the SDK has no opinion: it crashes.
        let is_nested = |entry: &Value<'_>| matches!(entry, Value::Array(_) | Value::Object(_));
        if parent.iter().chain(child).any(is_nested) {
            return Err("must be a list without lists or objects in it");
        }
        let parent: Names = parent.iter().map(|entry| (canonical_text(entry), ())).collect();
        return if child.iter().all(|entry| parent.contains(&canonical_text(entry))) {
            Ok(())
        } else {
            Err("has an entry that the parent's has not")
        };
    }
    if parent == child { Ok(()) } else { Err("differs from the parent's") }
}

/// A name from a credential, for a message: cut to a length that no honest name has.
fn shown(name: &str) -> String {
    let mut shown: String =
        name.chars().take(64).map(|letter| if letter.is_ascii_graphic() { letter } else { '?' }).collect();
    if name.chars().nth(64).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

/// The leaf's permissions with the constraints in force: the root's, each dimension
/// as the last hop that restated it has it. So a hop that leaves a constraint out
/// does not escape it. And what these ask, read once, of each permission that has any: two
/// names of one guardrail, in one passport or in two of the chain, both hold.
pub(super) fn effective(leaf: &Envelope<'_>) -> (Permissions, Named<Result<Granted, RuleFault>>) {
    let hops: Vec<_> = leaf.hops().map(|hop| hop.permissions.iter().copied().collect::<Named<_>>()).collect();
    let mut permissions = Permissions::default();
    let mut granted = Named::new();
    for (key, _) in &leaf.permissions {
        let own: Vec<_> = hops.iter().map(|hop| hop.get(key).copied()).collect();
        let mut merged = Object::default();
        for (dimension, value) in own.iter().copied().flatten().flat_map(Object::iter) {
            merged.set(dimension, value.clone().into_owned());
        }
        if !merged.is_empty() {
            granted.insert(key, Granted::read(&merged, &own));
        }
        permissions.0.set(key, merged);
    }
    (permissions, granted)
}
