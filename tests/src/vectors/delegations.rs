//! The vectors for what passports delegate: chains, and what narrows from hop to hop.

use super::Vector;
use super::make::{
    HOUR, NOW, changed, constrained, delegated, draft, holder, issued, json_of, key, parsed, sign_again,
    trust,
};
use super::passports::{refused, valid};
use portcullis_core::modei::{RootKind, Signed, delegate, self_issue};
use portcullis_core::{SecretKey, base64};
use serde_json::{Value, json};

pub(super) fn chains() -> Vec<Vector> {
    let child = delegated(1);
    let own = |change: fn(&mut Value)| changed(&child, &holder(0), change);
    let six = {
        let five = delegated(5);
        let mut whole = json_of(&five);
        let extra = json_of(&five);
        let chain = whole["passport_json"]["provenance"]["delegation_chain"].as_array_mut().expect("a chain");
        chain.push(extra);
        sign_again(&mut whole, &holder(5));
        whole.to_string()
    };
    let forbidden = {
        let parent = changed(&delegated(0), &holder(0), |e| e["delegation_authority"] = false.into());
        let parent: Value = serde_json::from_str(&parent).expect("JSON");
        let mut whole = json_of(&child);
        whole["passport_json"]["provenance"]["delegation_chain"][0] = parent;
        sign_again(&mut whole, &holder(0));
        whole.to_string()
    };
    let root = "delegation_chain_invalid_root";
    let link =
        |whole: &Value, index: usize| whole["passport_json"]["provenance"]["delegation_chain"][index].clone();
    let with_links = |leaf: &Signed, links: Value, signer: &SecretKey| {
        changed(leaf, signer, |e| e["provenance"]["delegation_chain"] = links)
    };
    let grandchild = delegated(2);
    let rooted_in_a_chain = {
        let own_root = changed(&delegated(0), &holder(0), |e| {
            e["provenance"]["delegation_chain"] = json!([json_of(&delegated(0))]);
        });
        with_links(&child, json!([parsed(&own_root)]), &holder(0))
    };
    let large =
        |filler: usize| self_issue(&holder(0), &constrained("pp_root", &json!({"note": "x".repeat(filler)})));
    let below_large =
        delegate(&large(60_000), &holder(0), &holder(1).public_key(), &constrained("pp_leaf", &json!({})));
    let below_large = below_large.expect("a delegation");
    let below_too_large = with_links(&child, json!([json_of(&large(65_537))]), &holder(0));
    // The middle passport's own chain, and what the outer chain says it was.
    let nested = |own_chain: Value| {
        let middle = changed(&delegated(1), &holder(0), |e| e["provenance"]["delegation_chain"] = own_chain);
        let links = json!([link(&json_of(&grandchild), 0), parsed(&middle)]);
        with_links(&grandchild, links, &holder(1))
    };
    let first = link(&json_of(&grandchild), 0);
    // Mallory takes a passport of somebody else and writes the delegation herself.
    let mallory = key("mallory");
    let never_delegated = {
        let stolen = json_of(&delegated(0));
        let taken = changed(&child, &mallory, |e| {
            e["identity"]["public_key"] = base64::encode(&mallory.public_key()).into();
            e["identity"]["agent_id"] = portcullis_core::modei::self_agent_id(&mallory.public_key()).into();
        });
        with_links(&grandchild, json!([stolen, parsed(&taken)]), &mallory)
    };
    let root_by_mallory = {
        let forged = changed(&issued(RootKind::Platform), &mallory, |e| {
            e["identity"]["public_key"] = base64::encode(&mallory.public_key()).into();
        });
        changed(&child, &mallory, |e| {
            e["provenance"]["delegation_chain"] = json!([parsed(&forged)]);
            e["provenance"]["issuer"] =
                json!({"type": "delegate", "id": "delegate:pp_issued", "key_id": "ik_1"});
        })
    };
    let below_gate =
        delegate(&issued(RootKind::Gate), &holder(0), &holder(1).public_key(), &draft("pp_child"));
    let below_gate = below_gate.expect("a delegation");
    let of_a_gate = |change: fn(&mut Value)| changed(&below_gate, &holder(0), change);
    vec![
        refused(
            "chain_within_the_root",
            "a root has no chain, whatever type it claims",
            rooted_in_a_chain,
            root,
        ),
        valid("chain_not_counted", "the chain counts as null in an envelope's size", &below_large, "L0"),
        refused(
            "link_too_large",
            "each envelope of a chain is measured",
            below_too_large,
            "envelope_too_large",
        ),
        refused(
            "middle_without_its_chain",
            "each passport of a chain holds the part that came before",
            nested(Value::Null),
            "invalid_envelope_shape",
        ),
        refused(
            "middle_with_an_empty_chain",
            "each passport of a chain holds the part that came before",
            nested(json!([])),
            "invalid_envelope_shape",
        ),
        refused(
            "middle_with_a_longer_chain",
            "each passport of a chain holds the part that came before, and no more",
            nested(json!([first, first])),
            "invalid_envelope_shape",
        ),
        refused(
            "chain_continued_by_a_thief",
            "each passport of a chain is signed by the holder of the one before",
            never_delegated,
            "signature_invalid",
        ),
        refused(
            "chain_with_a_forged_root",
            "the root of a chain is signed by its issuer",
            root_by_mallory,
            "signature_invalid",
        )
        .trusting(trust("platform")),
        refused(
            "leaf_signed_by_the_root",
            "the leaf is signed by its parent's holder, and by nobody further up",
            changed(&grandchild, &holder(0), |_| {}),
            "signature_invalid",
        ),
        valid(
            "delegated_from_a_gates_passport",
            "a delegate inherits gate_id from a gate-issued root",
            &below_gate,
            "L2",
        )
        .trusting(trust("gate")),
        refused(
            "child_of_a_gate_it_forgot",
            "gate_id is inherited, not left out",
            of_a_gate(|e| e["provenance"]["gate_id"] = Value::Null),
            "invalid_envelope_shape",
        )
        .trusting(trust("gate")),
        refused(
            "child_of_another_catalog",
            "the catalog pin is inherited",
            of_a_gate(|e| e["provenance"]["catalog_content_hash"] = "00".into()),
            "invalid_envelope_shape",
        )
        .trusting(trust("gate")),
        refused(
            "child_of_a_platform_with_a_gate",
            "gate_id is inherited from gate-issued roots only",
            {
                let parent = changed(&issued(RootKind::Platform), &key("acme"), |e| {
                    e["provenance"]["gate_id"] = "gate_flights".into()
                });
                let child = delegate(
                    &issued(RootKind::Platform),
                    &holder(0),
                    &holder(1).public_key(),
                    &draft("pp_child"),
                )
                .expect("a delegation");
                changed(&child, &holder(0), |e| {
                    e["provenance"]["delegation_chain"] = json!([parsed(&parent)]);
                    e["provenance"]["gate_id"] = "gate_flights".into();
                })
            },
            "invalid_envelope_shape",
        )
        .trusting(trust("platform")),
        refused(
            "chain_empty",
            "a chain has at least one passport",
            own(|e| e["provenance"]["delegation_chain"] = json!([])),
            root,
        ),
        refused(
            "chain_missing",
            "a passport of type delegate stands on a chain",
            own(|e| e["provenance"]["delegation_chain"] = Value::Null),
            root,
        ),
        refused(
            "chain_begins_in_the_middle",
            "the first passport of a chain has none of its own",
            changed(&delegated(2), &holder(1), |e| {
                e["provenance"]["delegation_chain"].as_array_mut().expect("a chain").remove(0);
            }),
            root,
        ),
        refused("chain_of_six", "a chain has at most five passports", six, "delegation_chain_too_deep"),
        refused(
            "parent_may_not_delegate",
            "delegation_authority must be true in every passport of the chain",
            forbidden,
            "delegation_authority_missing",
        ),
    ]
}

