//! Whose SimpleGuard signatures are admitted.

use super::limits::{Ceiling, Key};
use super::{Tier, Trust};
use crate::config::{SimpleGuardAgent, Spot};
use crate::denial::Denial;
use crate::ed25519::PublicKey;
use crate::live::LiveView;
use crate::ordered::Named;
use crate::reason::Reason;
use crate::time::UnixTime;

/// In whose name SimpleGuard agents are told to upstreams and listed as disabled: the
/// gate's own trust store, as nobody else vouches for them.
pub const SIMPLEGUARD_ISSUER: &str = "simpleguard";

/// The agents of a trust store, by `kid`. A tree: the ten-thousandth costs a look-up of
/// fourteen steps.
#[derive(Debug)]
pub(super) struct Agents(Named<Agent>);

#[derive(Debug)]
struct Agent {
    key: Key,
    ceiling: Ceiling,
}

impl Trust {
    /// The key of an agent that signs with SimpleGuard, before anything is verified with
    /// it. Such agents are of tier 1, and their signatures cover no more than the body, so
    /// they serve profile L1 only.
    ///
    /// # Errors
    /// `simpleguard_key_untrusted`, `trust_tier_insufficient` or `agent_disabled`.
    pub fn simpleguard_key(&self, key_id: &str, now: UnixTime) -> Result<&PublicKey, Denial> {
        self.simpleguard_key_with(key_id, None, now)
    }

    /// The same, by live material too.
    pub(crate) fn simpleguard_key_with(
        &self,
        key_id: &str,
        live: Option<LiveView<'_>>,
        now: UnixTime,
    ) -> Result<&PublicKey, Denial> {
        let key = self.simpleguard.0.get(key_id).and_then(|agent| agent.key.at(now)).ok_or_else(|| {
            Denial::new(Reason::SimpleguardKeyUntrusted, "kid is no valid key of the gate's trust store")
        })?;
        if Tier::LOWEST < Tier::required_by(self.profile) {
            let detail = "a SimpleGuard signature does not cover the request, as the gate's profile asks";
            return Err(Denial::new(Reason::TrustTierInsufficient, detail));
        }
        if self.is_disabled(SIMPLEGUARD_ISSUER, key_id, live) {
            return Err(Denial::new(Reason::AgentDisabled, "the agent is disabled at this gate"));
        }
        Ok(key)
    }

    /// The tier of an agent that signs with SimpleGuard, if it may have `action`.
    ///
    /// # Errors
    /// `simpleguard_key_untrusted` or `issuer_ceiling_exceeded`.
    pub(crate) fn simpleguard_tier(&self, key_id: &str, action: &str) -> Result<Tier, Reason> {
        let agent = self.simpleguard.0.get(key_id).ok_or(Reason::SimpleguardKeyUntrusted)?;
        if agent.ceiling.contains(action) { Ok(Tier::LOWEST) } else { Err(Reason::IssuerCeilingExceeded) }
    }
}

impl Agents {
    pub(super) fn checked(listed: &[SimpleGuardAgent], spot: &Spot<'_>) -> Self {
        let mut agents = Named::new();
        for (index, SimpleGuardAgent { key: config, actions }) in listed.iter().enumerate() {
            let spot = spot.element(index);
            let key = Key::checked(config, &spot);
            let ceiling = Ceiling::checked(actions, &spot);
            if let Some(key) = key {
                spot.check(agents.insert(&config.key_id, Agent { key, ceiling }), "key_id", "stands twice");
            }
        }
        Agents(agents)
    }
}
