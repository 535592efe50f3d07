//! What a gate decides by, checked and indexed.

use crate::anonymous::Anonymous;
use crate::approval::{Approval, approvals};
use crate::catalog::MAX_VERSIONS;
use crate::config::{
    AttestPolicy, CatalogPricesConfig, Config, ConfigError, HostKind, Mode, PriceSince, Profile,
    ReservedHeaders, Spot, Windows, checked,
};
use crate::guardrails::{GateRules, Restrictions};
use crate::live::read_hex;
use crate::modei::CatalogPin;
use crate::ordered::{Named, Names};
use crate::receipt::Rate;
use crate::route::Routes;
use crate::trust::{ID_FORM, Trust, is_action, is_id};
use alloc::string::String;
use alloc::vec::Vec;

/// What one gate decides by. Immutable: a change is a new snapshot.
#[derive(Debug)]
pub struct Snapshot {
    gate: String,
    gate_name: Option<String>,
    profile: Profile,
    mode: Mode,
    reserved_headers: ReservedHeaders,
    authorities: Names,
    audiences: Vec<String>,
    max_body_bytes: u32,
    nonce_authority: bool,
    routes: Routes,
    trust: Trust,
    windows: Windows,
    guardrails: GateRules,
    anonymous: Option<Anonymous>,
    attest: AttestPolicy,
    approvals: Vec<Approval>,
    restrictions: Restrictions,
    keeps_spend: bool,
    catalog_hashes: Vec<String>,
    prices: Named<Vec<PriceSince>>,
}

impl Snapshot {
    /// Checks a configuration whole that stays as it is, and indexes it. No more than L1
    /// can be kept by it: how old such trust material is, nobody can say.
    ///
    /// # Errors
    /// As [`new`](Self::new), and for a profile above L1.
    pub fn of_static(config: &Config) -> Result<Self, ConfigError> {
        checked("", |spot| {
            let problem = "must be L1, as L2 and L3 ask for fresh trust material: let the gate take its \
                 configuration from a control service (`service`)";
            spot.check(config.profile == Profile::L1, "profile", problem);
            let records = config.attest.is_some_and(|attest| attest.policy != AttestPolicy::Off);
            spot.check(!records, "attest.policy", "must be off, as records need a control service");
            let problem = "are set by a control service alone";
            spot.check(config.approvals.is_empty(), "approvals", problem);
            spot.check(config.passport_constraints.is_empty(), "passport_constraints", problem);
            let problem = "is set by a control service alone: nobody else takes what is metered";
            spot.check(config.catalog_prices.0.is_empty(), "catalog_prices", problem);
            Self::checked(config, config.spend.is_some(), AttestPolicy::Off, spot)
        })
    }

