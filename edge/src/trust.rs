//! Live trust material: which call brings it, and taking up what comes.

use crate::check_kept;
use crate::unusable::{Unusable, owned};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use portcullis_core::attestation::Signer;
use portcullis_core::json::{Object, Value, canonical_text};
use portcullis_core::live::{Call, Current, LiveError, LiveTrust, Next, TrustResponse};
use portcullis_core::{Denial, Reason, SecretKey, Service, ServiceConfig, Snapshot, UnixTime, base64};

/// The trust material of a gate, and how it asks for more.
pub(crate) struct Taking {
    trust: LiveTrust,
    service: Service,
    signer: Option<Signer>,
    /// What heads for this process must repeat: base64url of 16 random bytes.
    echo: Option<String>,
    /// What was asked last.
    asked: Option<Next>,
    counts: bool,
    /// The newest snapshot, and what of it cannot be kept here.
    unkept: Option<(Arc<Snapshot>, String)>,
}

impl Taking {
    pub(crate) fn new(config: ServiceConfig, counts: bool) -> Result<Self, Unusable> {
        let trust = LiveTrust::new(&config)?;
        let service = config.service;
        Ok(Taking { trust, service, signer: None, echo: None, asked: None, counts, unkept: None })
    }

    /// Takes the 32 bytes by which its calls are signed.
    pub(crate) fn begin(&mut self, gate_key: Option<Vec<u8>>) -> Result<(), Unusable> {
        let seed = gate_key.and_then(|key| key.try_into().ok());
        let seed =
            seed.ok_or_else(|| Unusable::argument("secrets.gateKey", "32 bytes, or base64 of them"))?;
        self.signer = Some(Signer::new(&SecretKey::from_seed(seed)));
        Ok(())
    }

    /// What to judge by.
    ///
    /// # Errors
    /// `trust_material_missing`, also for what cannot be kept at the edge.
    pub(crate) fn current(&self) -> Result<Current<'_>, Denial> {
        let current = self.trust.current()?;
        match &self.unkept {
            Some((snapshot, _)) if Arc::ptr_eq(snapshot, current.snapshot) => {
                let detail = "the gate's configuration asks for what a gate at the edge does not do";
                Err(Denial::new(Reason::TrustMaterialMissing, detail))
            }
            _ => Ok(current),
        }
    }

    /// The next call: JSON of `authority`, `target` and `headers`. None before it has begun.
    pub(crate) fn question(&mut self, now: UnixTime, random: &[u8]) -> Option<String> {
        let signer = self.signer.as_ref()?;
        let (echo, nonce) = random.split_at_checked(16).unwrap_or_default();
        let echo = self.echo.get_or_insert_with(|| base64::encode_url(echo));
        let nonce = nonce.first_chunk().copied().unwrap_or_default();
        let next = self.trust.next();
        let (path, query) = match next {
            Next::Page { from } => ("revocations", format!("from={from:016x}")),
            Next::Ask { snapshot, revocations } => {
                ("trust", format!("snapshot={snapshot}&revocations={revocations}&wait=0&random={echo}"))
            }
        };
        self.asked = Some(next);
        let path = Call::path_of(self.trust.gate(), path);
        let authority = self.service.authority.as_str();
        let call = Call { method: "GET", authority, path: &path, query: &query, body: b"" };
        let headers = call.sign_by(signer, now, &nonce);
        let headers = headers.into_iter().map(|(name, value)| Value::Array(vec![name.into(), owned(value)]));
        let target = [&path, "?", &query].concat();
        let question = Object::from([
            ("authority", owned(authority)),
            ("headers", Value::Array(headers.collect())),
            ("target", owned(target)),
        ]);
        Some(canonical_text(&question.into()))
    }

    /// Takes an answer up; whether there is more to ask at once.
    pub(crate) fn accept(&mut self, body: &[u8], now: UnixTime) -> Result<bool, Unusable> {
        let before = self.trust.current().ok().map(|current| Arc::clone(current.snapshot));
        let accepted = match self.asked.take() {
            None => return Ok(false),
            Some(Next::Page { .. }) => self.trust.accept_page(body, now),
            Some(Next::Ask { .. }) => TrustResponse::read(body)
                .and_then(|response| self.trust.accept(&response, now, self.echo.as_deref())),
        };
        if let Ok(current) = self.trust.current()
            && before.is_none_or(|before| !Arc::ptr_eq(&before, current.snapshot))
        {
            let kept = check_kept(current.snapshot, self.counts);
            self.unkept = kept.err().map(|unusable| (Arc::clone(current.snapshot), unusable.detail));
        }
        accepted?;
        if let Some((_, detail)) = &self.unkept {
            return Err(Unusable::new("INVALID_CONFIGURATION", detail));
        }
        Ok(matches!(self.trust.next(), Next::Page { .. }) || !self.trust.has_revocations())
    }
}

impl From<LiveError> for Unusable {
    fn from(error: LiveError) -> Self {
        Unusable { code: "TRUST_MATERIAL_REFUSED", detail: [error.code(), ": ", &error.to_string()].concat() }
    }
}
