//! Requests that a person has approved.

use crate::base64;
use crate::config::{ApprovalConfig, Spot};
use crate::live::read_hex;
use crate::time::UnixTime;
use crate::trust::{ID_FORM, is_id};
use alloc::string::String;
use alloc::vec::Vec;

/// An approval, good for one request.
#[derive(Clone, Debug)]
pub(crate) struct Approval {
    pub(crate) id: String,
    binding: [u8; 32],
    lane: [u8; 16],
    pub(crate) expires_at: UnixTime,
}

/// Checks what a control service has approved. A fault is a member that is malformed, and
/// more than 1,000 of them.
pub(crate) fn approvals(listed: &[ApprovalConfig], spot: &Spot<'_>) -> Vec<Approval> {
    // They live for minutes, and people make them.
    const MOST: usize = 1000;
    spot.check(listed.len() <= MOST, "", "must be at most 1000");
    let mut approvals = Vec::with_capacity(listed.len());
    for (index, config) in listed.iter().enumerate() {
        let spot = spot.element(index);
        spot.check(is_id(&config.id), "id", ID_FORM);
        let mut binding = [0; 32];
        let hex = read_hex(&config.binding, &mut binding);
        spot.check(hex.is_some(), "binding", "must be 64 lower-case hexadecimal digits");
        let lane = base64::decode_url(&config.lane).and_then(|lane| lane.try_into().ok());
        let lane = spot.known(lane, "lane", "must be the base64url of 16 bytes");
        let expires_at = UnixTime::from_iso(&config.expires_at);
        let problem = "must be a time as 2026-01-31T00:00:00.000Z";
        let expires_at = spot.known(expires_at, "expires_at", problem);
        if let (Some(lane), Some(expires_at)) = (lane, expires_at) {
            approvals.push(Approval { id: config.id.clone(), binding, lane, expires_at });
        }
    }
    approvals
}

impl Approval {
    /// Whether it is for what has this binding, asked by the process of this lane, and not over.
    pub(crate) fn is_for(&self, binding: &[u8; 32], lane: &[u8; 16], now: UnixTime) -> bool {
        self.binding == *binding && self.lane == *lane && now < self.expires_at
    }
}
