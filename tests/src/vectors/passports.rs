//! The vectors for Modei passports.

use super::delegations::{chains, narrowing};
use super::make::{
    HOUR, NOW, changed, constrained, delegated, draft, holder, issued, json_of, key, sign_again, trust,
};
use super::{Expect, Vector};
use portcullis_core::modei::{Draft, RootKind, Signed, self_issue};
use portcullis_core::{UnixTime, base64, sha256};
use serde_json::{Value, json};

/// All vectors, made anew: from fixed seeds, so always the same.
pub fn passports() -> Vec<Vector> {
    let groups = [admitted(), shape(), chains(), signatures(), narrowing(), bindings(), standing()];
    groups.into_iter().flatten().collect()
}

fn case(name: &str, why: &str, credential: impl Into<String>, expect: Expect) -> Vector {
    Vector {
        name: name.into(),
        why: why.into(),
        now: NOW.to_iso(),
        trust: None,
        audiences: None,
        body: None,
        credential: credential.into(),
        expect,
    }
}

pub(super) fn refused(name: &str, why: &str, credential: impl Into<String>, code: &str) -> Vector {
    case(name, why, credential, Expect::Refused(code.into()))
}

pub(super) fn valid(name: &str, why: &str, signed: &Signed, provenance: &str) -> Vector {
    case(name, why, signed.to_json(), Expect::Valid(provenance.into()))
}

impl Vector {
    pub(super) fn trusting(self, trust: Value) -> Self {
        Vector { trust: Some(trust), ..self }
    }

    pub(super) fn at(self, now: UnixTime) -> Self {
        Vector { now: now.to_iso(), ..self }
    }
}

fn admitted() -> Vec<Vector> {
    let mut vectors: Vec<_> = (0..=5)
        .map(|depth| {
            let name = format!("delegated_{depth}_times");
            valid(&name, "a chain of up to five passports before the leaf is valid", &delegated(depth), "L0")
        })
        .collect();
    let jwt = delegated(1).to_jwt(&holder(0));
    let numbers = json!({"max_daily_cost": 12.5, "huge": 1e21, "tiny": 1e-7, "tied": 1_424_953_923_781_206.2, "zero": -0.0});
    let words = json!({"\u{20ac}": "\u{1f600}", "e\u{301}": ["\u{e9}", "\r\n\u{1}"], "\u{fb33}": null});
    vectors.extend([
        valid(
            "issued_by_platform",
            "a platform's passport has provenance L1",
            &issued(RootKind::Platform),
            "L1",
        )
        .trusting(trust("platform")),
        valid("issued_by_gate", "a gate's passport has provenance L2", &issued(RootKind::Gate), "L2")
            .trusting(trust("gate")),
        case("signed_as_jwt", "a JWT says the same as the envelope in it", jwt, Expect::Valid("L0".into())),
        valid(
            "numbers_of_every_kind",
            "RFC 8785 section 3.2.2.3: numbers are signed as ECMAScript writes them",
            &self_issue(&holder(0), &constrained("pp_numbers", &numbers)),
            "L0",
        ),
        valid(
            "names_ordered_by_utf16",
            "RFC 8785 section 3.2.3: members are signed in the order of their UTF-16 code units",
            &self_issue(&holder(0), &constrained("pp_words", &words)),
            "L0",
        ),
    ]);
    vectors
}

