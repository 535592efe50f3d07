//! What gates offer, and on which terms.

use super::{Argument, Effect, GATE, Kind, Tool, flag, number, text};

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "get_catalog",
        effect: Effect::Reads,
        http: "GET /api/gates/{gate_id}/catalog",
        description: "Shows the draft of a gate's catalog: what its next version would offer.",
        arguments: &[GATE],
    },
    Tool {
        name: "create_catalog",
        effect: Effect::Sets,
        http: "POST /api/gates/{gate_id}/catalog",
        description: "Writes the draft of a gate's catalog in place of the former draft. Nobody is bound by it \
            until it is published.",
        arguments: &[
            GATE,
            Argument::new(
                "permissions",
                Kind::Objects,
                "What is offered: permission_key, display_name, description, risk_level, min_trust_level, and \
                 constraints with price and service level",
            )
            .required(),
            text("version", "A label of yours, for example 2.0"),
            text("catalog_name", "What people call it"),
            text("description", "What it offers"),
            flag("is_active", "Whether it is in use"),
        ],
    },
    Tool {
        name: "publish_catalog",
        effect: Effect::Replaces,
        http: "POST /api/gates/{gate_id}/catalog/publish",
        description: "Signs the draft and puts it in force as the next version, for good. Tells what has changed, \
            and whether for the worse.",
        arguments: &[
            GATE,
            text("change_summary", "What has changed, for people"),
            text("effective_at", "From when it is in force (RFC 3339); left out: at once"),
        ],
    },
    Tool {
        name: "list_catalog_versions",
        effect: Effect::Reads,
        http: "GET /api/gates/{gate_id}/catalog/versions",
        description: "Lists the versions of a gate's catalog that were published, without their contents.",
        arguments: &[GATE],
    },
    Tool {
        name: "get_catalog_version",
        effect: Effect::Reads,
        http: "GET /api/gates/{gate_id}/catalog/{version}",
        description: "Shows one published version of a gate's catalog, with its hash and signature.",
        arguments: &[GATE, number("version", "The version's number, from 1").required()],
    },
    Tool {
        name: "get_catalog_impact",
        effect: Effect::Reads,
        http: "GET /api/gates/{gate_id}/catalog/impact",
        description: "Tells what publishing the draft would change, and how many passports have older terms.",
        arguments: &[GATE],
    },
    Tool {
        name: "discover_services",
        effect: Effect::Reads,
        http: "GET /api/discover",
        description: "Finds gates that offer a capability, with prices and service levels, each with the signature \
            by which its terms can be checked.",
        arguments: &[
            text("capability", "A permission key, or all of a namespace, for example flights:*").required(),
            number("max_price_cents", "At this price at most, in cents"),
            number("min_uptime_bp", "With this uptime at least, in basis points: 9990 is 99.9 %"),
            number("max_response_time_ms", "With this response time at most, in milliseconds"),
            text("pricing_model", "Only with this model: per_call, per_minute, subscription or usage"),
            text("sort", "price_asc, price_desc, uptime_desc or response_asc"),
            number("limit", "How many at most, 1 to 100; left out: 20"),
            number("offset", "After how many others"),
        ],
    },
];
