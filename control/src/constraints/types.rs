//! Which constraints there are, for people who choose some.

use serde::Serialize;
use utoipa::ToSchema;

/// A kind of constraint.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct ConstraintType {
    /// Its key, `core:<category>:<name>`.
    pub constraint_key: &'static str,
    /// `core`.
    pub namespace: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// What it asks.
    pub description: &'static str,
    /// `integer`, `boolean`, `string`, `list` or `object`.
    pub value_type: &'static str,
    /// In what its value counts.
    pub unit: Option<&'static str>,
    /// `safety`, `temporal`, `scope`, `rate`, `cost`, `approval`, `data`, `pricing`, `sla` or
    /// `platform_fee`.
    pub category: &'static str,
    /// Its place among those that are looked at.
    pub evaluation_order: u8,
    /// Always true.
    pub is_system: bool,
    /// Whether gates judge it: what they can only record they do, and what they cannot judge
    /// refuses.
    pub is_enforced: bool,
}

/// The categories.
pub const CATEGORIES: [&str; 10] =
    ["safety", "temporal", "scope", "rate", "cost", "approval", "data", "pricing", "sla", "platform_fee"];

macro_rules! types {
    ($($order:literal $category:literal $key:literal $name:literal $form:literal $unit:expr, $enforced:literal, $what:literal;)+) => {
        /// All of them, in the order in which they are looked at.
        pub const TYPES: &[ConstraintType] = &[$(ConstraintType {
            constraint_key: $key,
            namespace: "core",
            name: $name,
            description: $what,
            value_type: $form,
            unit: $unit,
            category: $category,
            evaluation_order: $order,
            is_system: true,
            is_enforced: $enforced,
        }),+];
    };
}

types! {
    1 "safety" "core:safety:fail_closed" "Fail closed" "boolean" None, false, "Refuses while supervision is silent. No gate can judge it: true refuses";
    2 "safety" "core:safety:anomaly_suspend" "Suspend on anomaly" "boolean" None, false, "Holds what comes much oftener than usual. No gate can judge it: true refuses";
    10 "temporal" "core:time:operating_hours" "Operating hours" "object" None, true, "Spans of time of which one must contain the moment";
    11 "temporal" "core:time:blackout_windows" "Blackout windows" "object" None, true, "Spans of time of which none may contain the moment";
    20 "scope" "core:scope:domain_allowlist" "Allowed domains" "list" None, true, "Hosts, of which the target must be one";
    21 "scope" "core:scope:domain_blocklist" "Blocked domains" "list" None, true, "Hosts, of which the target must be none";
    22 "scope" "core:scope:action_allowlist" "Allowed actions" "list" None, true, "Actions, or namespaces as ns:*, of which the action must be one";
    23 "scope" "core:scope:action_blocklist" "Blocked actions" "list" None, true, "Actions, or namespaces as ns:*, of which the action must be none";
    24 "scope" "core:scope:path_allowlist" "Allowed paths" "list" None, true, "Paths, or all below one as /docs/*";
    25 "scope" "core:scope:model_allowlist" "Allowed models" "list" None, true, "Models, of which the request must lead to one";
    30 "rate" "core:rate:max_per_minute" "Requests per minute" "integer" Some("requests"), true, "How often within a minute";
    31 "rate" "core:rate:max_per_hour" "Requests per hour" "integer" Some("requests"), true, "How often within an hour";
    32 "rate" "core:rate:max_per_day" "Requests per day" "integer" Some("requests"), true, "How often within a day of UTC";
    40 "cost" "core:cost:max_per_action" "Cost per action" "integer" Some("cents"), true, "What one action may cost";
    41 "cost" "core:cost:max_cumulative" "Cumulative cost" "integer" Some("cents"), true, "What all actions may cost within core:cost:cumulative_window, or ever";
    42 "cost" "core:cost:cumulative_window" "Window of cumulative cost" "string" None, true, "daily, or a number of days such as 30d; it goes with core:cost:max_cumulative";
    43 "cost" "core:cost:approval_threshold" "Approval above" "integer" Some("cents"), true, "What costs more waits for a person";
    50 "approval" "core:approval:required" "Approval required" "boolean" None, true, "Everything waits for a person";
    51 "approval" "core:approval:for_actions" "Approval for actions" "list" None, true, "Actions that wait for a person";
    60 "data" "core:data:read_only" "Read only" "boolean" None, true, "Nothing but what reads";
    61 "data" "core:data:no_pii_export" "No export of personal data" "boolean" None, false, "No gate can judge it: true refuses";
    70 "pricing" "core:pricing:per_call_cents" "Price per call" "integer" Some("cents"), false, "Recorded";
    71 "pricing" "core:pricing:per_minute_cents" "Price per minute" "integer" Some("cents"), false, "Recorded";
    72 "pricing" "core:pricing:subscription_cents" "Price of a subscription" "integer" Some("cents"), false, "Recorded";
    73 "pricing" "core:pricing:model" "Pricing model" "string" None, false, "Recorded";
    74 "pricing" "core:pricing:currency" "Currency" "string" None, false, "Recorded";
    75 "pricing" "core:pricing:free_tier_calls" "Free calls" "integer" Some("requests"), false, "Recorded";
    80 "sla" "core:sla:uptime_basis_points" "Uptime" "integer" Some("basis points"), false, "Recorded";
    81 "sla" "core:sla:response_time_ms" "Response time" "integer" Some("milliseconds"), false, "Recorded";
    82 "sla" "core:sla:p99_response_ms" "Response time, 99th percentile" "integer" Some("milliseconds"), false, "Recorded";
    83 "sla" "core:sla:guaranteed_response_ms" "Guaranteed response time" "integer" Some("milliseconds"), false, "Recorded";
    90 "platform_fee" "core:platform_fee:basis_points" "Platform fee" "integer" Some("basis points"), false, "Recorded";
    91 "platform_fee" "core:platform_fee:recipient" "Recipient of the platform fee" "string" None, false, "Recorded";
}

