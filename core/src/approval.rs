//! Requests that a person has approved.

use crate::base64;
use crate::config::{ApprovalConfig, ConfigError};
use crate::live::read_hex;
use crate::time::UnixTime;
use crate::trust::{ID_FORM, is_id};
use alloc::format;
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

/// Checks what a control service has approved.
///
/// # Errors
/// For a member that is malformed, and for more than 1,000 of them.
pub(crate) fn approvals(listed: &[ApprovalConfig]) -> Result<Vec<Approval>, ConfigError> {
    // They live for minutes, and people make them.
    const MOST: usize = 1000;
    if listed.len() > MOST {
        return Err(ConfigError::new("approvals", "must be at most 1000"));
    }
    let mut approvals = Vec::with_capacity(listed.len());
    for (index, config) in listed.iter().enumerate() {
        let wrong =
            |member: &str, problem| Err(ConfigError::new(format!("approvals[{index}].{member}"), problem));
        if !is_id(&config.id) {
            return wrong("id", ID_FORM);
        }
        let mut binding = [0; 32];
        if read_hex(&config.binding, &mut binding).is_none() {
            return wrong("binding", "must be 64 lower-case hexadecimal digits");
        }
        let Some(lane) = base64::decode_url(&config.lane).and_then(|lane| lane.try_into().ok()) else {
            return wrong("lane", "must be the base64url of 16 bytes");
        };
        let Some(expires_at) = UnixTime::from_iso(&config.expires_at) else {
            return wrong("expires_at", "must be a time as 2026-01-31T00:00:00.000Z");
        };
        approvals.push(Approval { id: config.id.clone(), binding, lane, expires_at });
    }
    Ok(approvals)
}

impl Approval {
    /// Whether it is for what has this binding, asked by the process of this lane, and not over.
    pub(crate) fn is_for(&self, binding: &[u8; 32], lane: &[u8; 16], now: UnixTime) -> bool {
        self.binding == *binding && self.lane == *lane && now < self.expires_at
    }
}