    /// Checks a configuration whole and indexes it. At L2 and L3 a
    /// [`Verifier`](crate::Verifier) lets nothing pass by it unless it has live trust
    /// material beside it.
    ///
    /// # Errors
    /// The first [`ConfigError`]: what is doubled, malformed, contradictory or empty
    /// that must not be.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let attest = match config.profile {
            Profile::L1 => AttestPolicy::BestEffort,
            Profile::L2 | Profile::L3 => AttestPolicy::Required,
        };
        let attest = config.attest.map_or(attest, |attest| attest.policy);
        checked("", |spot| {
            spot.check(config.spend.is_none(), "spend", "is kept by the control service: leave it out");
            let problem = "is for each proxy to say, beside its `service`: leave it out";
            spot.check(config.host == HostKind::Envoy, "host", problem);
            let meters = attest != AttestPolicy::Off || config.catalog_prices.0.is_empty();
            let problem = "must not be off where the gate's catalog states prices: what is used is metered by \
                 records";
            spot.check(meters, "attest.policy", problem);
            Self::checked(config, true, attest, spot)
        })
    }

    #[inline(never)]
    fn checked(config: &Config, keeps_spend: bool, attest: AttestPolicy, spot: &Spot<'_>) -> Self {
        spot.check(is_id(&config.gate.id), "gate.id", ID_FORM);
        let authorities = authorities(&config.authorities, &spot.member("authorities"));
        let routes = Routes::checked(&config.routes, config.mode, &spot.member("routes"));
        let anonymous = config.anonymous.as_ref().filter(|policy| policy.enabled);
        let restrictions = spot.member("passport_constraints");
        let windows = config.windows.unwrap_or_default();
        Snapshot {
            guardrails: guardrails(config, &routes, keeps_spend, &spot.member("guardrails")),
            anonymous: anonymous.map(|policy| Anonymous::checked(policy, &routes, &spot.member("anonymous"))),
            approvals: approvals(&config.approvals, &spot.member("approvals")),
            restrictions: Restrictions::checked(&config.passport_constraints, &restrictions),
            attest,
            keeps_spend,
            catalog_hashes: catalog_hashes(&config.catalog_hashes, spot),
            prices: prices(&config.catalog_prices, spot),
            audiences: audiences(config.audiences.as_deref(), &authorities, &spot.member("audiences")),
            max_body_bytes: config.max_body_bytes,
            nonce_authority: config.nonce_authority,
            gate: config.gate.id.clone(),
            gate_name: config.gate.name.clone(),
            profile: config.profile,
            mode: config.mode,
            reserved_headers: config.reserved_headers,
            authorities,
            routes,
            trust: Trust::checked(&config.trust, config.profile, &spot.member("trust")),
            windows: Windows::checked(&windows, config.profile, &spot.member("windows")),
        }
    }

    /// The gate's id.
    pub fn gate(&self) -> &str {
        &self.gate
    }

    /// What people call the gate.
    pub fn gate_name(&self) -> Option<&str> {
        self.gate_name.as_deref()
    }

    /// How strictly the gate checks.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Whether the gate blocks, where no route says otherwise.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What becomes of reserved headers that a client sent.
    pub fn reserved_headers(&self) -> ReservedHeaders {
        self.reserved_headers
    }

    /// The names by which badges may call this gate.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// The longest body that is read where a signature covers it.
    pub fn max_body_bytes(&self) -> u32 {
        self.max_body_bytes
    }

    /// Whether the control service is asked about what may be used once.
    pub fn asks_nonce_authority(&self) -> bool {
        self.nonce_authority
    }

    /// What the gate asks of requests beyond who makes them.
    pub fn guardrails(&self) -> &GateRules {
        &self.guardrails
    }

    /// What may be asked without a credential.
    /// Whether anything may be asked without a credential that is not public.
    pub fn admits_anonymous(&self) -> bool {
        self.anonymous.is_some()
    }

    pub(crate) fn anonymous(&self) -> Option<&Anonymous> {
        self.anonymous.as_ref()
    }

    /// What becomes of requests whose decision cannot be recorded.
    pub fn attest(&self) -> AttestPolicy {
        self.attest
    }

    /// Whether somebody has approved a request, so that it matters which process asks.
    pub fn has_approvals(&self) -> bool {
        !self.approvals.is_empty()
    }

    pub(crate) fn approvals(&self) -> &[Approval] {
        &self.approvals
    }

    /// What is asked of passports beyond what was signed with them.
    pub(crate) fn restrictions(&self) -> &Restrictions {
        &self.restrictions
    }

    /// Whether there is somebody who keeps what was spent.
    pub(crate) fn keeps_spend(&self) -> bool {
        self.keeps_spend
    }

    /// Whether the gate has published the catalog that a passport is pinned to.
    pub(crate) fn has_published(&self, pin: &CatalogPin) -> bool {
        let index = usize::try_from(pin.version).ok().and_then(|version| version.checked_sub(1));
        index.and_then(|index| self.catalog_hashes.get(index)).is_some_and(|hash| *hash == pin.content_hash)
    }

    /// Whether any action has a price, or had one, so that it matters when the process began.
    pub fn has_prices(&self) -> bool {
        !self.prices.is_empty()
    }

    /// What an action costs by a version of the catalog.
    pub(crate) fn price_at(&self, action: &str, version: i64) -> Option<Rate> {
        let holds = |price: &&PriceSince| i64::try_from(price.since).is_ok_and(|since| since <= version);
        self.prices.get(action)?.iter().rev().find(holds)?.rate
    }

    /// Whether the newest catalog states a price for an action.
    pub(crate) fn states_price(&self, action: &str) -> bool {
        self.price_at(action, i64::MAX).is_some()
    }

    /// The routes.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Whom the gate trusts.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// How long things are good for.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// Whether `authority`, in lower case, is one of the gate's own.
    pub fn is_own_authority(&self, authority: &str) -> bool {
        self.authorities.contains(authority)
    }
}