fn shape() -> Vec<Vector> {
    let plain = delegated(0);
    let text = plain.to_json();
    let own = |change: fn(&mut Value)| changed(&plain, &holder(0), change);
    let code = "invalid_envelope_shape";
    // Members that are said twice are not signed again: both readings have one text.
    let said_twice = text.replacen(r#""agent_name":"#, r#""agent_name":"Other","agent_name":"#, 1);
    let said_in_two_cases = text.replacen(r#""agent_name":"#, r#""Agent_Name":"Other","agent_name":"#, 1);
    let surrogate = text.replacen("Research Bot", r"Research \ud800Bot", 1);
    let constrained_twice = self_issue(&holder(0), &constrained("pp_two", &json!({"max_daily_cost": 5})))
        .to_json()
        .replacen(r#""max_daily_cost":5"#, r#""Max_Daily_Cost":500,"max_daily_cost":5"#, 1);
    let sized = |size: usize| {
        let with = |filler: usize| {
            self_issue(&holder(0), &constrained("pp_large", &json!({"note": "x".repeat(filler)})))
        };
        let empty = portcullis_core::json::canonical_text(with(0).envelope()).len();
        with(size - empty)
    };
    vec![
        refused(
            "schema_version_3",
            "only version 2 is supported",
            own(|e| e["schema_version"] = 3.into()),
            "unsupported_schema_version",
        ),
        refused(
            "schema_version_as_text",
            "a version that is no integer is a fault of shape",
            own(|e| e["schema_version"] = "2".into()),
            code,
        ),
        refused(
            "schema_version_with_fraction",
            "2.0 is not the integer 2",
            text.replacen(r#""schema_version":2"#, r#""schema_version":2.0"#, 1),
            code,
        ),
        refused(
            "member_missing",
            "every member is required, nullable ones too",
            own(|e| {
                e["provenance"].as_object_mut().expect("object").remove("gate_id");
            }),
            code,
        ),
        refused(
            "member_unknown",
            "no member beside the known ones is allowed",
            own(|e| e["note"] = "x".into()),
            code,
        ),
        refused("member_twice", "two readers may take two different members", said_twice, code),
        refused(
            "member_in_two_cases",
            "a reader that matches names without case may take the other",
            said_in_two_cases,
            code,
        ),
        refused(
            "constraint_in_two_cases",
            "free-form objects are held to the same rule",
            constrained_twice,
            code,
        ),
        refused(
            "authority_as_text",
            "delegation_authority is true or false and nothing that may be read so",
            own(|e| e["delegation_authority"] = "false".into()),
            code,
        ),
        refused(
            "issuer_type_unknown",
            "there are four types of issuer",
            own(|e| e["provenance"]["issuer"]["type"] = "root".into()),
            code,
        ),
        refused("passport_id_empty", "ids are not empty", own(|e| e["passport_id"] = "".into()), code),
        refused("trailing_bytes", "nothing follows the passport", format!("{text} {{}}"), code),
        refused("lone_surrogate", "half of a surrogate pair is no text", surrogate, code),
        refused(
            "integer_beyond_two_to_the_53",
            "RFC 7493 section 2.2: readers round such integers differently",
            own(|e| e["permissions"][0]["constraints"] = json!({"max_daily_cost": 1})).replacen(
                r#""max_daily_cost":1"#,
                r#""max_daily_cost":9007199254740993"#,
                1,
            ),
            code,
        ),
        refused(
            "nested_too_deep",
            "the parser's depth is bounded",
            own(|e| e["verification_evidence"] = json!([1])).replacen(
                "[1]",
                &format!("{}{}", "[".repeat(80), "]".repeat(80)),
                1,
            ),
            code,
        ),
        refused("no_json", "a passport is JSON", "passport", code),
        refused(
            "signature_beside_nothing",
            "a passport is an envelope and a signature",
            r#"{"signature":""}"#,
            code,
        ),
        valid(
            "envelope_of_65536_bytes",
            "an envelope has at most 65,536 canonical bytes",
            &sized(65_536),
            "L0",
        ),
        refused(
            "envelope_of_65537_bytes",
            "an envelope has at most 65,536 canonical bytes",
            sized(65_537).to_json(),
            "envelope_too_large",
        ),
    ]
}

fn signatures() -> Vec<Vector> {
    let plain = delegated(0);
    let json = json_of(&plain);
    let with_signature = |signature: String| {
        let mut whole = json.clone();
        whole["signature"] = signature.into();
        whole.to_string()
    };
    let right = base64::decode(json["signature"].as_str().expect("a signature")).expect("base64");
    let flipped = |at: usize| {
        let mut bytes = right.clone();
        bytes[at] ^= 1;
        with_signature(base64::encode(&bytes))
    };
    let s_plus_order = {
        // RFC 8032 section 5.1: the group's order, little-endian. S and S + L fit the
        // same equation; only the smaller is a signature (section 8.4).
        let order = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10_u8,
        ];
        let mut bytes = right.clone();
        let mut carry = 0_u16;
        for (byte, add) in bytes[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        with_signature(base64::encode(&bytes))
    };
    let weak_key = {
        // The neutral element: R = S = 0 would fit every message.
        let mut point = [0; 32];
        point[0] = 1;
        let mut whole = json.clone();
        let envelope = &mut whole["passport_json"];
        envelope["identity"]["public_key"] = base64::encode(&point).into();
        envelope["identity"]["agent_id"] = portcullis_core::modei::self_agent_id(&point).into();
        envelope["provenance"]["issuer"]["id"] = portcullis_core::modei::self_issuer_id(&point).into();
        let mut signature = [0; 64];
        signature[0] = 1;
        whole["signature"] = base64::encode(&signature).into();
        whole.to_string()
    };
    let standard = json["signature"].as_str().expect("a signature");
    let invalid = "signature_invalid";
    vec![
        refused("signature_r_flipped", "one bit of R changes the signature", flipped(0), invalid),
        refused("signature_s_flipped", "one bit of S changes the signature", flipped(32), invalid),
        refused(
            "signature_s_plus_order",
            "RFC 8032 section 8.4: S must be below the group's order",
            s_plus_order,
            invalid,
        ),
        refused(
            "signature_by_another_key",
            "the leaf of a chain is signed by its parent's holder",
            changed(&delegated(1), &holder(1), |_| {}),
            invalid,
        ),
        refused(
            "envelope_changed",
            "what is signed is what counts",
            plain.to_json().replacen("Research Bot", "Research Bat", 1),
            invalid,
        ),
        refused("key_of_small_order", "under such a key one signature fits every message", weak_key, invalid),
        refused(
            "signature_url_safe",
            "the signature is standard base64",
            with_signature(standard.replace(['+', '/'], "-")),
            "signature_malformed",
        ),
        refused(
            "signature_unpadded",
            "the signature is padded",
            with_signature(standard.trim_end_matches('=').into()),
            "signature_malformed",
        ),
        refused(
            "signature_short",
            "the signature has 64 bytes",
            with_signature(base64::encode(&right[..63])),
            "signature_malformed",
        ),
        refused(
            "signature_empty",
            "the signature is not empty",
            with_signature(String::new()),
            "signature_malformed",
        ),
        refused(
            "key_short",
            "a key has 32 bytes",
            changed(&plain, &holder(0), |e| e["identity"]["public_key"] = base64::encode(&[7; 31]).into()),
            "public_key_malformed",
        ),
        refused(
            "issuer_not_at_hand",
            "without the issuer's key nothing can be said",
            issued(RootKind::Platform).to_json(),
            "signature_key_unavailable",
        ),
        refused(
            "issuer_unknown",
            "an issuer that is not in the trust material is not trusted",
            issued(RootKind::Platform).to_json(),
            "signature_key_unavailable",
        )
        .trusting(json!({"self_issued": {"actions": ["*"]}})),
        refused(
            "issuer_of_another_type",
            "a platform's key signs no gate's passports",
            issued(RootKind::Platform).to_json(),
            "signature_key_unavailable",
        )
        .trusting(trust("gate")),
        refused(
            "issuer_impersonated",
            "the issuer's key decides, not its name",
            changed(&issued(RootKind::Platform), &key("mallory"), |_| {}),
            invalid,
        )
        .trusting(trust("platform")),
    ]
}

fn bindings() -> Vec<Vector> {
    let plain = delegated(0);
    let own = |change: fn(&mut Value)| changed(&plain, &holder(0), change);
    let child = delegated(1);
    let of_child = |change: fn(&mut Value)| changed(&child, &holder(0), change);
    let other_story = {
        let wide = self_issue(
            &holder(0),
            &Draft {
                permissions: vec![
                    ("flights:search".into(), Default::default()),
                    ("flights:book".into(), Default::default()),
                ],
                ..draft("pp_root")
            },
        );
        let mut whole = json_of(&delegated(2));
        whole["passport_json"]["provenance"]["delegation_chain"][0] = json_of(&wide);
        sign_again(&mut whole, &holder(1));
        whole.to_string()
    };
    let code = "invalid_envelope_shape";
    let foreign_agent = portcullis_core::modei::self_agent_id(&sha256(b"another key"));
    let mut issued_in_anothers_name = json_of(&issued(RootKind::Platform));
    issued_in_anothers_name["passport_json"]["identity"]["agent_id"] = foreign_agent.into();
    sign_again(&mut issued_in_anothers_name, &key("acme"));
    vec![
        refused(
            "agent_id_of_another_key",
            "agent_id is derived from the key",
            own(|e| e["identity"]["agent_id"] = "agent_self_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into()),
            code,
        ),
        refused(
            "issuer_id_of_another_key",
            "the id of a self-issuer is derived from the key",
            own(|e| e["provenance"]["issuer"]["id"] = format!("self:{}", "0".repeat(64)).into()),
            code,
        ),
        refused(
            "agent_id_taken_from_a_key",
            "an issuer gives no agent the id of another key",
            issued_in_anothers_name.to_string(),
            code,
        )
        .trusting(trust("platform")),
        refused(
            "permission_twice",
            "which of two equal permissions counts is nobody's to guess",
            own(|e| {
                let first = e["permissions"][0].clone();
                e["permissions"].as_array_mut().expect("permissions").push(first);
            }),
            code,
        ),
        refused(
            "id_with_line_feed",
            "ids are printable, as they go into headers and records",
            own(|e| e["passport_id"] = "pp\nx-gate-tier: 3".into()),
            code,
        ),
        refused(
            "time_unreadable",
            "a time is a time",
            own(|e| e["provenance"]["expires_at"] = "never".into()),
            code,
        ),
        refused(
            "time_that_never_was",
            "2026 has no 29 February",
            own(|e| e["provenance"]["issued_at"] = "2026-02-29T00:00:00.000Z".into()),
            code,
        ),
        refused(
            "expires_before_it_is_issued",
            "a window has a beginning before its end",
            own(|e| e["provenance"]["issued_at"] = "2026-06-02T12:00:00.000Z".into()),
            code,
        ),
        refused(
            "child_of_type_self",
            "a delegated passport is of type delegate",
            of_child(|e| e["provenance"]["issuer"]["type"] = "self".into()),
            code,
        ),
        refused(
            "child_names_another_root",
            "issuer.id of a delegate names the root",
            of_child(|e| e["provenance"]["issuer"]["id"] = "delegate:pp_other".into()),
            code,
        ),
        refused(
            "child_with_another_key_id",
            "key_id is inherited",
            of_child(|e| e["provenance"]["issuer"]["key_id"] = "ik_9".into()),
            code,
        ),
        refused(
            "child_of_a_gate_it_never_had",
            "gate_id is inherited from gate-issued roots only",
            of_child(|e| e["provenance"]["gate_id"] = "gate_flights".into()),
            code,
        ),
        refused(
            "chain_within_the_chain_differs",
            "each passport of a chain holds the part of it that came before",
            other_story,
            code,
        ),
    ]
}

fn standing() -> Vec<Vector> {
    let plain = delegated(0);
    let child = delegated(2);
    let (start, end) = (NOW.plus_millis(-HOUR - 60_000), NOW.plus_millis(HOUR + 60_000));
    let with = |member: &str, value: Value| {
        let mut trust = trust("platform");
        trust[member] = value;
        trust
    };
    let issuer = portcullis_core::modei::self_issuer_id(&holder(0).public_key());
    let middle = portcullis_core::modei::self_agent_id(&holder(1).public_key());
    let mut closed = trust("platform");
    closed.as_object_mut().expect("trust").remove("self_issued");
    vec![
        refused(
            "window_one_millisecond_early",
            "60 s of skew and no more",
            plain.to_json(),
            "passport_not_yet_valid",
        )
        .at(start.plus_millis(-1)),
        valid("window_just_open", "60 s of skew", &plain, "L0").at(start),
        valid("window_nearly_closed", "60 s of skew", &plain, "L0").at(end.plus_millis(-1)),
        refused("window_just_closed", "60 s of skew and no more", plain.to_json(), "passport_expired")
            .at(end),
        refused(
            "self_issued_without_opt_in",
            "self-issued passports are admitted where a gate opts in",
            plain.to_json(),
            "self_issued_not_allowed",
        )
        .trusting(closed),
        refused("revoked", "a revoked passport is refused", plain.to_json(), "passport_revoked")
            .trusting(with("revoked_passports", json!([{"issuer": issuer, "passport_id": "pp_root"}]))),
        refused(
            "ancestor_revoked",
            "what was delegated from a revoked passport is refused",
            child.to_json(),
            "passport_revoked",
        )
        .trusting(with("revoked_passports", json!([{"issuer": issuer, "passport_id": "pp_hop_1"}]))),
        valid("same_id_of_another_issuer_revoked", "ids are unique within an issuer only", &plain, "L0")
            .trusting(with(
                "revoked_passports",
                json!([{"issuer": "issuer:acme", "passport_id": "pp_root"}]),
            )),
        refused(
            "delegating_agent_disabled",
            "what a disabled agent delegated is refused",
            child.to_json(),
            "agent_disabled",
        )
        .trusting(with("disabled_agents", json!([{"issuer": issuer, "agent_id": middle}]))),
    ]
}
