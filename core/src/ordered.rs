//! Sets and maps that take little of the plugin's file.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// Values by name. One tree for all types of value: a tree's code for another type is 4 KiB more.
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

    /// Adds a value, in the place of one of this name.
    pub(crate) fn set(&mut self, name: &str, value: T) {
        match self.places.get(name).and_then(|place| self.values.get_mut(*place)) {
            Some(before) => *before = value,
            None => {
                self.insert(name, value);
            }
        }
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The value of this name, made if there is none.
    pub(crate) fn entry(&mut self, name: &str) -> Option<&mut T>
    where
        T: Default,
    {
        self.insert(name, T::default());
        self.values.get_mut(*self.places.get(name)?)
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// In the order of the names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.places.iter().filter_map(|(name, place)| Some((name.as_str(), self.values.get(*place)?)))
    }
}

/// Of several of one name the last counts.
impl<K: AsRef<str>, T> FromIterator<(K, T)> for Named<T> {
    fn from_iter<I: IntoIterator<Item = (K, T)>>(entries: I) -> Self {
        let mut named = Named::new();
        for (name, value) in entries {
            named.set(name.as_ref(), value);
        }
        named
    }
}

/// Names alone.
pub(crate) type Names = Named<()>;

impl Names {
    /// Adds a name. Whether it was new.
    pub(crate) fn add(&mut self, name: &str) -> bool {
        self.insert(name, ())
    }

    /// Whether all of these are there once.
    pub(crate) fn are_distinct<K: AsRef<str>>(names: impl IntoIterator<Item = K>) -> bool {
        let mut seen = Names::new();
        names.into_iter().all(|name| seen.add(name.as_ref()))
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
