//! A request whose head is good so far, and whose body is awaited.

use super::asking::Asking;
use super::permit::{Identity, Refused, Trail};
use super::prove::Proven;
use super::{Signed, Wanted};
use crate::capiscio::unsigned_body;
use crate::denial::Denial;
use crate::ed25519::Hasher;
use crate::reason::Reason;
use crate::route::Route;
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;

/// What a verifier remembers of a head while the body comes. It owns all of it, as the
/// headers are gone by then.
#[derive(Debug)]
pub struct Pending {
    pub(super) route: Arc<Route>,
    pub(super) identity: Identity,
    pub(super) asking: Asking<'static>,
    /// Of the body only.
    pub(super) signed: Option<Signed>,
    /// Of the request.
    pub(super) proven: Option<Proven>,
    pub(super) wanted: Option<Wanted>,
    pub(super) body: Body,
}

/// A body as it comes.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) length: u64,
    pub(super) limit: u64,
    /// For the signature of the body, if there is one, and for an approval of the request.
    pub(super) hasher: Hasher,
    /// Whether it takes the bytes.
    pub(super) is_hashed: bool,
}

impl Pending {
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

    pub(super) fn refused(&self, denial: Denial) -> Refused {
        Refused::new(denial, self.route.mode(), Some(Arc::clone(&self.route)), self.trail())
    }

    /// What is known of the request before it is judged again.
    pub(super) fn trail(&self) -> Trail {
        Trail { wanted: self.wanted.clone(), ..Trail::of(self.identity.clone()) }
    }
}

impl Body {
    pub(super) fn new(limit: u32, is_hashed: bool) -> Self {
        Body { length: 0, limit: limit.into(), hasher: Hasher::default(), is_hashed }
    }

    fn count(&mut self, chunk: &[u8]) -> Result<(), Denial> {
        let added = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.length = self.length.saturating_add(added);
        if self.length > self.limit {
            let detail = format!("the body has more than the {} bytes that are allowed", self.limit);
            return Err(Denial::new(Reason::BodyTooLarge, detail));
        }
        Ok(())
    }
}
