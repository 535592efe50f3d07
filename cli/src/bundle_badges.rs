//! What `portcullis bundle` puts together for Trust Badges.

use crate::bundle::read_listed;
use crate::files;
use anyhow::{Context, Result, anyhow, bail};
use portcullis_core::capiscio::{DidDocument, Jwks};
use portcullis_core::{
    AcceptSelfSigned, DidDocumentConfig, KeyConfig, RevokedBadge, TrustConfig, UnixTime, base64,
};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Whose badges are admitted, and which are not.
#[derive(clap::Args)]
pub(crate) struct BadgeArgs {
    /// An issuer of Trust Badges to trust, as
    /// `{"id": "https://registry.example", "tier": 2, "actions": ["flights:*"],
    /// "jwks_file": "jwks.json"}`, or with keys as an issuer's; repeatable
    #[arg(long = "badge-issuer", value_name = "FILE")]
    pub(crate) badge_issuers: Vec<PathBuf>,
    /// Admit anyone's self-signed badges (level 0), for these actions; for development
    #[arg(long, value_name = "ACTION,…", value_delimiter = ',')]
    pub(crate) accept_self_signed: Vec<String>,
    /// An agent's DID document, to which badges of IAL 1 are compared; repeatable
    #[arg(long = "did-document", value_name = "FILE")]
    did_documents: Vec<PathBuf>,
    /// Refuse a badge; repeatable
    #[arg(long = "revoke-badge", value_name = "ISSUER/JTI", value_parser = revoked)]
    pub(crate) revoked_badges: Vec<RevokedBadge>,
    /// An issuer's revoked badges and the time of that, as CapiscIO's command line keeps
    /// them in revocations.json; repeatable
    #[arg(long = "badge-revocations", value_name = "ISSUER=FILE", value_parser = revocations)]
    revocations: Vec<(String, PathBuf)>,
}

impl BadgeArgs {
    /// Adds what was asked for.
    pub(crate) fn add_to(&self, material: &mut TrustConfig) -> Result<()> {
        for path in &self.badge_issuers {
            let read = read_listed(path, "badge_issuers")?.badge_issuers;
            material.badge_issuers.extend(read);
        }
        if !self.accept_self_signed.is_empty() {
            let actions = self.accept_self_signed.clone();
            material.accept_self_signed = Some(AcceptSelfSigned { actions, compatibility: Vec::new() });
        }
        for path in &self.did_documents {
            material.did_documents.push(read_document(path)?);
        }
        for entry in &self.revoked_badges {
            let is_issuer = material.badge_issuers.iter().any(|issuer| issuer.id == entry.issuer);
            if !is_issuer && !entry.issuer.starts_with("did:key:") {
                bail!(
                    "--revoke-badge {}/{}: there is no --badge-issuer of that name, so it would revoke nothing",
                    entry.issuer,
                    entry.jti
                );
            }
            material.revoked_badges.push(entry.clone());
        }
        for (issuer, path) in &self.revocations {
            add_revocations(material, issuer, path)?;
        }
        Ok(())
    }
}

/// CapiscIO's `revocations.json`.
#[derive(Deserialize)]
struct Revocations {
    #[serde(rename = "syncedAt")]
    synced_at: String,
    /// Null where there are none.
    #[serde(default)]
    revocations: Option<Vec<Revocation>>,
}

#[derive(Deserialize)]
struct Revocation {
    jti: String,
}

fn add_revocations(material: &mut TrustConfig, issuer: &str, path: &Path) -> Result<()> {
    // A hundred thousand entries of some 150 bytes.
    const MAX_BYTES: usize = 16 * 1024 * 1024;
    let bytes = files::read(path, MAX_BYTES)?.bytes;
    let read: Revocations = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is no revocations.json", path.display()))?;
    let entry = material.badge_issuers.iter_mut().find(|entry| entry.id == issuer);
    let entry = entry.with_context(|| format!("--badge-revocations: {issuer} is no --badge-issuer"))?;
    if entry.revocations_synced_at.is_some() {
        bail!("{issuer} has revocations_synced_at in its own file too; keep one");
    }
    let synced_at =
        utc(&read.synced_at).with_context(|| format!("{}: syncedAt: is no RFC 3339 time", path.display()))?;
    entry.revocations_synced_at = Some(synced_at.to_iso());
    let revoked = read.revocations.into_iter().flatten();
    material
        .revoked_badges
        .extend(revoked.map(|entry| RevokedBadge { issuer: issuer.into(), jti: entry.jti }));
    Ok(())
}

fn read_document(path: &Path) -> Result<DidDocumentConfig> {
    let document = DidDocument::read(&files::read(path, MAX_DOCUMENT)?.bytes)
        .map_err(|problem| anyhow!("{problem}"))
        .with_context(|| format!("{} is no DID document", path.display()))?;
    Ok(DidDocumentConfig { id: document.id, keys: keys(&document.keys) })
}

/// The keys of a JWK set, as a configuration writes them.
pub(crate) fn read_jwks(path: &Path) -> Result<Vec<KeyConfig>> {
    let set = Jwks::read(&files::read(path, MAX_DOCUMENT)?.bytes)
        .map_err(|problem| anyhow!("{problem}"))
        .with_context(|| format!("{} is no JWK set", path.display()))?;
    Ok(keys(&set.keys))
}

fn keys(keys: &[(String, [u8; 32])]) -> Vec<KeyConfig> {
    let key = |(key_id, key): &(String, [u8; 32])| KeyConfig {
        key_id: key_id.clone(),
        public_key: base64::encode(key),
        not_before: None,
        not_after: None,
    };
    keys.iter().map(key).collect()
}

/// A time in any offset and precision, as other programs write it, in UTC and cut to the
/// millisecond.
fn utc(text: &str) -> Option<UnixTime> {
    let (local, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(local) => (local, 0),
        None => {
            let (local, offset) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let minutes = hours.parse::<i64>().ok()?.checked_mul(60)?.checked_add(minutes.parse().ok()?)?;
            match offset.get(..1)? {
                "+" => (local, minutes),
                "-" => (local, minutes.checked_neg()?),
                _ => return None,
            }
        }
    };
    let (seconds, fraction) = local.split_once('.').unwrap_or((local, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction = fraction.get(..3).unwrap_or(fraction);
    let time = UnixTime::from_rfc3339(&format!("{seconds}.{fraction}Z"))?;
    Some(time.plus_millis(offset.checked_mul(-60_000)?))
}

fn revoked(text: &str) -> Result<RevokedBadge, String> {
    let split = text.rsplit_once('/').filter(|(issuer, jti)| !issuer.is_empty() && !jti.is_empty());
    let (issuer, jti) = split.ok_or("expected is the issuer, a slash, and the badge's jti")?;
    Ok(RevokedBadge { issuer: issuer.into(), jti: jti.into() })
}

fn revocations(text: &str) -> Result<(String, PathBuf), String> {
    let (issuer, file) = text.split_once('=').ok_or("expected is the issuer, `=`, and a file")?;
    Ok((issuer.into(), file.into()))
}

/// What the core reads of either.
const MAX_DOCUMENT: usize = 64 * 1024;
