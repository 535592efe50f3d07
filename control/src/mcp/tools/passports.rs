//! Passports that gates issue.

use super::{Effect, GATE, LIMIT, PASSPORT, Tool, number, object, text, texts};

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "list_passports",
        effect: Effect::Reads,
        http: "GET /api/gates/{gate_id}/passports",
        description: "Lists the valid passports that a gate has issued, the newest first.",
        arguments: &[GATE, LIMIT],
    },
    Tool {
        name: "get_passport",
        effect: Effect::Reads,
        http: "GET /api/gates/{gate_id}/passports/{passport_id}",
        description: "Shows a passport of a gate: its signed text, permissions, constraints and pinned catalog.",
        arguments: &[GATE, PASSPORT],
    },
    Tool {
        name: "issue_passport",
        effect: Effect::Adds,
        http: "POST /api/gates/{gate_id}/passports",
        description: "Issues a signed passport to an agent, pinned to the catalog in force at the gate.",
        arguments: &[
            GATE,
            text("agent_id", "The agent's id").required(),
            texts("permissions", "What it may do, one key each").required(),
            text("agent_name", "What people call the agent"),
            text(
                "agent_public_key",
                "The agent's Ed25519 public key in base64, with which it proves its requests",
            ),
            object("constraints", "Limits, for all permissions or by permission key"),
            number("expires_in_seconds", "For how many seconds; left out: an hour"),
            text("expires_in", "The same in words, for example 24h or 7d"),
            object("metadata", "What else is to be kept with it"),
        ],
    },
    Tool {
        name: "revoke_passport",
        effect: Effect::Sets,
        http: "DELETE /api/gates/{gate_id}/passports/{passport_id}",
        description: "Revokes a passport for good; running gates refuse it within moments.",
        arguments: &[GATE, PASSPORT],
    },
    Tool {
        name: "reissue_passport",
        effect: Effect::Replaces,
        http: "POST /api/passports/{passport_id}/reissue",
        description: "Issues a passport anew and revokes the old one; with a newer catalog version, on its \
            terms, and tells what has changed for the worse.",
        arguments: &[
            PASSPORT,
            number(
                "accept_catalog_version",
                "The catalog version whose terms are accepted; left out: none new",
            ),
        ],
    },
    Tool {
        name: "get_cumulative_state",
        effect: Effect::Reads,
        http: "GET /api/passports/{passport_id}/state",
        description: "Shows what a passport has spent and used up in its present windows.",
        arguments: &[PASSPORT],
    },
    Tool {
        name: "reset_cumulative_state",
        effect: Effect::Sets,
        http: "POST /api/passports/{passport_id}/state/reset",
        description: "Forgets what a passport has spent, so that its budget is whole again.",
        arguments: &[PASSPORT, text("window_type", "Which window, for example daily; left out: all")],
    },
];
