//! Gates, and what they decide when they are asked without passing them.

use super::{Effect, GATE, LIMIT, Tool, flag, number, object, one_of, text, texts};

const PROFILES: &[&str] = &["L1", "L2", "L3"];

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "list_gates",
        effect: Effect::Reads,
        http: "GET /api/gates",
        description: "Lists all gates with their profiles and current catalog versions.",
        arguments: &[],
    },
    Tool {
        name: "get_gate",
        effect: Effect::Reads,
        http: "GET /api/gates/{gate_id}",
        description: "Shows one gate.",
        arguments: &[GATE],
    },
    Tool {
        name: "create_gate",
        effect: Effect::Adds,
        http: "POST /api/gates",
        description: "Makes a gate. Its signing key is made with it.",
        arguments: &[
            text("name", "What people call it").required(),
            text("gate_id", "Its id, which stays as it is; \"gate_\" is put before it if missing").required(),
            one_of("profile", PROFILES, "How strictly it checks").required(),
            text("description", "What it protects"),
            flag("allow_self_issued", "Whether it takes passports that agents sign for themselves"),
        ],
    },
    Tool {
        name: "update_gate",
        effect: Effect::Sets,
        http: "PATCH /api/gates/{gate_id}",
        description: "Changes a gate; what is left out stays as it is.",
        arguments: &[
            GATE,
            text("name", "What people call it"),
            text("description", "What it protects"),
            one_of("profile", PROFILES, "How strictly it checks"),
            flag("allow_self_issued", "Whether it takes passports that agents sign for themselves"),
        ],
    },
    Tool {
        name: "delete_gate",
        effect: Effect::Sets,
        http: "DELETE /api/gates/{gate_id}",
        description: "Deletes a gate and ends its signing keys: what it issued is good no longer.",
        arguments: &[GATE],
    },
    Tool {
        name: "check_gate",
        effect: Effect::Reads,
        http: "POST /api/gates/{gate_id}/check",
        description: "Asks how a gate would decide on an action, with each check. Nothing is counted or recorded.",
        arguments: &[
            GATE,
            text("action", "The action, for example flights:search").required(),
            text("passport_id", "Whose passport; without one, as a caller without a credential"),
            text("target", "What the action is done to, for example a domain"),
        ],
    },
    Tool {
        name: "authorize_dry_run",
        effect: Effect::Reads,
        http: "POST /api/authorize/dry-run",
        description: "Judges a passport's permission with constraints as they would be, changing nothing.",
        arguments: &[
            GATE,
            object("passport", "The passport: passport_json and signature, or passport_id").required(),
            text("requested_permission", "The permission that is asked for").required(),
            object("requested_constraints", "What the request would be like, for example its cost"),
        ],
    },
    Tool {
        name: "get_anonymous_policy",
        effect: Effect::Reads,
        http: "GET /api/gates/{gate_id}/anonymous-policy",
        description: "Shows what callers without a credential may do at a gate.",
        arguments: &[GATE],
    },
    Tool {
        name: "set_anonymous_policy",
        effect: Effect::Sets,
        http: "PUT /api/gates/{gate_id}/anonymous-policy",
        description: "Sets what callers without a credential may do at a gate, all of it: what is left out \
            gets its usual value.",
        arguments: &[
            GATE,
            flag("enabled", "Whether they may do anything; usually not"),
            texts("allowed_actions", "Actions that they may ask for"),
            texts("blocked_actions", "Actions that they may not, whatever is allowed"),
            number("rate_limit_per_minute", "How often from one address within a minute; usually 5"),
            number("rate_limit_per_hour", "How often from one address within an hour; usually 50"),
            flag("read_only", "Whether only what reads; usually so"),
            text("upgrade_message", "One line in refusals on how to get a credential"),
            text("upgrade_url", "Where to get one"),
        ],
    },
    Tool {
        name: "get_anonymous_log",
        effect: Effect::Reads,
        http: "GET /api/gates/{gate_id}/anonymous-log",
        description: "Lists what callers without a credential asked of a gate, the newest first.",
        arguments: &[GATE, LIMIT],
    },
    Tool {
        name: "list_api_keys",
        effect: Effect::Reads,
        http: "GET /api/users/api-keys",
        description: "Lists API keys by their beginnings and scopes; the keys themselves are kept nowhere.",
        arguments: &[],
    },
    Tool {
        name: "create_api_key",
        effect: Effect::Adds,
        http: "POST /api/users/api-keys",
        description: "Makes an API key, with no more scopes than the calling one has. The answer is the only \
            place where the key is ever shown: it is a secret.",
        arguments: &[
            text("name", "What it is for").required(),
            texts("scopes", "What it may do; left out: what the calling key may"),
        ],
    },
    Tool {
        name: "revoke_api_key",
        effect: Effect::Sets,
        http: "DELETE /api/users/api-keys/{key_id}",
        description: "Ends an API key at once and for good.",
        arguments: &[text("key_id", "The key's id, not the key").required()],
    },
];
