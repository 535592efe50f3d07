//! The proof that a request comes from the holder of its credential, and comes once.

use super::permit::Credential;
use super::{Verifier, Wanted};
use crate::capiscio::Level;
use crate::config::Profile;
use crate::denial::Denial;
use crate::ed25519::{PublicKey, sha256};
use crate::memory::Memory;
use crate::modei::RootKind;
use crate::presented::Carrier;
use crate::process::Process;
use crate::proof::{self, BodyDigest, Holder, Proof, ProofWindows};
use crate::reason::Reason;
use crate::replay::{Novelty, Once};
use crate::request::RequestHead;
use crate::time::{CLOCK_SKEW_MS, UnixTime};
use alloc::format;
use alloc::string::ToString;

/// A proof whose signature is right, and what is left to be seen.
#[derive(Debug)]
pub(super) struct Proven {
    proof: Proof,
    /// By which it is remembered.
    once: Once,
    /// Whether [`Once::until`] is when its challenge is over.
    answers_challenge: bool,
    body: Option<BodyDigest>,
}

impl Verifier<'_> {
    /// Judges the proof of a request by the agent key of its credential, as far as the head
    /// goes. `None` for no proof where none is asked for: at L1 one that is there must be
    /// good, at L2 there must be one, at L3 it must answer a challenge. Whether an action needs
    /// one for its price, [`price`](Self::price) says.
    ///
    /// Tells in `wanted` what to ask of a request that fails from here on.
    pub(super) fn prove(
        &self,
        head: &RequestHead<'_>,
        carrier: Carrier,
        credential: &Credential,
        now: UnixTime,
        wanted: &mut Option<Wanted>,
    ) -> Result<Option<Proven>, Denial> {
        let profile = self.snapshot.profile();
        let presented = proof::find(head);
        // Which action it is, and whether that has a price, is told by others.
        let asks = profile != Profile::L1 || self.snapshot.has_prices();
        if !asks && matches!(presented, Ok(None)) {
            return Ok(None);
        }
        let (key, id, self_issued) = self.holder(credential, now)?;
        let agent = sha256(key);
        if asks {
            let covers_body = announces_body(head);
            *wanted = Some(Wanted { carrier, key_id: id.to_string(), agent, covers_body });
        }
        let Some(presented) = presented? else {
            if profile == Profile::L1 {
                return Ok(None);
            }
            return Err(Denial::new(Reason::ProofMissing, "the request is not signed by the agent"));
        };
        let key = PublicKey::from_bytes(key)
            .ok_or_else(|| Denial::new(Reason::ProofKeyMismatch, "the agent's key is no Ed25519 key"))?;
        let windows = ProofWindows { skew_ms: CLOCK_SKEW_MS, life_ms: self.snapshot.windows().proof_ms() };
        let proof = presented.verify(head, carrier.header(), &Holder { key: &key, id }, &windows, now)?;
        let mut until = proof.last_moment();
        if profile != Profile::L1 {
            self.check_made_since_start(&proof)?;
            if profile == Profile::L3 {
                until = self.process()?.check_challenge(proof.nonce(), self.snapshot.gate(), &agent, now)?;
            }
        }
        let once = Once { key: agent, token: sha256(proof.nonce().as_bytes()), until, self_issued };
        let body = proof.digest().map(BodyDigest::new);
        Ok(Some(Proven { proof, once, answers_challenge: profile == Profile::L3, body }))
    }

    /// The agent key of a credential, the agent's name, and whether anybody can make such
    /// credentials.
    fn holder<'c>(
        &'c self,
        credential: &'c Credential,
        now: UnixTime,
    ) -> Result<(&'c [u8; 32], &'c str, bool), Denial> {
        Ok(match credential {
            Credential::Passport(_, passport) => {
                (passport.public_key(), passport.agent_id(), passport.root().kind() == RootKind::SelfIssued)
            }
            Credential::Badge(badge) => (badge.key(), badge.subject(), badge.level() == Level::SelfSigned),
            Credential::SimpleGuard(id) => {
                let key = self.snapshot.trust().simpleguard_key_with(id, self.live, now)?;
                (key.as_bytes(), id.as_str(), false)
            }
        })
    }

    /// Whether a proof was made since the process began: whether an older one was used, nobody here
    /// knows.
    ///
    /// # Errors
    /// `proof_predates_gate`.
    pub(super) fn check_made_since_start(&self, proof: &Proof) -> Result<(), Denial> {
        if proof.created() < self.process()?.began() {
            let detail = format!("it was made at {}, and the gate began later", proof.created());
            return Err(Denial::new(Reason::ProofPredatesGate, detail));
        }
        Ok(())
    }

    /// The process; whoever gives none cannot tell what was used.
    fn process(&self) -> Result<&Process, Denial> {
        self.process.ok_or_else(|| Denial::new(Reason::HostFault, "nothing is known of the proxy's process"))
    }
}

/// Whether a request says that it has a body.
pub(super) fn announces_body(head: &RequestHead<'_>) -> bool {
    let values =
        ["content-digest", "content-length", "transfer-encoding"].map(|name| head.values(name).next());
    values.into_iter().flatten().any(|value| value != b"0")
}

impl Proven {
    pub(super) fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// `body_not_signed` for any where the proof covers none.
    pub(super) fn absorb(&mut self, chunk: &[u8]) -> Result<(), Denial> {
        match &mut self.body {
            Some(body) => body.update(chunk),
            None if chunk.is_empty() => {}
            None => {
                let detail = "the request has a body, and its proof covers no content-digest";
                return Err(Denial::new(Reason::BodyNotSigned, detail));
            }
        }
        Ok(())
    }

    /// Judges what could change while the body came, and the body.
    ///
    /// # Errors
    /// `proof_expired`, `challenge_expired` or `body_digest_mismatch`.
    pub(super) fn check(&self, now: UnixTime) -> Result<(), Denial> {
        self.proof.check_window(now)?;
        if self.answers_challenge && self.once.until < now {
            return Err(Denial::new(Reason::ChallengeExpired, "the body came too late for its challenge"));
        }
        match (self.proof.digest(), &self.body) {
            (Some(digest), Some(body)) => body.check(digest),
            _ => Ok(()),
        }
    }

    /// Uses the nonce, and answers what was used.
    ///
    /// # Errors
    /// `request_replayed`, `replay_memory_full` or `host_fault`.
    pub(super) fn spend(&self, now: UnixTime, replay: &mut dyn Memory) -> Result<Once, Denial> {
        match replay.insert(&self.once, now) {
            Ok(Novelty::New) => Ok(self.once),
            Ok(Novelty::Seen { first }) => {
                Err(Denial::new(Reason::RequestReplayed, format!("the nonce was used at {first}")))
            }
            Err(fault) => Err(fault.into()),
        }
    }
}
