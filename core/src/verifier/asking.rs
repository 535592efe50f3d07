//! What a request asks, as far as guardrails and approvals look at it.

use crate::guardrails::Facts;
use crate::request::{Method, RequestHead, Unambiguous};
use crate::route::Route;
use crate::time::UnixTime;
use alloc::borrow::Cow;
use alloc::string::String;
use core::str::from_utf8;

/// Borrowed from a head, or kept while the body comes.
#[derive(Debug)]
pub(super) struct Asking<'r> {
    pub(super) method: Method,
    /// Decoded, without query.
    pub(super) path: Cow<'r, str>,
    /// Path and query as they came.
    pub(super) target: Cow<'r, str>,
    pub(super) authority: Cow<'r, str>,
}

impl<'r> Asking<'r> {
    /// INVARIANT: of a head that was found unambiguous, so all of it is text.
    pub(super) fn new(head: &RequestHead<'r>, request: Unambiguous<'r>) -> Self {
        let text = |bytes| Cow::Borrowed(from_utf8(bytes).unwrap_or_default());
        let Unambiguous { method, path, .. } = request;
        Asking { method, path, target: text(head.path), authority: text(head.authority) }
    }

    pub(super) fn into_owned(self) -> Asking<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Asking {
            method: self.method,
            path: owned(self.path),
            target: owned(self.target),
            authority: owned(self.authority),
        }
    }

    /// The host that it is for in the end, in lower case.
    pub(super) fn target_domain(&self, route: &Route) -> String {
        route.target_domain(&self.authority).to_ascii_lowercase()
    }

    pub(super) fn facts<'f>(&'f self, route: &'f Route, target_domain: &'f str, now: UnixTime) -> Facts<'f> {
        Facts {
            action: route.action(),
            method: self.method,
            target_domain,
            path: &self.path,
            model: route.model(),
            cost_cents: route.cost_cents(),
            now,
        }
    }
}