#[cfg(test)]
mod tests {
    use super::{CATEGORIES, TYPES};
    use crate::constraints::{check, strict};
    use portcullis_core::guardrails::GateRules;
    use serde_json::{Value, json};

    #[test]
    fn gates_take_each_type_as_it_is_described() {
        for one in TYPES {
            let value = match (one.constraint_key, one.value_type) {
                ("core:cost:cumulative_window", _) => json!("30d"),
                (_, "integer") => json!(5),
                (_, "boolean") => json!(true),
                (_, "string") => json!("x"),
                (key, "list") if key.contains("path") => json!(["/x"]),
                (_, "list") => json!(["x"]),
                _ => json!({"start": "09:00", "end": "17:00"}),
            };
            let mut constraints = json!({one.constraint_key: value});
            if one.constraint_key == "core:cost:cumulative_window" {
                constraints["core:cost:max_cumulative"] = json!(5);
            }
            let is_taken = check("", constraints.as_object().unwrap(), |_| false).is_ok();
            let refuses = matches!(one.category, "safety") || one.constraint_key == "core:data:no_pii_export";
            assert_eq!(is_taken, !refuses, "{}", one.constraint_key);
            assert!(CATEGORIES.contains(&one.category));
            assert!(!(refuses && one.is_enforced));
        }
        let all: Vec<u8> = TYPES.iter().map(|one| one.evaluation_order).collect();
        assert!(all.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn each_type_is_one_that_gates_know() {
        // A key that core does not know is told as unknown, whatever its value.
        let unknown = |key: &str| {
            let written = strict("", &json!({ key: Value::Null })).unwrap();
            GateRules::read(&written).is_err_and(|fault| fault.problem.contains("no guardrail"))
        };
        assert!(unknown("core:cost:made_up"));
        assert!(TYPES.iter().all(|one| !unknown(one.constraint_key)));
    }
}
