//! Judging passports as a gate does, with what the service knows.

use super::Passport;
use crate::constraints::strict;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::time::now;
use crate::{catalog, issuers};
use anyhow::{Context, anyhow};
use portcullis_core::guardrails::GateRules;
use portcullis_core::json::{self, Value, canonical_text};
use portcullis_core::modei::{self, SignedEnvelope};
use portcullis_core::{
    Denial, Mode, Profile, Reason, SelfIssuedConfig, Trust, TrustConfig, Windows, WindowsConfig, check_window,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::Row;

/// A passport as someone presents it, not yet verified.
#[derive(Debug)]
pub struct Presented {
    envelope: String,
    signed: SignedEnvelope,
}

impl Presented {
    /// Takes an envelope, as an object or as its text, and the signature over it. The
    /// text is kept as it came, so that it is judged as strictly as at a gate.
    ///
    /// # Errors
    /// 422 where the envelope is neither.
    pub fn new(passport_json: &RawValue, signature: &str) -> ApiResult<Self> {
        let raw = passport_json.get();
        let envelope = if raw.starts_with('"') {
            serde_json::from_str::<String>(raw)
                .map_err(|error| ApiError::invalid("passport_json", error.to_string()))?
        } else {
            raw.to_owned()
        };
        let signature = serde_json::Value::from(signature);
        let text = format!("{{\"passport_json\":{envelope},\"signature\":{signature}}}");
        Ok(Presented { envelope, signed: modei::from_json(text.into_bytes()) })
    }

    /// One that is stored.
    ///
    /// # Errors
    /// It is damaged.
    pub fn stored(passport: &Passport) -> ApiResult<Self> {
        let envelope = RawValue::from_string(passport.passport_json.clone())
            .context("a stored passport is unreadable")?;
        Presented::new(&envelope, &passport.signature)
    }

    /// The envelope's canonical text; `None` where it is not strict JSON.
    pub fn canonical(&self) -> Option<String> {
        json::parse(self.envelope.as_bytes(), modei::LIMITS).ok().map(|value| canonical_text(&value))
    }

    /// The passport's id, as it claims it.
    pub fn claimed_id(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Claimed {
            passport_id: String,
        }
        serde_json::from_str::<Claimed>(&self.envelope).ok().map(|claimed| claimed.passport_id)
    }

    /// The issuer at its root, as it claims it: to look its keys up, and for nothing else.
    pub fn claimed_issuer(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Envelope {
            provenance: Provenance,
        }
        #[derive(Deserialize)]
        struct Provenance {
            issuer: Issuer,
            delegation_chain: Option<Vec<Link>>,
        }
        #[derive(Deserialize)]
        struct Link {
            passport_json: Envelope,
        }
        #[derive(Deserialize)]
        struct Issuer {
            id: String,
        }
        let envelope: Envelope = serde_json::from_str(&self.envelope).ok()?;
        let root = envelope.provenance.delegation_chain.and_then(|chain| chain.into_iter().next());
        Some(root.map_or(envelope.provenance.issuer.id, |link| link.passport_json.provenance.issuer.id))
    }

    /// The key that its signature is by, of a passport that was verified.
    ///
    /// # Errors
    /// It was not.
    pub fn signed_by(&self, verified: &modei::Passport) -> ApiResult<String> {
        if verified.depth() == 0 {
            return Ok(portcullis_core::base64::encode(verified.root().key()));
        }
        let envelope = json::parse(self.envelope.as_bytes(), modei::LIMITS).ok();
        let key = envelope.as_ref().and_then(|envelope| {
            let chain = member(envelope, &["provenance", "delegation_chain"])?.as_array()?;
            member(chain.last()?, &["passport_json", "identity", "public_key"])?.as_str()
        });
        Ok(key.context("a verified passport has no chain")?.to_owned())
    }
}

fn member<'v>(value: &'v Value<'v>, path: &[&str]) -> Option<&'v Value<'v>> {
    path.iter().try_fold(value, |value, name| value.as_object()?.get(name))
}

/// One step of a decision.
#[derive(Clone, Debug)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it held; `None` where it can be judged at the gate alone.
    pub holds: Option<bool>,
    /// What was found.
    pub detail: Option<String>,
}

/// What came of it: the steps in their order, up to the first that failed.
#[derive(Debug, Default)]
pub struct Decision {
    /// The steps.
    pub checks: Vec<Check>,
    /// Why it is refused.
    pub denial: Option<Denial>,
    /// The passport, once its signatures are right.
    pub passport: Option<modei::Passport>,
    /// Its issuer's tier, once it is admitted.
    pub tier: Option<u8>,
}

