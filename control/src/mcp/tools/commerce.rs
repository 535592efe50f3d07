//! What was used, what it comes to, and whether it was as good as promised.

use super::{Argument, Effect, GATE, PASSPORT, Tool, number, object, one_of, text};

const SETTLEMENT: Argument = text("settlement_id", "The settlement's id").required();

const PERIODS: &[&str] = &["daily", "weekly", "monthly"];

const STATUSES: &[&str] = &["pending", "invoiced", "paid", "disputed", "void"];

const SETTLEMENT_FILTERS: &[Argument] = &[
    text("gate_id", "Only of this gate"),
    text("agent_id", "Only of this agent"),
    one_of("period_type", PERIODS, "Only of periods of this length"),
    one_of("status", STATUSES, "Only with this status"),
    text("from_date", "Only of periods from this day on (YYYY-MM-DD)").sent_as("from"),
    text("to_date", "Only of periods up to this day (YYYY-MM-DD)").sent_as("to"),
    number("limit", "How many at most; left out: 20"),
    number("offset", "After how many others"),
];

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "issue_consumption_attestation",
        effect: Effect::Adds,
        http: "POST /api/consume",
        description: "Records and signs that an agent used a gate's service, at the price it is pinned to, so that \
            both sides hold a receipt.",
        arguments: &[
            PASSPORT,
            GATE,
            text("action", "The action that was done").required(),
            one_of("outcome", &["success", "error", "timeout", "partial"], "How it ended").required(),
            number("quantity", "How much was used; left out: 1"),
            object(
                "agent_pop",
                "The agent's own word, without which there is no receipt: signature, public_key, timestamp, nonce, catalog_content_hash, and \
                 request_payload_hash where there is one",
            ),
            text("request_payload_hash", "A hash of the request's content"),
            text("response_payload_hash", "A hash of the response's content"),
            object("metadata", "What else is known of it"),
        ],
    },
    Tool {
        name: "generate_settlement",
        effect: Effect::Adds,
        http: "POST /api/billing",
        description: "Adds up what was used at a gate in a period, after checking every receipt's signature, into \
            a summary that no longer changes.",
        arguments: &[
            GATE,
            one_of("period_type", PERIODS, "How long the period is").required(),
            text("period_start", "Its first day (YYYY-MM-DD)").required(),
            text("period_end", "Its last day (YYYY-MM-DD), which must be over").required(),
            text("agent_id", "Only what this agent used"),
        ],
    },
    Tool {
        name: "list_settlements",
        effect: Effect::Reads,
        http: "GET /api/billing",
        description: "Lists settlements, the newest first.",
        arguments: SETTLEMENT_FILTERS,
    },
    Tool {
        name: "get_billing_summary",
        effect: Effect::Reads,
        http: "GET /api/billing",
        description: "Lists settlements: another name of list_settlements.",
        arguments: SETTLEMENT_FILTERS,
    },
    Tool {
        name: "get_settlement",
        effect: Effect::Reads,
        http: "GET /api/billing/{settlement_id}",
        description: "Shows one settlement: totals, outcomes and what was left out of it.",
        arguments: &[SETTLEMENT],
    },
    Tool {
        name: "update_settlement_status",
        effect: Effect::Sets,
        http: "POST /api/billing/{settlement_id}/status",
        description: "Moves a settlement on: pending to invoiced or void, invoiced to paid, disputed or void, \
            disputed to invoiced or void. Paid and void are final.",
        arguments: &[SETTLEMENT, one_of("status", STATUSES, "Its next status").required()],
    },
    Tool {
        name: "get_sla_compliance",
        effect: Effect::Reads,
        http: "GET /api/gates/{gate_id}/sla",
        description: "Compares what was promised with what was delivered at a gate in a period, permission by \
            permission.",
        arguments: &[
            GATE,
            text("period_start", "The period's first day (YYYY-MM-DD)").required(),
            text("period_end", "Its last day (YYYY-MM-DD)").required(),
            text("permission_key", "Only of this permission"),
        ],
    },
];
