//! Decisions that are enforced, and the records of decisions.

use super::{Effect, GATE, LIMIT, PASSPORT, Tool, number, object, one_of, text};

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "enforce_action",
        effect: Effect::Adds,
        http: "POST /api/enforce",
        description: "Has the service decide on an agent's action: allow, block or hold for a person. It is \
            counted, its cost is spent, and the decision is recorded and signed.",
        arguments: &[
            PASSPORT,
            text("action", "The action, for example flights:book").required(),
            text("target", "What it is done to, for example a domain"),
            number("cost_cents", "What it costs, in cents"),
            object("metadata", "What else is known of it"),
        ],
    },
    Tool {
        name: "list_enforcement_attestations",
        effect: Effect::Reads,
        http: "GET /api/passports/{passport_id}/enforcement",
        description: "Lists the signed records of what the service decided for a passport, the newest first.",
        arguments: &[
            PASSPORT,
            one_of("decision", &["allow", "block", "request_hold"], "Only with this decision"),
            LIMIT,
        ],
    },
    Tool {
        name: "get_enforcement_attestation",
        effect: Effect::Reads,
        http: "GET /api/enforcement/{attestation_id}",
        description: "Shows one signed record of a decision.",
        arguments: &[ATTESTATION],
    },
    Tool {
        name: "verify_enforcement_attestation",
        effect: Effect::Reads,
        http: "POST /api/enforcement/{attestation_id}/verify",
        description: "Checks the signature of a record and its place in the log.",
        arguments: &[ATTESTATION],
    },
    Tool {
        name: "list_attestations",
        effect: Effect::Reads,
        http: "GET /api/gates/{gate_id}/attestations",
        description: "Lists the records of what a gate decided, the newest first.",
        arguments: &[
            GATE,
            text("passport_id", "Only of this passport"),
            text("agent_id", "Only of this agent"),
            text("permission", "Only of this permission"),
            text("since", "Only from this time on (RFC 3339)"),
            LIMIT,
        ],
    },
    Tool {
        name: "record_attestation",
        effect: Effect::Adds,
        http: "POST /api/gates/{gate_id}/attestations",
        description: "Adds to a gate's log a record of what was decided elsewhere, for example in an agent's own \
            code.",
        arguments: &[
            GATE,
            PASSPORT,
            text("agent_id", "The agent's id").required(),
            text("permission", "The permission that was asked for").required(),
            text("tool_name", "The tool that was to be used").required(),
            one_of("result", &["allowed", "denied"], "What was decided").required(),
            text("denial_code", "Why it was denied"),
            text("input_hash", "A hash of what went in"),
            text("output_hash", "A hash of what came out"),
            object("constraints_used", "The constraints that were looked at"),
            number("execution_ms", "How long it took, in milliseconds"),
            object("metadata", "What else is known of it"),
        ],
    },
];

const ATTESTATION: super::Argument = text("attestation_id", "The record's id").required();
