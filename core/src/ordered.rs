//! Sets and maps from iterators, entry by entry.
//!
//! The standard library sorts first, with a sort compiled anew for each type: 4 KiB of
//! the plugin each time, for sets that have a few entries.

use alloc::collections::{BTreeMap, BTreeSet};

pub(crate) fn set<T: Ord>(entries: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    for entry in entries {
        set.insert(entry);
    }
    set
}

/// Of several equal keys the last counts.
pub(crate) fn map<K: Ord, V>(entries: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    for (key, value) in entries {
        map.insert(key, value);
    }
    map
}