/// Whom all passports are judged by that no gate is asked about: issuers of this service
/// with their keys, and agents' own word.
///
/// # Errors
/// No database.
pub async fn service_trust(tx: &mut Tx, presented: &Presented) -> ApiResult<Trust> {
    let mut config = TrustConfig {
        self_issued: Some(SelfIssuedConfig { actions: vec!["*".to_owned()] }),
        ..TrustConfig::default()
    };
    if let Some(issuer) = presented.claimed_issuer() {
        config.issuers.extend(issuers::issuer_config(tx, &issuer).await?);
    }
    Ok(Trust::new(&config, Profile::L1).context("the issuers cannot be used")?)
}

/// What a gate judges passports by.
#[derive(Debug)]
pub struct GateTrust {
    /// The gate's id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whether it blocks what it refuses.
    pub mode: Mode,
    /// What it asks of requests beyond who makes them.
    pub guardrails: GateRules,
    trust: Trust,
    profile: Profile,
    windows: Windows,
}

/// Whom a gate trusts: what its operator configured, its own word, and the managed issuer
/// that the passport names.
///
/// # Errors
/// 404 for no gate.
pub async fn gate_trust(tx: &mut Tx, gate_id: &str, presented: &Presented) -> ApiResult<GateTrust> {
    let row = sqlx::query(
        "SELECT name, profile, allow_self_issued, config FROM gates WHERE gate_id = $1 AND deleted_at IS NULL",
    )
    .bind(gate_id)
    .fetch_optional(&mut **tx)
    .await?
    .ok_or_else(|| ApiError::not_found("gate", gate_id))?;
    let profile = profile(&row.try_get::<String, _>("profile")?).context("a gate's profile is unreadable")?;
    let configured: serde_json::Value =
        serde_json::from_str(row.try_get::<Option<String>, _>("config")?.as_deref().unwrap_or("{}"))
            .context("a gate's configuration is unreadable")?;
    let trust = configured.get("trust").map_or_else(|| "{}".to_owned(), serde_json::Value::to_string);
    let mut config = TrustConfig::from_json(trust.as_bytes()).context("a gate's trust is unreadable")?;
    if row.try_get::<i64, _>("allow_self_issued")? == 0 {
        config.self_issued = None;
    } else if config.self_issued.is_none() {
        // Whoever turns it on through the Modei client has no way to say more.
        config.self_issued = Some(SelfIssuedConfig { actions: vec!["*".to_owned()] });
    }
    let mut known = vec![gate_id.to_owned()];
    known.extend(presented.claimed_issuer().filter(|issuer| issuer.starts_with(issuers::ISSUER_PREFIX)));
    for issuer in known {
        if !config.issuers.iter().any(|listed| listed.id == issuer) {
            config.issuers.extend(issuers::issuer_config(tx, &issuer).await?);
        }
    }
    let windows: WindowsConfig = configured
        .get("windows")
        .map_or(Ok(WindowsConfig::default()), WindowsConfig::deserialize)
        .context("a gate's windows are unreadable")?;
    let guardrails = match configured.get("guardrails") {
        None => GateRules::default(),
        Some(written) => GateRules::read(&strict("guardrails", written)?)
            .map_err(|fault| anyhow!("a gate's guardrails cannot be used: {fault:?}"))?,
    };
    Ok(GateTrust {
        id: gate_id.to_owned(),
        name: row.try_get("name")?,
        mode: match configured.get("mode").and_then(serde_json::Value::as_str) {
            Some("report") => Mode::Report,
            _ => Mode::Enforce,
        },
        guardrails,
        trust: Trust::new(&config, profile).context("a gate's trust cannot be used")?,
        profile,
        windows: Windows::new(&windows, profile).context("a gate's windows cannot be used")?,
    })
}

/// The profile of this name.
pub fn profile(name: &str) -> Option<Profile> {
    match name {
        "L1" => Some(Profile::L1),
        "L2" => Some(Profile::L2),
        "L3" => Some(Profile::L3),
        _ => None,
    }
}

/// Whether a passport is good now: its shape, chain, issuer and signatures, its window,
/// and that neither it nor one that it was delegated from is revoked.
///
/// # Errors
/// No database. A refusal is a decision.
pub async fn judge(tx: &mut Tx, trust: &Trust, presented: &Presented) -> ApiResult<Decision> {
    let mut decision = Decision::default();
    let passport = match modei::verify(&presented.signed, &trust.roots_at(now())) {
        Ok(passport) => passport,
        Err(denial) => {
            let name = match denial.reason {
                Reason::IssuerDomainUnverified
                | Reason::SelfIssuedNotAllowed
                | Reason::SignatureKeyUnavailable
                | Reason::TrustTierInsufficient => "issuer",
                Reason::PublicKeyMalformed | Reason::SignatureInvalid | Reason::SignatureMalformed => {
                    "signature"
                }
                _ => "envelope",
            };
            decision.refuse(name, denial);
            return Ok(decision);
        }
    };
    decision.pass("envelope");
    decision.pass("issuer");
    decision.pass("signature");
    decision.tier = trust.tier(passport.root()).map(portcullis_core::Tier::number);
    if let Err(denial) = check_window(&passport, now()) {
        decision.refuse("validity", denial);
    } else {
        decision.pass("validity");
        match revocation(tx, trust, &passport).await? {
            Some(denial) => decision.refuse("revocation", denial),
            None => decision.pass("revocation"),
        }
    }
    decision.passport = Some(passport);
    Ok(decision)
}

