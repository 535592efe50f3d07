//! Guardrails: what a permission, a gate or a policy asks of a request beyond who makes it.
//!
//! They are written in three vocabularies (`table.rs`), read once, and judged as pure
//! functions of a request, a time, and what counters say.
//!
//! | | written as |
//! |---|---|
//! | `core:time:operating_hours` | `{"start":"09:00","end":"17:00"}`, with `timezone` (`UTC`, `+hh:mm`) and `days` (`mon` …), or a list of such; past midnight where the end is not later, and then of the day that it begins on. Or moments: `{"start":"2026-12-24T00:00:00Z","end":…}`. One of them must contain the time |
//! | `core:time:blackout_windows` | the same; none of them may |
//! | `core:scope:domain_*` | whole hosts, no subdomains implied; what is compared is the route's `target_domain`, or the request's authority without its port |
//! | `core:scope:action_*`, `core:approval:for_actions` | actions, `ns:*`, `*` |
//! | `core:scope:path_allowlist` | decoded paths, or all below one: `/ns/*` |
//! | `core:rate:*` | whole numbers |
//! | `core:cost:*` | cents; members in dollars have at most two decimals |
//! | `core:cost:cumulative_window` | `daily` (UTC), `30d` (so many days back), left out: for ever |
//! | `core:data:read_only` | `true`: GET, HEAD and OPTIONS alone, and no action that is called write, create, update, delete, send or post in one of its parts |

mod gate;
mod granted;
mod guards;
mod judge;
mod restrictions;
mod rules;
mod spend;
mod table;
mod values;

pub use gate::GateRules;
pub use granted::{Granted, Level};
pub use guards::{Count, Counting, Guards};
pub use judge::{Counted, Evaluation, Facts, Outcome, Verdict, evaluate, push_spent};
pub(crate) use judge::{cost_detail, push_counted};
pub use restrictions::{MAX_RESTRICTIONS, Restrictions};
pub use rules::{Limits, RuleFault, Rules};
pub use spend::{Cap, Caps, Spend, SpendAccount, SpendFault, Taken, Window};
