//! Every key that a guardrail can have, in the order in which guardrails are looked at, and
//! every name by which it is written.
//!
//! There are three vocabularies: the dimensions of passports' envelopes, the keys
//! `core:<category>:<name>`, and the objects of gates. One table maps them all.

use super::spend::Window;

/// What is looked at, in this order: safety, time, scope, rate, cost, approval, data; then
/// what is only recorded. Keys of safety are not here, as no gate can judge them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Key {
    OperatingHours,
    BlackoutWindows,
    DomainAllowlist,
    DomainBlocklist,
    ActionAllowlist,
    ActionBlocklist,
    PathAllowlist,
    ModelAllowlist,
    MaxPerMinute,
    MaxPerHour,
    MaxPerDay,
    MaxPerAction,
    ApprovalThreshold,
    ApprovalRequired,
    ApprovalForActions,
    ReadOnly,
    Recorded,
}

impl Key {
    pub(super) const IN_ORDER: [Key; 17] = [
        Key::OperatingHours,
        Key::BlackoutWindows,
        Key::DomainAllowlist,
        Key::DomainBlocklist,
        Key::ActionAllowlist,
        Key::ActionBlocklist,
        Key::PathAllowlist,
        Key::ModelAllowlist,
        Key::MaxPerMinute,
        Key::MaxPerHour,
        Key::MaxPerDay,
        Key::MaxPerAction,
        Key::ApprovalThreshold,
        Key::ApprovalRequired,
        Key::ApprovalForActions,
        Key::ReadOnly,
        Key::Recorded,
    ];

    /// Its name in records.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Key::OperatingHours => "core:time:operating_hours",
            Key::BlackoutWindows => "core:time:blackout_windows",
            Key::DomainAllowlist => "core:scope:domain_allowlist",
            Key::DomainBlocklist => "core:scope:domain_blocklist",
            Key::ActionAllowlist => "core:scope:action_allowlist",
            Key::ActionBlocklist => "core:scope:action_blocklist",
            Key::PathAllowlist => "core:scope:path_allowlist",
            Key::ModelAllowlist => "core:scope:model_allowlist",
            Key::MaxPerMinute => "core:rate:max_per_minute",
            Key::MaxPerHour => "core:rate:max_per_hour",
            Key::MaxPerDay => "core:rate:max_per_day",
            Key::MaxPerAction => "core:cost:max_per_action",
            Key::ApprovalThreshold => "core:cost:approval_threshold",
            Key::ApprovalRequired => "core:approval:required",
            Key::ApprovalForActions => "core:approval:for_actions",
            Key::ReadOnly => "core:data:read_only",
            Key::Recorded => "",
        }
    }
}

/// How a value is written, and what it says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// A whole number of requests in the first, second or third of the windows.
    Count(usize),
    /// A whole number of cents.
    Cents(Key),
    /// Dollars, as a number or as text such as `$50.00`.
    Usd(Key),
    /// A cap on what is spent within a window, in cents.
    Cap(Window),
    /// The same in dollars.
    UsdCap(Window),
    /// The same, as text such as `$50.00` alone: a number might be of requests.
    UsdTextCap(Window),
    /// `core:cost:max_cumulative`, in cents; its window is a member of its own.
    Cumulative,
    /// That window.
    CumulativeWindow,
    /// Hosts.
    Domains(Key),
    /// Actions, or namespaces as `ns:*`.
    Actions(Key),
    /// Paths, or all below one as `/ns/*`.
    Paths(Key),
    /// Other names.
    Names(Key),
    /// Spans of time.
    Spans(Key),
    /// `true`; `false` says nothing.
    Flag(Key),
    /// What no gate can judge, unless it is `false`.
    Beyond,
    /// What is done with personal data: of that a gate can only record.
    PersonalData,
    /// The currency of all amounts: dollars, or it cannot be judged.
    Currency,
    /// A term of business, which is recorded.
    Term,
    /// Members of their own.
    Within(&'static [(&'static str, Form)]),
}

