//! Sets and maps that take little of the plugin's file.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

/// A set, entry by entry. The standard library sorts first, with a sort compiled anew for
/// each type: 4 KiB each time, for sets that have a few entries.
pub(crate) fn set<T: Ord>(entries: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    for entry in entries {
        set.insert(entry);
    }
    set
}

/// A map, likewise. Of several equal keys the last counts.
pub(crate) fn map<K: Ord, V>(entries: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    for (key, value) in entries {
        map.insert(key, value);
    }
    map
}

/// Values by name. One tree for all types of value, for the same reason: a tree's code
/// for another type is 4 KiB more.
#[derive(Clone, Debug)]
pub(crate) struct Named<T> {
    places: BTreeMap<String, usize>,
    values: Vec<T>,
}

impl<T> Named<T> {
    pub(crate) fn new() -> Self {
        Named { places: BTreeMap::new(), values: Vec::new() }
    }

    /// Adds a value, unless there is one of this name. Whether it did.
    pub(crate) fn insert(&mut self, name: &str, value: T) -> bool {
        let is_new = reserve(&mut self.places, name, self.values.len());
        if is_new {
            self.values.push(value);
        }
        is_new
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.values.get(*self.places.get(name)?)
    }

    /// The value of this name, made if there is none.
    pub(crate) fn entry(&mut self, name: &str) -> Option<&mut T>
    where
        T: Default,
    {
        self.insert(name, T::default());
        self.values.get_mut(*self.places.get(name)?)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// In the order of the names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.places.iter().filter_map(|(name, place)| Some((name.as_str(), self.values.get(*place)?)))
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named::new()
    }
}

#[inline(never)]
fn reserve(places: &mut BTreeMap<String, usize>, name: &str, place: usize) -> bool {
    let is_new = !places.contains_key(name);
    if is_new {
        places.insert(name.to_owned(), place);
    }
    is_new
}
