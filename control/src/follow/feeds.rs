//! What registries answer about revoked badges and about agents (RFC-002 section 7).

use serde::Deserialize;

/// A page of `/v1/revocations`.
#[derive(Debug)]
pub(super) struct RevocationPage {
    /// The ids of the badges, in lower case.
    pub jtis: Vec<String>,
    /// Where to go on; `None` at the end.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    revocations: Vec<Entry>,
    #[serde(rename = "nextCursor")]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    jti: String,
    #[serde(alias = "iss")]
    issuer: Option<String>,
}

/// The longest cursor that is taken: it is kept, and goes into a URL.
const MAX_CURSOR: usize = 1024;

impl RevocationPage {
    /// Reads a page of the registry at `origin`. One bad entry spoils it: what is not
    /// understood may be the revocation that matters.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(body: &[u8], origin: &str, limit: usize) -> Result<Self, String> {
        let page: Page =
            serde_json::from_slice(body).map_err(|error| format!("is no page of revocations: {error}"))?;
        if page.revocations.len() > limit {
            return Err(format!("has more than the {limit} entries that were asked for"));
        }
        let next = page.next_cursor.filter(|cursor| !cursor.is_empty());
        if next.as_ref().is_some_and(|cursor| cursor.len() > MAX_CURSOR) {
            return Err(format!("nextCursor is longer than {MAX_CURSOR} bytes"));
        }
        let mut jtis = Vec::with_capacity(page.revocations.len());
        for entry in page.revocations {
            if entry.issuer.is_some_and(|issuer| issuer != origin) {
                return Err("has the revocation of another issuer's badge".to_owned());
            }
            let is_badge_id = entry.jti.len() == 36
                && uuid::Uuid::try_parse(&entry.jti).is_ok_and(|id| id.get_version_num() == 4);
            if !is_badge_id {
                return Err("has a jti that is no UUID of version 4".to_owned());
            }
            jtis.push(entry.jti.to_ascii_lowercase());
        }
        Ok(RevocationPage { jtis, next })
    }
}

/// An answer of `/v1/agents/{did}/status`.
#[derive(Debug, Deserialize)]
struct Status {
    did: Option<String>,
    id: Option<String>,
    status: String,
}

/// The status that a registry says its agent has, which is at most 100 characters.
///
/// # Errors
/// The answer is none, or about another agent.
pub(super) fn read_status(body: &[u8], did: &str) -> Result<String, String> {
    let answer: Status =
        serde_json::from_slice(body).map_err(|error| format!("is no agent's status: {error}"))?;
    // Real registries answer with the DID, or with an id of their own that is none.
    let others_id = answer.id.filter(|id| id.starts_with("did:"));
    if answer.did.or(others_id).is_some_and(|named| named != did) {
        return Err("is about another agent".to_owned());
    }
    if answer.status.is_empty() || answer.status.chars().count() > 100 {
        return Err("has a status that is none".to_owned());
    }
    Ok(answer.status)
}

/// Whether an agent of this status may act. `active` is the RFC's word, `enabled` one that
/// registries' documents have.
pub(super) fn is_good(status: &str) -> bool {
    matches!(status, "active" | "enabled")
}
