//! What a gate is answered: a head, and what the gate lacks of what it names.

use super::state::State;
use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::trust::changes::fingerprint;
use anyhow::Context;
use axum::http::StatusCode;
use portcullis_core::live::{Head, MAX_FINGERPRINTS, RevocationDelta, RevocationPage, TrustResponse};
use std::sync::Arc;

/// What a gate has, and the random that it wants to see again.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The number of its snapshot; 0 for none.
    pub snapshot: u64,
    /// The number of its revocations; 0 for none.
    pub revocations: u64,
    /// base64url of 16 bytes.
    pub random: String,
}

impl Asked {
    /// Whether there is something that the gate has not.
    pub fn is_behind(&self, gate: &str, state: &State) -> bool {
        let snapshot = state.gates.get(gate).map_or(0, |gate| gate.number.cast_unsigned());
        snapshot != self.snapshot || state.revocations.number != self.revocations
    }
}

/// The answer to a gate, by the newest state.
///
/// # Errors
/// 404 for no gate, 409 for one that is not configured yet.
pub async fn answer(app: &App, gate: &str, asked: &Asked) -> ApiResult<TrustResponse> {
    let mut state = app.trust.state();
    if !state.gates.get(gate).is_some_and(|known| known.is_configured) {
        // It may have been made a moment ago.
        app.trust.look(&app.db, &app.vault).await?;
        state = app.trust.state();
    }
    let known = state.gates.get(gate).ok_or_else(|| ApiError::not_found("gate", gate))?;
    let signer = state.signer().context("there is no key for trust material")?;
    let snapshot = match known.is_configured {
        true => app.trust.snapshots.of(app, gate, known.number, signer).await?,
        false => None,
    };
    let snapshot = snapshot.ok_or_else(|| {
        let message = format!("the gate {gate} has no configuration yet: PUT /api/v1/gates/{gate}/config");
        ApiError::new(StatusCode::CONFLICT, "not_configured", message)
    })?;
    let revocations = state.revocations;
    let head = Head {
        gate: gate.to_owned(),
        time: state.read_at,
        number: snapshot.number.max(revocations.number),
        snapshot_number: snapshot.number,
        snapshot_sha256: snapshot.signed.sha256,
        revocations,
        followed: Vec::clone(&state.followed),
        echo: asked.random.clone(),
    };
    let mut answer = TrustResponse {
        head: head.sign(&signer.key, &signer.key_id),
        snapshot: (snapshot.number != asked.snapshot).then(|| snapshot.signed.token.clone()),
        delta: None,
        reload: false,
    };
    if revocations.number != asked.revocations {
        // What has nothing yet needs a page at least, for the fingerprints' key.
        let changes = (asked.revocations > 0)
            .then(|| state.changes_since(asked.revocations.cast_signed()))
            .flatten()
            .filter(|_| asked.revocations < revocations.number);
        match changes {
            Some(changes) => {
                let delta = RevocationDelta {
                    gate: gate.to_owned(),
                    since: asked.revocations,
                    number: revocations.number,
                    key: app.trust.fingerprint_key(),
                    added: changes.added,
                    removed: changes.removed,
                };
                answer.delta = Some(delta.sign(&signer.key, &signer.key_id));
            }
            None => answer.reload = true,
        }
    }
    Ok(answer)
}

/// A page of all that is revoked, beginning at `from`.
///
/// # Errors
/// No database.
pub async fn page(app: &App, gate: &str, from: u64) -> ApiResult<String> {
    let mut tx = app.db.read().await?;
    let (number,): (i64,) =
        sqlx::query_as("SELECT revocations_number FROM trust_clock WHERE id = 1").fetch_one(&mut *tx).await?;
    let limit = i64::try_from(MAX_FINGERPRINTS).unwrap_or(i64::MAX).saturating_add(1);
    let rows: Vec<(i64,)> = sqlx::query_as(
        "SELECT DISTINCT fingerprint FROM revocations WHERE fingerprint >= $1 ORDER BY fingerprint LIMIT $2",
    )
    .bind(super::changes::ordered(from))
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    drop(tx);
    let mut fingerprints: Vec<u64> = rows.into_iter().map(|(one,)| fingerprint(one)).collect();
    // One more than fits was asked for, to know where the next page begins.
    let next = fingerprints.get(MAX_FINGERPRINTS).copied();
    fingerprints.truncate(MAX_FINGERPRINTS);
    let state: Arc<State> = app.trust.state();
    let signer = state.signer().context("there is no key for trust material")?;
    let page = RevocationPage {
        gate: gate.to_owned(),
        number: number.cast_unsigned(),
        key: app.trust.fingerprint_key(),
        from,
        to: next.map_or(u64::MAX, |next| next.saturating_sub(1)),
        fingerprints,
    };
    Ok(page.sign(&signer.key, &signer.key_id))
}
