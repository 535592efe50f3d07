//! Chains of passports that the input describes, each signed by whoever should sign it:
//! what a fuzzer cannot do to signed text.

use super::gate::{NOW, issuers};
use super::keys::key;
use super::passport::LIMITS;
use super::{Answer, envelope};
use portcullis_core::modei::{self_agent_id, self_issuer_id};
use portcullis_core::{base64, json};
use serde_json::{Value, json};

/// Reads the input as a recipe for a chain of passports, makes and signs it, judges it.
/// The recipe's zero bytes mean what an honest issuer does, so short inputs are good
/// passports, and each further byte can spoil something.
pub fn delegation(input: &[u8]) -> Answer {
    let recipe = &mut Recipe { rest: input };
    let root = recipe.number(3);
    let depth = recipe.number(7);
    let mut links: Vec<Value> = Vec::new();
    for hop in 0..=depth {
        let mut envelope = honest(root, hop, &links, recipe);
        for _ in 0..recipe.number(4) {
            edit(&mut envelope, &links, recipe);
        }
        let Some(link) = sealed(envelope) else { return Answer::Refused };
        links.push(link);
    }
    let passport = links.last().expect("at least the root").to_string();
    if envelope::judge(passport.as_bytes()).is_ok() { Answer::Accepted } else { Answer::Refused }
}

/// The input, read byte by byte; behind its end stand zeros.
struct Recipe<'i> {
    rest: &'i [u8],
}

impl Recipe<'_> {
    fn byte(&mut self) -> u8 {
        match self.rest.split_first() {
            Some((byte, rest)) => {
                self.rest = rest;
                *byte
            }
            None => 0,
        }
    }

    fn number(&mut self, below: usize) -> usize {
        usize::from(self.byte()) % below
    }

    fn one_of<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[self.number(choices.len())]
    }
}

/// What an honest issuer or holder writes, but for the permissions, which it may narrow
/// or widen, and the time.
fn honest(root: usize, hop: usize, links: &[Value], recipe: &mut Recipe<'_>) -> Value {
    let public_key = key(&format!("agent {hop}")).public_key();
    let parent = links.last().map(|link| &link["passport_json"]);
    let issuer = match (parent, root.checked_sub(1)) {
        (Some(parent), _) => json!({
            "type": "delegate",
            "id": format!("delegate:{}", links[0]["passport_json"]["passport_id"].as_str().unwrap_or_default()),
            "key_id": parent["provenance"]["issuer"]["key_id"],
        }),
        (None, Some(managed)) => {
            let (issuer, _) = &issuers()[managed];
            json!({"type": issuer.kind.name(), "id": issuer.id, "key_id": issuer.key_id})
        }
        (None, None) => json!({"type": "self", "id": self_issuer_id(&public_key), "key_id": "self"}),
    };
    let inherited = |member: &str| parent.map_or(Value::Null, |parent| parent["provenance"][member].clone());
    let gate_id = if root == 2 && hop == 0 { "gate_tower".into() } else { inherited("gate_id") };
    let is_named = parent.is_none() && root > 0;
    let minutes = i64::from(recipe.byte().cast_signed());
    json!({
        "delegation_authority": true,
        "identity": {
            "agent_id": if is_named { format!("agent {hop}").replace(' ', "_") } else { self_agent_id(&public_key) },
            "agent_name": null,
            "public_key": base64::encode(&public_key),
        },
        "passport_id": format!("pp_{hop}"),
        "permissions": permissions(parent, recipe),
        "provenance": {
            "catalog_content_hash": inherited("catalog_content_hash"),
            "catalog_version": inherited("catalog_version"),
            "delegation_chain": if links.is_empty() { Value::Null } else { links.into() },
            "expires_at": NOW.plus_millis(3_600_000 - minutes * 60_000).to_iso(),
            "gate_id": gate_id,
            "issued_at": NOW.plus_millis(-3_600_000 - minutes * 60_000).to_iso(),
            "issuer": issuer,
        },
        "schema_version": 2,
        "verification_evidence": [],
    })
}

/// The parent's permissions, or up to three of any kind.
fn permissions(parent: Option<&Value>, recipe: &mut Recipe<'_>) -> Value {
    let count = recipe.number(4);
    match parent {
        Some(parent) if count == 0 => parent["permissions"].clone(),
        _ => (0..count.max(1)).map(|_| permission(recipe)).collect(),
    }
}

