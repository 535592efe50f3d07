//! Constraints of passports, their types and templates.

use super::{Effect, PASSPORT, Tool, object, text};

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "get_constraints",
        effect: Effect::Reads,
        http: "GET /api/passports/{passport_id}/constraints",
        description: "Shows the constraints that are set for a passport beside those signed in it.",
        arguments: &[PASSPORT],
    },
    Tool {
        name: "set_constraints",
        effect: Effect::Sets,
        http: "PUT /api/passports/{passport_id}/constraints",
        description: "Sets a passport's constraints in place of those set before. They narrow what was signed, \
            and reach running gates within moments.",
        arguments: &[
            PASSPORT,
            object("constraints", "Values by constraint key, for example {\"core:rate:max_per_minute\": 10}")
                .required()
                .whole_body(),
        ],
    },
    Tool {
        name: "apply_constraint_template",
        effect: Effect::Sets,
        http: "POST /api/passports/{passport_id}/constraints",
        description: "Sets a passport's constraints to those of a template.",
        arguments: &[PASSPORT, text("template_slug", "The template's slug").required()],
    },
    Tool {
        name: "list_constraint_types",
        effect: Effect::Reads,
        http: "GET /api/constraints/types",
        description: "Lists the keys that constraints may have, with their value types and units.",
        arguments: &[text("category", "Only of this category, for example rate or cost")],
    },
    Tool {
        name: "list_constraint_templates",
        effect: Effect::Reads,
        http: "GET /api/constraint-templates",
        description: "Lists templates of constraints: those that come with the service, and one's own.",
        arguments: &[text("category", "Only of this category: industry, role, security or commerce")],
    },
    Tool {
        name: "create_constraint_template",
        effect: Effect::Adds,
        http: "POST /api/constraint-templates",
        description: "Makes a template of constraints, to be applied to passports.",
        arguments: &[
            text("slug", "Its name in calls, for example night-shift").required(),
            text("name", "What people call it").required(),
            object("constraints", "Values by constraint key").required(),
            text("description", "What it is for"),
            text("category", "Its category: industry, role, security or commerce"),
        ],
    },
];