pub(super) fn narrowing() -> Vec<Vector> {
    let parent = |constraints: Value| self_issue(&holder(0), &constrained("pp_parent", &constraints));
    // Made by hand, as the maker refuses to: the draft's permission is replaced after
    // delegating without one.
    let child = |parent: &Signed, change: fn(&mut Value)| {
        let narrow =
            delegate(parent, &holder(0), &holder(1).public_key(), &draft("pp_child")).expect("a delegation");
        changed(&narrow, &holder(0), change)
    };
    let code = "permission_elevation_in_chain";
    let capped =
        parent(json!({"max_daily_cost": 10, "allowed_domains": ["a.example"], "operating_hours": "9-17"}));
    let dropped =
        delegate(&capped, &holder(0), &holder(1).public_key(), &draft("pp_child")).expect("a delegation");
    let restated = {
        let leaf =
            delegate(&dropped, &holder(1), &holder(2).public_key(), &draft("pp_leaf")).expect("a delegation");
        changed(&leaf, &holder(1), |e| e["permissions"][0]["constraints"] = json!({"max_daily_cost": 5}))
    };
    let late = {
        let signed = delegated(1);
        changed(&signed, &holder(0), |e| {
            e["provenance"]["expires_at"] = NOW.plus_millis(HOUR + 1).to_iso().into()
        })
    };
    let all = |numeric: i32, lists: &[&str]| {
        json!({
            "max_per_action_cost": numeric, "max_daily_cost": numeric, "max_total_cost": numeric,
            "rate_limit_per_minute": numeric, "rate_limit_per_hour": numeric,
            "allowed_domains": lists, "allowed_paths": lists, "allowed_models": lists,
        })
    };
    let narrowed = {
        let parent = parent(all(10, &["a", "b"]));
        let draft = constrained("pp_child", &all(9, &["b"]));
        delegate(&parent, &holder(0), &holder(1).public_key(), &draft).expect("a delegation")
    };
    let of_lists = |inner: Value| {
        let parent = parent(json!({"allowed_domains": inner}));
        let narrow =
            delegate(&parent, &holder(0), &holder(1).public_key(), &draft("pp_child")).expect("a delegation");
        changed(&narrow, &holder(0), |e| {
            e["permissions"][0]["constraints"] = json!({"allowed_domains": inner})
        })
    };
    // More is granted in the middle; the leaf has no more than the middle.
    let wide_middle = {
        let wide = json!([{"permission_key": "flights:book", "constraints": {}}]);
        let middle = changed(&delegated(1), &holder(0), |e| e["permissions"] = wide.clone());
        let leaf = delegated(2);
        changed(&leaf, &holder(1), |e| {
            e["permissions"] = wide;
            e["provenance"]["delegation_chain"][1] = parsed(&middle);
        })
    };
    vec![
        valid(
            "everything_narrowed",
            "each numeric constraint may be lowered and each list shortened",
            &narrowed,
            "L0",
        ),
        refused(
            "list_that_is_none",
            "a list is a list, in parent and child",
            of_lists(json!("a.example")),
            code,
        ),
        refused("list_of_lists", "the entries of a list are plain", of_lists(json!([["a.example"]])), code),
        refused(
            "wider_permission_twice",
            "what is stated twice is compared with nothing: each time would cost as much as the parent's lists",
            child(&parent(json!({"allowed_domains": ["a.example"]})), |e| {
                e["permissions"][0]["constraints"] = json!({"allowed_domains": ["b.example"]});
                let first = e["permissions"][0].clone();
                e["permissions"].as_array_mut().expect("permissions").push(first);
            }),
            "invalid_envelope_shape",
        ),
        refused(
            "middle_wider_than_the_root",
            "every hop is compared with the one before, not the leaf alone",
            wide_middle,
            code,
        ),
        valid("constraint_left_out", "what a child leaves out it inherits", &dropped, "L0"),
        refused(
            "permission_added",
            "a child has no permission that its parent has not",
            child(&capped, |e| e["permissions"][0]["permission_key"] = "flights:book".into()),
            code,
        ),
        refused(
            "constraint_raised",
            "a numeric constraint may only be lowered",
            child(&capped, |e| e["permissions"][0]["constraints"] = json!({"max_daily_cost": 10.5})),
            code,
        ),
        refused(
            "constraint_as_text",
            "a numeric constraint is a number",
            child(&capped, |e| e["permissions"][0]["constraints"] = json!({"max_daily_cost": "1"})),
            code,
        ),
        refused(
            "constraint_added",
            "a child has no constraint that its parent has not",
            child(&capped, |e| e["permissions"][0]["constraints"] = json!({"max_total_cost": 1})),
            code,
        ),
        refused(
            "list_widened",
            "a list may only be shortened",
            child(&capped, |e| {
                e["permissions"][0]["constraints"] = json!({"allowed_domains": ["a.example", "b.example"]})
            }),
            code,
        ),
        refused(
            "hours_changed",
            "any other constraint stays as it is",
            child(&capped, |e| e["permissions"][0]["constraints"] = json!({"operating_hours": "9-16"})),
            code,
        ),
        refused(
            "constraint_restated_by_grandchild",
            "only the immediate parent's constraints can be restated",
            restated,
            code,
        ),
        refused("expiry_extended", "a child does not outlive its parent", late, "expiry_extension_in_chain"),
    ]
}
