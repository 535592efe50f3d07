//! A request that is good so far, and of which more is awaited: its body, or word of other proxies.

use super::asking::Asking;
use super::permit::{Identity, Refused, Trail};
use super::prove::Proven;
use super::{Signed, Wanted};
use crate::capiscio::unsigned_body;
use crate::denial::Denial;
use crate::ed25519::Hasher;
use crate::mcp::{Awaited, Message};
use crate::reason::Reason;
use crate::replay::Once;
use crate::route::Route;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What a verifier remembers of a head while the body comes. It owns all of it, as the
/// headers are gone by then.
#[derive(Debug)]
pub struct Pending {
    pub(super) route: Arc<Route>,
    /// `None` for a request without a credential.
    pub(super) identity: Option<Identity>,
    /// Where a request without one comes from.
    pub(super) source: Option<Vec<u8>>,
    pub(super) asking: Asking<'static>,
    /// Where the body is a message, and that says what is asked.
    pub(super) awaited: Option<Awaited>,
    /// Of the body only.
    pub(super) signed: Option<Signed>,
    /// Of the request.
    pub(super) proven: Option<Proven>,
    pub(super) wanted: Option<Wanted>,
    /// What it has used once in this process.
    pub(super) once: Option<Once>,
    /// The id of a message that was read, as JSON text.
    pub(super) message_id: Option<String>,
    pub(super) body: Body,
    /// Of a request to switch protocols that announces no body: what follows is not its own.
    pub(super) is_whole: bool,
}

/// A body as it comes.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) length: u64,
    pub(super) limit: u64,
    /// How many bytes have come of a body that is taken whole.
    announced: usize,
    /// For the signature of the body, if there is one, and for an approval of the request.
    pub(super) hasher: Hasher,
    /// Whether it takes the bytes.
    pub(super) is_hashed: bool,
}

impl Pending {
    pub(super) fn boxed(
        route: &Arc<Route>,
        asking: Asking<'_>,
        awaited: Option<Awaited>,
        source: Option<Vec<u8>>,
        body: Body,
    ) -> Box<Self> {
        Box::new(Pending {
            route: Arc::clone(route),
            identity: None,
            source,
            asking: asking.into_owned(),
            awaited,
            signed: None,
            proven: None,
            wanted: None,
            once: None,
            message_id: None,
            body,
            is_whole: false,
        })
    }

    /// Whether it has no body, though more will come: it asks to switch protocols, which nobody does
    /// before it is judged.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether the body says what is asked, and has not come yet: it must be given whole, by
    /// [`Pending::absorb_message`].
    pub fn awaits_message(&self) -> bool {
        self.awaited.is_some() && self.once.is_none()
    }

    /// Takes the whole of a body that says what is asked.
    ///
    /// # Errors
    /// As [`Pending::absorb`].
    pub fn absorb_message(&mut self, text: Vec<u8>) -> Result<(), Box<Refused>> {
        self.absorb(&text)?;
        if let Some(awaited) = &mut self.awaited {
            awaited.text = text;
        }
        Ok(())
    }

    /// Notes how many bytes have come of such a body.
    ///
    /// # Errors
    /// `body_too_large`.
    pub fn announce(&mut self, size: usize) -> Result<(), Box<Refused>> {
        self.body.announced = size;
        let checked = self.body.check(u64::try_from(size).unwrap_or(u64::MAX));
        checked.map_err(|denial| Box::new(self.refused(denial)))
    }

    /// How many bytes have come of it.
    pub fn announced(&self) -> usize {
        self.body.announced
    }

    /// What it has used up, and is remembered in this process: a nonce or a signature.
    pub fn once(&self) -> Option<&Once> {
        self.once.as_ref()
    }

    /// Finds what is asked by a message.
    pub(super) fn find(&mut self, message: &Message<'_>, trail: &mut Trail) -> Result<(), Denial> {
        let found = self.route.messages(self.asking.method).map(|all| all.find(message, &self.route));
        if let Some(route) = found.transpose()? {
            for identity in [&mut self.identity, &mut trail.identity].into_iter().flatten() {
                identity.route = Arc::clone(&route);
            }
            self.route = route;
        }
        Ok(())
    }

    /// Takes the next bytes of the body, in order, each once. They are not kept.
    ///
    /// # Errors
    /// As soon as it is clear that no rest of the body could mend it: `body_too_large`,
    /// `body_not_signed`.
    pub fn absorb(&mut self, chunk: &[u8]) -> Result<(), Box<Refused>> {
        self.take(chunk).map_err(|denial| Box::new(self.refused(denial)))
    }

    /// How many bytes of the body it has taken.
    pub fn taken(&self) -> u64 {
        self.body.length
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), Denial> {
        self.body.count(chunk)?;
        if let Some(signed) = &self.signed
            && self.body.length > 0
            && signed.signature.body_hash().is_none()
        {
            return Err(unsigned_body());
        }
        if self.body.is_hashed {
            self.body.hasher.update(chunk);
        }
        if let Some(proven) = &mut self.proven {
            proven.absorb(chunk)?;
        }
        Ok(())
    }

    /// Refuses the request for what is known of its body beside the bytes, as its route has it.
    pub fn refused(&self, denial: Denial) -> Refused {
        Refused::new(denial, self.route.mode(), Some(Arc::clone(&self.route)), self.trail())
    }

    /// What is known of the request before it is judged again.
    pub(super) fn trail(&self) -> Trail {
        let mut trail = self.identity.clone().map(Trail::of).unwrap_or_default();
        trail.wanted.clone_from(&self.wanted);
        trail.message_id.clone_from(&self.message_id);
        trail
    }
}

impl Body {
    pub(super) fn new(limit: u32, is_hashed: bool) -> Self {
        Body { length: 0, limit: limit.into(), announced: 0, hasher: Hasher::default(), is_hashed }
    }

    fn check(&self, length: u64) -> Result<(), Denial> {
        if length > self.limit {
            let detail = format!("the body has more than the {} bytes that are allowed", self.limit);
            return Err(Denial::new(Reason::BodyTooLarge, detail));
        }
        Ok(())
    }

    fn count(&mut self, chunk: &[u8]) -> Result<(), Denial> {
        let added = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.length = self.length.saturating_add(added);
        self.check(self.length)
    }
}
