//! What the host names by an id: one for each configuration, and one for each request under way.

use crate::request::Request;
use crate::root::Root;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What an id names.
pub(crate) enum Context {
    Root(Box<Root>),
    Request(Box<Request>),
}

/// As many as the host has created and not deleted, by id. Ids rise, so a new one goes to the
/// end; a tree would be 4 KB more of the plugin.
pub(crate) struct Contexts(Vec<(u32, Context)>);

impl Contexts {
    pub(crate) const fn new() -> Self {
        Contexts(Vec::new())
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Context> {
        let at = self.place(id).ok()?;
        self.0.get_mut(at).map(|(_, context)| context)
    }

    /// Adds one, in the place of one of this id.
    pub(crate) fn insert(&mut self, id: u32, context: Context) {
        match self.place(id) {
            Ok(at) => {
                if let Some(entry) = self.0.get_mut(at) {
                    entry.1 = context;
                }
            }
            Err(at) => self.0.insert(at, (id, context)),
        }
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<Context> {
        let at = self.place(id).ok()?;
        Some(self.0.remove(at).1)
    }

    /// The requests, with their ids.
    pub(crate) fn requests(&mut self) -> impl Iterator<Item = (u32, &mut Request)> {
        self.0.iter_mut().filter_map(|(id, context)| match context {
            Context::Request(request) => Some((*id, &mut **request)),
            Context::Root(_) => None,
        })
    }

    fn place(&self, id: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::Entrance;

    fn request() -> Context {
        Context::Request(Box::new(Request::new(Entrance::Unconfigured)))
    }

    #[test]
    fn contexts_are_found_whatever_order_they_come_and_go_in() {
        let mut contexts = Contexts::new();
        for id in [5, 2, 9, 2] {
            contexts.insert(id, request());
        }
        contexts.insert(1, Context::Root(Box::default()));
        assert_eq!(contexts.requests().map(|(id, _)| id).collect::<Vec<_>>(), [2, 5, 9]);
        assert!(contexts.remove(5).is_some() && contexts.remove(5).is_none());
        assert!(contexts.get_mut(5).is_none() && contexts.get_mut(9).is_some());
        assert!(matches!(contexts.get_mut(1), Some(Context::Root(_))));
    }
}
