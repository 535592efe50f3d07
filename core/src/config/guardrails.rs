//! What guardrails, and what comes with them, are configured with.

use super::read::Place;
use crate::json::{Object, Value};
use alloc::string::String;
use alloc::vec::Vec;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// `guardrails`: a gate's own, as they were written.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardrailsConfig(pub Object<'static>);

/// `anonymous`: what may be asked without a credential.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct AnonymousConfig {
    /// Whether anything may be. Left out: false.
    pub enabled: bool,
    /// The actions, each one that a route has. Left out: none.
    pub allowed_actions: Vec<String>,
    /// Actions that may not be asked, whatever is allowed.
    pub blocked_actions: Vec<String>,
    /// How often from one address. Left out: 5 and 50.
    pub rate_limit_per_minute: u32,
    /// The same within an hour.
    pub rate_limit_per_hour: u32,
    /// Whether only what reads may be asked. Left out: true.
    pub read_only: bool,
    /// What a refusal says of how to get a credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade_message: Option<String>,
    /// And where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade_url: Option<String>,
}

/// `attest`: what becomes of requests whose decision cannot be recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
pub struct AttestConfig {
    /// The policy.
    pub policy: AttestPolicy,
}

/// `attest.policy`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttestPolicy {
    /// A request passes once the control service has taken the record.
    BeforeAllow,
    /// What cannot be recorded is counted.
    BestEffort,
    /// Nothing is recorded: for gates without a control service.
    Off,
    /// What cannot be recorded is refused.
    Required,
}

/// One entry of `approvals`, which the control service alone sets.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct ApprovalConfig {
    /// The request for approval, `appr_…`.
    pub id: String,
    /// What was approved: the request's binding, 64 lower-case hexadecimal digits.
    pub binding: String,
    /// The lane of the process that asked: base64url of 16 bytes.
    pub lane: String,
    /// Until when it may be used: `YYYY-MM-DDTHH:MM:SS.mmmZ`.
    pub expires_at: String,
}

/// One entry of `passport_constraints`, which the control service alone sets.
#[derive(Clone, Debug, PartialEq)]
pub struct PassportConstraintsConfig {
    /// The issuer at the root of the passport.
    pub issuer: String,
    /// The passport's id.
    pub passport_id: String,
    /// What is asked besides, of all its permissions or under the name of one, in any of the
    /// three vocabularies.
    pub constraints: Object<'static>,
}

/// `spend`: where it is kept what was spent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SpendConfig {
    /// In the proxy's memory, until it is restarted: for gates without a control service.
    InMemory,
}

pub(super) fn guardrails(place: Place<'_>) -> GuardrailsConfig {
    GuardrailsConfig(place.object().cloned().unwrap_or_default().into_owned())
}

pub(super) fn anonymous(place: Place<'_>) -> AnonymousConfig {
    let members = place.members(&[
        "allowed_actions",
        "blocked_actions",
        "enabled",
        "rate_limit_per_hour",
        "rate_limit_per_minute",
        "read_only",
        "upgrade_message",
        "upgrade_url",
    ]);
    let actions = |name| members.optional(name).map(Place::texts).unwrap_or_default();
    AnonymousConfig {
        enabled: members.flag("enabled").unwrap_or_default(),
        allowed_actions: actions("allowed_actions"),
        blocked_actions: actions("blocked_actions"),
        rate_limit_per_minute: members.number("rate_limit_per_minute").unwrap_or(5),
        rate_limit_per_hour: members.number("rate_limit_per_hour").unwrap_or(50),
        read_only: members.flag("read_only").unwrap_or(true),
        upgrade_message: members.text("upgrade_message"),
        upgrade_url: members.text("upgrade_url"),
    }
}

pub(super) fn attest(place: Place<'_>) -> AttestConfig {
    let policy = place.members(&["policy"]).required("policy").one_of(&[
        ("before_allow", AttestPolicy::BeforeAllow),
        ("best_effort", AttestPolicy::BestEffort),
        ("off", AttestPolicy::Off),
        ("required", AttestPolicy::Required),
    ]);
    AttestConfig { policy: policy.unwrap_or(AttestPolicy::Required) }
}

pub(super) fn approval(place: Place<'_>) -> ApprovalConfig {
    let members = place.members(&["binding", "expires_at", "id", "lane"]);
    let text = |name| members.required(name).text();
    ApprovalConfig {
        id: text("id"),
        binding: text("binding"),
        lane: text("lane"),
        expires_at: text("expires_at"),
    }
}

pub(super) fn passport_constraints(place: Place<'_>) -> PassportConstraintsConfig {
    let members = place.members(&["constraints", "issuer", "passport_id"]);
    let text = |name| members.required(name).text();
    PassportConstraintsConfig {
        issuer: text("issuer"),
        passport_id: text("passport_id"),
        constraints: members.required("constraints").object().cloned().unwrap_or_default().into_owned(),
    }
}

pub(super) fn spend(place: Place<'_>) -> Option<SpendConfig> {
    place.one_of(&[("in_memory", SpendConfig::InMemory)])
}

/// As the JSON that it was read from.
impl Serialize for GuardrailsConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object(&self.0, serializer)
    }
}

impl Serialize for PassportConstraintsConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("constraints", &Members(&self.constraints))?;
        map.serialize_entry("issuer", &self.issuer)?;
        map.serialize_entry("passport_id", &self.passport_id)?;
        map.end()
    }
}

struct Members<'v>(&'v Object<'v>);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object(self.0, serializer)
    }
}

struct Json<'v>(&'v Value<'v>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(elements) => {
                let mut list = serializer.serialize_seq(Some(elements.len()))?;
                elements.iter().try_for_each(|element| list.serialize_element(&Json(element)))?;
                list.end()
            }
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Null => serializer.serialize_unit(),
            Value::Number(number) => match number.as_integer() {
                Some(integer) => serializer.serialize_i64(integer),
                None => serializer.serialize_f64(number.as_f64()),
            },
            Value::Object(members) => object(members, serializer),
            Value::String(text) => serializer.serialize_str(text),
        }
    }
}

fn object<S: Serializer>(members: &Object<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(members.len()))?;
    members.iter().try_for_each(|(name, value)| map.serialize_entry(name, &Json(value)))?;
    map.end()
}
