//! What bounds an issuer's word: the time of its keys, and the actions that it may grant.

use super::{ID_FORM, is_action, is_id};
use crate::base64;
use crate::config::{ConfigError, KeyConfig, Spot, checked};
use crate::ed25519::PublicKey;
use crate::ordered::{Named, Names};
use crate::time::UnixTime;
use alloc::string::String;

/// Keys by their ids.
#[derive(Debug, Default)]
pub(crate) struct Keys(Named<Key>);

#[derive(Debug)]
pub(super) struct Key {
    key: PublicKey,
    not_before: Option<UnixTime>,
    not_after: Option<UnixTime>,
}

/// The actions that an issuer may grant.
#[derive(Debug)]
pub(super) struct Ceiling {
    actions: Names,
    /// Namespaces granted whole, with their colon.
    namespaces: Names,
    everything: bool,
}

impl Keys {
    /// Checks keys and indexes them.
    ///
    /// # Errors
    /// The first that is malformed or there twice; `path` is that of the list.
    pub(crate) fn new(listed: &[KeyConfig], path: &str) -> Result<Self, ConfigError> {
        checked(path, |spot| Keys::checked(listed, spot))
    }

    #[inline(never)]
    pub(super) fn checked(listed: &[KeyConfig], spot: &Spot<'_>) -> Self {
        let mut keys = Named::new();
        for (index, config) in listed.iter().enumerate() {
            let spot = spot.element(index);
            if let Some(key) = Key::checked(config, &spot) {
                spot.check(keys.insert(&config.key_id, key), "key_id", "stands twice");
            }
        }
        Keys(keys)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key of this id, if it is valid now.
    pub(crate) fn get(&self, id: &str, now: UnixTime) -> Option<&PublicKey> {
        self.0.get(id).and_then(|key| key.at(now))
    }

    /// The key of this id, valid or not.
    pub(crate) fn whenever(&self, id: &str) -> Option<&PublicKey> {
        self.0.get(id).map(|key| &key.key)
    }

    /// The keys that are valid now, in the order of their ids.
    pub(crate) fn at(&self, now: UnixTime) -> impl Iterator<Item = (&str, &PublicKey)> {
        self.0.iter().filter_map(move |(id, key)| Some((id, key.at(now)?)))
    }
}

impl Key {
    /// `None` only where a fault is noted.
    #[inline(never)]
    pub(super) fn checked(config: &KeyConfig, spot: &Spot<'_>) -> Option<Self> {
        spot.check(is_id(&config.key_id), "key_id", ID_FORM);
        let key =
            base64::decode_array::<32>(&config.public_key).and_then(|bytes| PublicKey::from_bytes(&bytes));
        let problem = "must be the standard base64, with padding, of the 32 bytes of an Ed25519 key";
        let key = spot.known(key, "public_key", problem);
        let not_before = time(config.not_before.as_deref(), "not_before", spot);
        let not_after = time(config.not_after.as_deref(), "not_after", spot);
        if let (Some(from), Some(until)) = (not_before, not_after) {
            spot.check(from < until, "not_after", "must be later than not_before");
        }
        Some(Key { key: key?, not_before, not_after })
    }

    /// The key, if it is valid at `now`.
    pub(super) fn at(&self, now: UnixTime) -> Option<&PublicKey> {
        let is_valid =
            self.not_before.is_none_or(|from| from <= now) && self.not_after.is_none_or(|until| now < until);
        is_valid.then_some(&self.key)
    }
}

/// A time that may be left out.
#[inline(never)]
pub(super) fn time(text: Option<&str>, member: &str, spot: &Spot<'_>) -> Option<UnixTime> {
    spot.known(UnixTime::from_rfc3339(text?), member, "must be a time in UTC, as 2026-01-31T00:00:00Z")
}

impl Ceiling {
    /// The actions of what stands at `spot`.
    #[inline(never)]
    pub(super) fn checked(actions: &[String], spot: &Spot<'_>) -> Self {
        let mut ceiling = Ceiling { actions: Names::new(), namespaces: Names::new(), everything: false };
        let problem = "must name at least one action that may be granted, or `*` for all";
        spot.check(!actions.is_empty(), "actions", problem);
        let spot = spot.member("actions");
        for (index, action) in actions.iter().enumerate() {
            let namespace = action.strip_suffix('*').filter(|namespace| namespace.ends_with(':'));
            let is_new = match namespace {
                _ if action == "*" => !core::mem::replace(&mut ceiling.everything, true),
                Some(namespace) if is_action(namespace) => ceiling.namespaces.add(namespace),
                None if is_action(action) => ceiling.actions.add(action),
                _ => {
                    spot.element(index).check(false, "", "must be an action, `namespace:*` or `*`");
                    continue;
                }
            };
            spot.element(index).check(is_new, "", "stands twice");
        }
        ceiling
    }

    pub(super) fn contains(&self, action: &str) -> bool {
        let in_namespace = || {
            action
                .match_indices(':')
                .any(|(at, _)| action.get(..=at).is_some_and(|namespace| self.namespaces.contains(namespace)))
        };
        self.everything || self.actions.contains(action) || in_namespace()
    }
}
