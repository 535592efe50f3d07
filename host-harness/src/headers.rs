use std::borrow::Cow;

/// A header or trailer map, in order, duplicates kept. Names and values are
/// bytes, as the ABI has them; lookups ignore ASCII case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: Vec<u8>,
    value: Vec<u8>,
    /// Removed by the plugin on a host where removal does not reach the upstream.
    hidden: bool,
}

impl Headers {
    /// The first value of `name`, with replacement characters where it is not UTF-8.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.value(name.as_bytes()).map(String::from_utf8_lossy)
    }

    /// All values of `name`, in order.
    pub fn all(&self, name: &str) -> Vec<Cow<'_, str>> {
        self.visible()
            .filter(|entry| entry.name.eq_ignore_ascii_case(name.as_bytes()))
            .map(|entry| String::from_utf8_lossy(&entry.value))
            .collect()
    }

    /// Whether `name` is there at least once.
    pub fn has(&self, name: &str) -> bool {
        self.value(name.as_bytes()).is_some()
    }

    /// The first value of `name`, as it is.
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.visible().find(|entry| entry.name.eq_ignore_ascii_case(name)).map(|entry| &*entry.value)
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.visible().map(|entry| (&*entry.name, &*entry.value))
    }

    /// How many entries there are, duplicates counted.
    pub fn len(&self) -> usize {
        self.visible().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an entry behind all others.
    pub fn add(&mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.entries.push(Entry { name: name.into(), value: value.into(), hidden: false });
    }

    /// Removes every entry of `name`.
    pub fn remove(&mut self, name: &[u8]) {
        self.entries.retain(|entry| !entry.name.eq_ignore_ascii_case(name));
    }

    /// Puts `value` in the place of every entry of `name`, or adds it.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    /// Makes one entry of all of `name`, their values joined by commas.
    pub(crate) fn join(&mut self, name: &[u8]) {
        let same = |entry: &&mut Entry| entry.name.eq_ignore_ascii_case(name);
        let values: Vec<&[u8]> = self.entries.iter_mut().filter(same).map(|entry| &*entry.value).collect();
        if values.len() > 1 {
            let joined = values.join(&b","[..]);
            self.set(name, &joined);
        }
    }

    /// Removes for the plugin's eyes only: the upstream still gets the entries.
    pub(crate) fn hide(&mut self, name: &[u8]) {
        for entry in self.entries.iter_mut().filter(|entry| entry.name.eq_ignore_ascii_case(name)) {
            entry.hidden = true;
        }
    }

    /// Replaces the first visible entry and hides the others, or adds one.
    pub(crate) fn set_hiding(&mut self, name: &[u8], value: &[u8]) {
        let mut matching =
            self.entries.iter_mut().filter(|entry| !entry.hidden && entry.name.eq_ignore_ascii_case(name));
        let Some(first) = matching.next() else {
            return self.add(name, value);
        };
        first.value = value.to_vec();
        for other in matching {
            other.hidden = true;
        }
    }

    /// As the other side gets them: what was only hidden is there again, and what the host leaves
    /// out is not, unless it was hidden.
    pub(crate) fn revealed(&self, left_out: &[&str]) -> Self {
        let is_left_out = |entry: &Entry| {
            !entry.hidden && left_out.iter().any(|name| entry.name.eq_ignore_ascii_case(name.as_bytes()))
        };
        let kept = self.entries.iter().filter(|entry| !is_left_out(entry));
        Self { entries: kept.map(|entry| Entry { hidden: false, ..entry.clone() }).collect() }
    }

    /// Removes all entries of `name` but the last.
    pub(crate) fn keep_last(&mut self, name: &str) {
        let is_it = |entry: &Entry| entry.name.eq_ignore_ascii_case(name.as_bytes());
        let mut others = self.entries.iter().filter(|entry| is_it(entry)).count().saturating_sub(1);
        self.entries.retain(|entry| {
            let goes = others > 0 && is_it(entry);
            others = others.saturating_sub(usize::from(goes));
            !goes
        });
    }

    pub(crate) fn lower_cased(mut self) -> Self {
        for entry in &mut self.entries {
            entry.name.make_ascii_lowercase();
        }
        self
    }

    /// Without the pseudo-headers (`:path` and its like).
    pub(crate) fn without_pseudo(mut self) -> Self {
        self.entries.retain(|entry| !entry.name.starts_with(b":"));
        self
    }

    pub(crate) fn retain_names(&mut self, keep: impl Fn(&[u8]) -> bool) {
        self.entries.retain(|entry| keep(&entry.name));
    }

    fn visible(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.hidden)
    }
}

impl<N: Into<Vec<u8>>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in pairs {
            headers.add(name, value);
        }
        headers
    }
}