fn permission(recipe: &mut Recipe<'_>) -> Value {
    let mut constraints = serde_json::Map::new();
    let key = *recipe.one_of(&["flights:search", "flights:book", "hotels:search", ""]);
    for _ in 0..recipe.number(4) {
        let dimension = *recipe.one_of(&DIMENSIONS);
        constraints.insert(dimension.into(), limit(recipe));
    }
    json!({"permission_key": key, "constraints": constraints})
}

const DIMENSIONS: [&str; 8] = [
    "max_daily_cost",
    "allowed_domains",
    "rate_limit_per_minute",
    "allowed_paths",
    "operating_hours",
    "core:cost:daily",
    "Max_Daily_Cost",
    "max_per_action_cost",
];

fn limit(recipe: &mut Recipe<'_>) -> Value {
    let number = recipe.byte();
    match recipe.number(6) {
        0 => number.into(),
        1 => (0..3_u8).filter(|bit| number >> bit & 1 == 1).map(|bit| json!(format!("host{bit}"))).collect(),
        2 => (f64::from(number) * 0.3 - 9.0).into(),
        3 => (number > 9).into(),
        4 => json!({"from": number, "to": [number, {}]}),
        _ => other(recipe),
    }
}

/// Puts another value into one place of an envelope.
fn edit(envelope: &mut Value, links: &[Value], recipe: &mut Recipe<'_>) {
    let place = *recipe.one_of(&PLACES);
    let value = match recipe.number(4) {
        // What another passport of the chain has there.
        0 => links.get(recipe.number(6)).and_then(|link| link["passport_json"].pointer(place)).cloned(),
        1 => Some(limit(recipe)),
        2 => Some(format!("pp_{}", recipe.byte()).into()),
        _ => Some(other(recipe)),
    };
    if let (Some(slot), Some(value)) = (envelope.pointer_mut(place), value) {
        *slot = value;
    }
}

const PLACES: [&str; 26] = [
    "/passport_id",
    "/identity/agent_id",
    "/identity/agent_name",
    "/identity/public_key",
    "/permissions",
    "/permissions/0",
    "/permissions/0/permission_key",
    "/permissions/0/constraints",
    "/provenance/issuer/type",
    "/provenance/issuer/id",
    "/provenance/issuer/key_id",
    "/provenance/gate_id",
    "/provenance/catalog_content_hash",
    "/provenance/catalog_version",
    "/provenance/delegation_chain",
    "/provenance/delegation_chain/0",
    "/provenance/delegation_chain/1",
    "/provenance/delegation_chain/0/signature",
    "/provenance/delegation_chain/1/passport_json/provenance/delegation_chain",
    "/provenance/delegation_chain/1/passport_json/permissions/0/constraints",
    "/provenance/delegation_chain/2/passport_json/provenance/delegation_chain/0/signature",
    "/provenance/issued_at",
    "/provenance/expires_at",
    "/delegation_authority",
    "/schema_version",
    "/verification_evidence",
];

/// A value that is special somewhere.
fn other(recipe: &mut Recipe<'_>) -> Value {
    let text = *recipe.one_of(&OTHERS);
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

const OTHERS: [&str; 32] = [
    "null",
    "true",
    "false",
    "{}",
    "[]",
    "0",
    "2",
    "2.0",
    "-0.0",
    "1e21",
    "9007199254740993",
    "12.5",
    "1e-7",
    "\"\"",
    "self",
    "platform",
    "gate",
    "delegate",
    "self:",
    "delegate:pp_0",
    "delegate:pp_1",
    "issuer:acme",
    "issuer:tower",
    "ik_1",
    "agent_self_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "2026-06-01T12:00:00.000Z",
    "2026-06-01T12:00:00Z",
    "9999-12-31T23:59:59.999Z",
    "\"a\\u0000\\ud83d\\ude00\\u00e9\"",
    "[{\"permission_key\":\"flights:search\",\"constraints\":{}}]",
    "[{\"permission_key\":\"a\",\"constraints\":{}},{\"permission_key\":\"a\",\"constraints\":{\"max_daily_cost\":5}}]",
];

/// The envelope and its signature, by whoever should sign it; no signature, if that is
/// none of ours; nothing, where the strict parser cannot read what is to be signed.
fn sealed(envelope: Value) -> Option<Value> {
    let text = envelope.to_string();
    let parsed = json::parse(text.as_bytes(), LIMITS).ok()?;
    let message = json::canonical_text(&parsed);
    let signature = envelope::signer(&parsed).map_or([0x5a; 64], |key| key.sign(message.as_bytes()));
    Some(json!({"passport_json": envelope, "signature": base64::encode(&signature)}))
}