fn guardrails(config: &Config, routes: &Routes, keeps_spend: bool, spot: &Spot<'_>) -> GateRules {
    let Some(written) = &config.guardrails else { return GateRules::default() };
    let rules = GateRules::checked(&written.0, spot);
    for (pattern, rules) in rules.iter() {
        // What no route leads to is a slip of the pen, and would guard nothing.
        let is_of_route = pattern == "*" || routes.actions().any(|action| GateRules::fits(pattern, action));
        spot.check(is_of_route, pattern, "is neither a guardrail nor an action that a route has");
        let problem = "caps what is spent: this needs a control service, or `spend`: `in_memory`";
        spot.check(keeps_spend || rules.caps().is_empty(), pattern, problem);
    }
    rules
}

fn authorities(listed: &[String], spot: &Spot<'_>) -> Names {
    spot.check(!listed.is_empty(), "", "must name at least one host that requests are for");
    distinct(listed, is_authority, "must be a host or host:port, in lower case", spot)
}

/// Names that are all of a form, and each there once.
#[inline(never)]
fn distinct(listed: &[String], is_good: fn(&str) -> bool, form: &str, spot: &Spot<'_>) -> Names {
    let mut names = Names::new();
    for (index, name) in listed.iter().enumerate() {
        let spot = spot.element(index);
        spot.check(is_good(name), "", form);
        spot.check(names.add(name), "", "stands twice");
    }
    names
}

pub(crate) fn is_authority(text: &str) -> bool {
    let is_plain = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || matches!(byte, b'-' | b'.' | b':' | b'[' | b']' | b'_')
    };
    !text.is_empty() && text.bytes().all(is_plain)
}

fn catalog_hashes(listed: &[String], spot: &Spot<'_>) -> Vec<String> {
    let is_hash = |hash: &String| read_hex(hash, &mut [0; 32]).is_some();
    let problem = "must be at most 1000 hashes of 64 lower-case hexadecimal digits";
    let are_hashes = listed.len() <= MAX_VERSIONS && listed.iter().all(is_hash);
    spot.check(are_hashes, "catalog_hashes", problem);
    listed.to_vec()
}

/// What a service can set within its longest configuration: 256 permissions of a catalog, each
/// replaced by others some forty times.
const MAX_PRICED_ACTIONS: usize = 10_000;

fn prices(listed: &CatalogPricesConfig, spot: &Spot<'_>) -> Named<Vec<PriceSince>> {
    spot.check(listed.0.len() <= MAX_PRICED_ACTIONS, "catalog_prices", "has more than 10000 actions");
    let rises = |pair: &[PriceSince]| matches!(pair, [before, after] if before.since < after.since);
    let is_good = |(action, prices): &(String, Vec<PriceSince>)| {
        is_action(action) && !prices.is_empty() && prices.windows(2).all(rises)
    };
    let problem = "must be actions, and of each its prices by rising versions";
    spot.check(listed.0.iter().all(is_good), "catalog_prices", problem);
    listed.0.iter().map(|(action, prices)| (action, prices.clone())).collect()
}

fn audiences(listed: Option<&[String]>, authorities: &Names, spot: &Spot<'_>) -> Vec<String> {
    let Some(listed) = listed else {
        return authorities.iter().map(|(authority, ())| ["https://", authority].concat()).collect();
    };
    distinct(listed, is_id, ID_FORM, spot);
    listed.to_vec()
}
