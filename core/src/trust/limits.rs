//! What bounds an issuer's word: the time of its keys, and the actions that it may grant.

use super::{ID_FORM, is_action, is_id};
use crate::base64;
use crate::config::{ConfigError, KeyConfig};
use crate::ed25519::PublicKey;
use crate::ordered::{Named, Names};
use crate::time::UnixTime;
use alloc::format;
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
        let mut keys = Named::new();
        for (index, key) in listed.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let checked = Key::new(key, &path)?;
            if !keys.insert(&key.key_id, checked) {
                return Err(ConfigError::new(format!("{path}.key_id"), "stands twice"));
            }
        }
        Ok(Keys(keys))
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
    pub(super) fn new(config: &KeyConfig, path: &str) -> Result<Self, ConfigError> {
        let at = |member: &str| format!("{path}.{member}");
        if !is_id(&config.key_id) {
            return Err(ConfigError::new(at("key_id"), ID_FORM));
        }
        let key =
            base64::decode_array::<32>(&config.public_key).and_then(|bytes| PublicKey::from_bytes(&bytes));
        let key = key.ok_or_else(|| {
            ConfigError::new(
                at("public_key"),
                "must be the standard base64, with padding, of the 32 bytes of an Ed25519 key",
            )
        })?;
        let time = |text: &Option<String>, member: &str| match text {
            None => Ok(None),
            Some(text) => UnixTime::from_rfc3339(text).map(Some).ok_or_else(|| {
                ConfigError::new(at(member), "must be a time in UTC, as 2026-01-31T00:00:00Z")
            }),
        };
        let not_before = time(&config.not_before, "not_before")?;
        let not_after = time(&config.not_after, "not_after")?;
        if let (Some(from), Some(until)) = (not_before, not_after)
            && from >= until
        {
            return Err(ConfigError::new(at("not_after"), "must be later than not_before"));
        }
        Ok(Key { key, not_before, not_after })
    }

    /// The key, if it is valid at `now`.
    pub(super) fn at(&self, now: UnixTime) -> Option<&PublicKey> {
        let is_valid =
            self.not_before.is_none_or(|from| from <= now) && self.not_after.is_none_or(|until| now < until);
        is_valid.then_some(&self.key)
    }
}

impl Ceiling {
    pub(super) fn new(actions: &[String], path: &str) -> Result<Self, ConfigError> {
        let mut ceiling = Ceiling { actions: Names::new(), namespaces: Names::new(), everything: false };
        if actions.is_empty() {
            let problem = "must name at least one action that may be granted, or `*` for all";
            return Err(ConfigError::new(format!("{path}.actions"), problem));
        }
        for (index, action) in actions.iter().enumerate() {
            let namespace = action.strip_suffix('*').filter(|namespace| namespace.ends_with(':'));
            let is_new = match namespace {
                _ if action == "*" => !core::mem::replace(&mut ceiling.everything, true),
                Some(namespace) if is_action(namespace) => ceiling.namespaces.add(namespace),
                None if is_action(action) => ceiling.actions.add(action),
                _ => {
                    let problem = "must be an action, `namespace:*` or `*`";
                    return Err(ConfigError::new(format!("{path}.actions[{index}]"), problem));
                }
            };
            if !is_new {
                return Err(ConfigError::new(format!("{path}.actions[{index}]"), "stands twice"));
            }
        }
        Ok(ceiling)
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