/// All names, in three vocabularies.
pub(super) const KNOWN: &[(&str, Form)] = &[
    ("core:safety:fail_closed", Form::Beyond),
    ("core:safety:anomaly_suspend", Form::Beyond),
    ("core:time:operating_hours", Form::Spans(Key::OperatingHours)),
    ("core:time:blackout_windows", Form::Spans(Key::BlackoutWindows)),
    ("core:scope:domain_allowlist", Form::Domains(Key::DomainAllowlist)),
    ("core:scope:domain_blocklist", Form::Domains(Key::DomainBlocklist)),
    ("core:scope:action_allowlist", Form::Actions(Key::ActionAllowlist)),
    ("core:scope:action_blocklist", Form::Actions(Key::ActionBlocklist)),
    ("core:scope:path_allowlist", Form::Paths(Key::PathAllowlist)),
    ("core:scope:model_allowlist", Form::Names(Key::ModelAllowlist)),
    ("core:rate:max_per_minute", Form::Count(0)),
    ("core:rate:max_per_hour", Form::Count(1)),
    ("core:rate:max_per_day", Form::Count(2)),
    ("core:cost:max_per_action", Form::Cents(Key::MaxPerAction)),
    ("core:cost:max_cumulative", Form::Cumulative),
    ("core:cost:cumulative_window", Form::CumulativeWindow),
    ("core:cost:approval_threshold", Form::Cents(Key::ApprovalThreshold)),
    ("core:approval:required", Form::Flag(Key::ApprovalRequired)),
    ("core:approval:for_actions", Form::Actions(Key::ApprovalForActions)),
    ("core:data:read_only", Form::Flag(Key::ReadOnly)),
    ("core:data:no_pii_export", Form::Beyond),
    ("core:pricing:per_call_cents", Form::Term),
    ("core:pricing:per_minute_cents", Form::Term),
    ("core:pricing:subscription_cents", Form::Term),
    ("core:pricing:model", Form::Term),
    ("core:pricing:currency", Form::Term),
    ("core:pricing:free_tier_calls", Form::Term),
    ("core:sla:uptime_basis_points", Form::Term),
    ("core:sla:response_time_ms", Form::Term),
    ("core:sla:p99_response_ms", Form::Term),
    ("core:sla:guaranteed_response_ms", Form::Term),
    ("core:platform_fee:basis_points", Form::Term),
    ("core:platform_fee:recipient", Form::Term),
    // Of envelopes. Costs are in cents there too.
    ("max_per_action_cost", Form::Cents(Key::MaxPerAction)),
    ("max_daily_cost", Form::Cap(Window::Daily)),
    ("max_total_cost", Form::Cap(Window::Total)),
    ("rate_limit_per_minute", Form::Count(0)),
    ("rate_limit_per_hour", Form::Count(1)),
    ("allowed_domains", Form::Domains(Key::DomainAllowlist)),
    ("allowed_paths", Form::Paths(Key::PathAllowlist)),
    ("allowed_models", Form::Names(Key::ModelAllowlist)),
    ("operating_hours", Form::Spans(Key::OperatingHours)),
    // Of gates; the last in an older form.
    (
        "rate_limits",
        Form::Within(&[
            ("requests_per_minute", Form::Count(0)),
            ("requests_per_hour", Form::Count(1)),
            ("requests_per_day", Form::Count(2)),
            ("concurrent_requests", Form::Beyond),
        ]),
    ),
    (
        "spend_limits",
        Form::Within(&[
            ("per_transaction_usd", Form::Usd(Key::MaxPerAction)),
            ("daily_usd", Form::UsdCap(Window::Daily)),
            ("monthly_usd", Form::UsdCap(Window::MONTH)),
            ("require_approval_above_usd", Form::Usd(Key::ApprovalThreshold)),
            ("currency", Form::Currency),
        ]),
    ),
    (
        "domain_controls",
        Form::Within(&[
            ("allowed_domains", Form::Domains(Key::DomainAllowlist)),
            ("blocked_domains", Form::Domains(Key::DomainBlocklist)),
            ("allowlist", Form::Domains(Key::DomainAllowlist)),
            ("blocklist", Form::Domains(Key::DomainBlocklist)),
        ]),
    ),
    ("pii_controls", Form::Within(&[("mode", Form::PersonalData)])),
    // A gate always does.
    ("enforce_permission_scope", Form::Term),
    ("max_per_day", Form::UsdTextCap(Window::Daily)),
];