/// Whether a passport grants its holder `action` at a gate of this trust, on terms that were agreed
/// where that has a price, whatever guardrails say.
///
/// # Errors
/// No database. A refusal is a decision.
pub async fn decide(
    tx: &mut Tx,
    GateTrust { id, trust, windows, .. }: &GateTrust,
    presented: &Presented,
    action: &str,
) -> ApiResult<Decision> {
    let mut decision = judge(tx, trust, presented).await?;
    let Some(passport) = decision.passport.take().filter(|_| decision.denial.is_none()) else {
        return Ok(decision);
    };
    let pin = passport.catalog_pin_by(id);
    if let Some(pin) = pin {
        if !is_published(tx, id, pin).await? {
            let detail = "the gate has not published the catalog that the passport is pinned to";
            decision.refuse("catalog_pin", Denial::new(Reason::CatalogPinMismatch, detail));
            decision.passport = Some(passport);
            return Ok(decision);
        }
        decision.pass("catalog_pin");
    }
    let life = passport.hops().try_for_each(|hop| windows.check_life(hop.issued_at(), hop.expires_at()));
    if let Err(denial) = life {
        decision.refuse("lifetime", denial);
        decision.passport = Some(passport);
        return Ok(decision);
    }
    let granted = passport.permissions().get(action);
    match granted {
        None => {
            let detail = format!("the passport does not grant {action:.256}");
            decision.refuse("permission", Denial::new(Reason::PermissionDenied, detail));
        }
        Some(_) => {
            decision.pass("permission");
            if let Err(reason) = trust.check_ceiling(passport.root(), action) {
                let detail = format!("the issuer may not grant {action:.256} here");
                decision.refuse("ceiling", Denial::new(reason, detail));
            } else {
                decision.pass("ceiling");
                if pin.is_none() && states_price(tx, id, action).await? {
                    let detail = format!("{action:.256} has a price, and the passport has agreed to none");
                    decision.refuse("catalog_pin", Denial::new(Reason::CatalogPinMissing, detail));
                }
            }
        }
    }
    decision.passport = Some(passport);
    Ok(decision)
}

impl GateTrust {
    /// What the gate itself judges besides: a proof, where it asks for one with each request.
    pub fn proof(&self) -> Option<Check> {
        let detail = "the gate asks for a proof with each request; here is no request".to_owned();
        (self.profile != Profile::L1).then_some(Check {
            name: "request_proof",
            holds: None,
            detail: Some(detail),
        })
    }
}

async fn is_published(tx: &mut Tx, gate_id: &str, pin: &modei::CatalogPin) -> ApiResult<bool> {
    let published = catalog::find(tx, gate_id, pin.version).await?;
    Ok(published.is_some_and(|published| published.content_hash == pin.content_hash))
}

/// Whether the newest catalog states a price for an action, in force or not: as gates are told it.
async fn states_price(tx: &mut Tx, gate_id: &str, action: &str) -> ApiResult<bool> {
    let Some(newest) = catalog::latest(tx, gate_id).await? else { return Ok(false) };
    let offered = newest.permissions()?;
    Ok(offered.iter().any(|one| one.key == action && one.terms.price.is_some()))
}

async fn revocation(tx: &mut Tx, trust: &Trust, passport: &modei::Passport) -> ApiResult<Option<Denial>> {
    let refused = |reason| {
        Some(Denial::new(reason, "the passport or one that it was delegated from, or the agent that held it"))
    };
    if let Err(reason) = trust.check_revocation(passport) {
        return Ok(refused(reason));
    }
    let issuer = passport.root().issuer();
    // Six hops at most: a leaf, and a chain of five.
    for hop in passport.hops() {
        let listed =
            [("p", hop.passport_id(), Reason::PassportRevoked), ("a", hop.agent_id(), Reason::AgentDisabled)];
        for (kind, id, reason) in listed {
            let found =
                sqlx::query("SELECT 1 AS one FROM revocations WHERE kind = $1 AND issuer = $2 AND id = $3")
                    .bind(kind)
                    .bind(issuer)
                    .bind(id)
                    .fetch_optional(&mut **tx)
                    .await?;
            if found.is_some() {
                return Ok(refused(reason));
            }
        }
    }
    Ok(None)
}

impl Decision {
    fn pass(&mut self, name: &'static str) {
        self.checks.push(Check { name, holds: Some(true), detail: None });
    }

    fn refuse(&mut self, name: &'static str, denial: Denial) {
        self.checks.push(Check { name, holds: Some(false), detail: Some(denial.detail.to_string()) });
        self.denial = Some(denial);
    }
}
