//! Credentials from recipes.

use super::capiscio::{Badge, uuid};
use super::{Recipe, Scenario};
use portcullis_core::capiscio::did_of_key;
use portcullis_core::json::{Limits, Object, parse};
use portcullis_core::modei::{
    CatalogPin, Draft, Issuer, RootKind, Signed, delegate, issue_pinned, self_agent_id, self_issue,
    self_issuer_id,
};
use portcullis_core::{SecretKey, UnixTime, base64, sha256};
use sha2::{Digest, Sha512};
use std::collections::BTreeMap;

/// The credentials of a scenario, as they are at one moment.
pub(super) struct Wallet {
    made: BTreeMap<String, Made>,
    badges: BTreeMap<String, Badge>,
    signatures: BTreeMap<String, String>,
}

struct Made {
    signed: Signed,
    /// Who signed it, for the JWT form.
    signer: SecretKey,
    issuer: String,
    agent_id: String,
    forge: Vec<(String, String)>,
}

impl Wallet {
    /// `catalogs` are the hashes of the gate's catalogs where they are not those of the text.
    pub(super) fn new(scenario: &Scenario, now: UnixTime, catalogs: &[String]) -> Self {
        let badges =
            scenario.badges.iter().map(|(name, recipe)| (name.clone(), recipe.make(name, now))).collect();
        let signatures =
            scenario.signatures.iter().map(|(name, recipe)| (name.clone(), recipe.make(now))).collect();
        let mut wallet = Wallet { made: BTreeMap::new(), badges, signatures };
        for name in scenario.credentials.keys() {
            wallet.make(name, scenario, now, catalogs);
        }
        wallet
    }

    fn make(&mut self, name: &str, scenario: &Scenario, now: UnixTime, catalogs: &[String]) {
        if self.made.contains_key(name) {
            return;
        }
        let recipe =
            scenario.credentials.get(name).unwrap_or_else(|| panic!("no credential is named {name}"));
        let draft = draft(name, recipe, now);
        let agent = key(&recipe.agent);
        let agent_id = self_agent_id(&agent.public_key());
        let made = match (&recipe.parent, &recipe.issuer) {
            (Some(parent), None) => {
                self.make(parent, scenario, now, catalogs);
                let holder = key(&scenario.credentials[parent].agent);
                let parent = &self.made[parent];
                let signed = delegate(&parent.signed, &holder, &agent.public_key(), &draft);
                let signed = signed.unwrap_or_else(|denial| panic!("{name}: {denial}"));
                Made {
                    signed,
                    signer: holder,
                    issuer: parent.issuer.clone(),
                    agent_id,
                    forge: recipe.forge.clone(),
                }
            }
            (None, Some(issuer)) => {
                let (kind, issuer) = issuer.split_once(':').expect("platform:NAME or gate:NAME");
                let kind = if kind == "gate" { RootKind::Gate } else { RootKind::Platform };
                // A gate by its own name, which alone may pin to its catalog, or whoever it trusts.
                let is_gate = issuer.starts_with("gate_");
                let id = if is_gate { issuer.to_owned() } else { format!("issuer:{issuer}") };
                let by = Issuer { kind, id, key_id: "ik_1".into(), gate_id: None };
                let signer = key(issuer);
                let pin = recipe.pin.clone();
                let pin = pin.map(|(version, written)| {
                    let published = usize::try_from(version - 1).ok().and_then(|index| catalogs.get(index));
                    CatalogPin { version, content_hash: published.cloned().unwrap_or(written) }
                });
                let signed =
                    issue_pinned(&signer, &by, &recipe.agent, &agent.public_key(), &draft, pin.as_ref());
                Made {
                    signed,
                    signer,
                    issuer: by.id,
                    agent_id: recipe.agent.clone(),
                    forge: recipe.forge.clone(),
                }
            }
            (None, None) => {
                let issuer = self_issuer_id(&agent.public_key());
                Made {
                    signed: self_issue(&agent, &draft),
                    signer: agent,
                    issuer,
                    agent_id,
                    forge: recipe.forge.clone(),
                }
            }
            (Some(_), Some(_)) => panic!("{name} has a parent and an issuer"),
        };
        self.made.insert(name.into(), made);
    }

    /// Fills in every `{…}` of a text.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            // JSON, and no name.
            if after.starts_with(['"', '}', ' ']) {
                filled.push('{');
                rest = after;
                continue;
            }
            let (name, after) = after.split_once('}').unwrap_or_else(|| panic!("{text}: no closing brace"));
            filled.push_str(&self.value(name));
            rest = after;
        }
        filled + rest
    }

    fn value(&self, name: &str) -> String {
        if let Some(count) = name.strip_prefix("fill:") {
            return "x".repeat(count.parse().expect("a number of letters"));
        }
        if let Some(text) = name.strip_prefix("sha256:") {
            return base64::encode(&sha256(text.as_bytes()));
        }
        if let Some(text) = name.strip_prefix("sha512:") {
            return base64::encode(&Sha512::digest(text));
        }
        let (name, part) = name.split_once('.').unwrap_or((name, ""));
        if let Some(token) = self.signatures.get(name) {
            return token.clone();
        }
        if let Some(badge) = self.badges.get(name) {
            return match part {
                "" => badge.token.clone(),
                "id" => badge.id.clone(),
                "agent_id" => badge.subject.clone(),
                "issuer" => badge.issuer.clone(),
                _ => panic!("a badge has no {part}"),
            };
        }
        let made = self.made.get(name).unwrap_or_else(|| panic!("no credential is named {name}"));
        match part {
            "" => format!(":{}:", base64::encode(made.forged(made.signed.to_json()).as_bytes())),
            "jwt" => made.forged(made.signed.to_jwt(&made.signer)),
            "id" => name.into(),
            "agent_id" => made.agent_id.clone(),
            "issuer" => made.issuer.clone(),
            _ => panic!("a credential has no {part}"),
        }
    }
}

impl Made {
    fn forged(&self, text: String) -> String {
        self.forge.iter().fold(text, |text, (from, to)| {
            assert!(text.contains(from), "there is no {from} to forge");
            text.replacen(from, to, 1)
        })
    }
}

/// Fills in `{key:NAME}`, `{did:NAME}` and `{uuid:NAME}`.
pub(super) fn fill_keys(text: &str) -> String {
    let text = fill(text, "{key:", |name| base64::encode(&key(name).public_key()));
    let text = fill(&text, "{did:", |name| did_of_key(&key(name).public_key()));
    fill(&text, "{uuid:", uuid)
}

fn fill(text: &str, opening: &str, value: impl Fn(&str) -> String) -> String {
    let mut parts = text.split(opening);
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').expect("a closing brace");
        filled.push_str(&value(name));
        filled.push_str(rest);
    }
    filled
}

pub(super) fn key(owner: &str) -> SecretKey {
    SecretKey::from_seed(sha256(owner.as_bytes()))
}

fn draft(name: &str, recipe: &Recipe, now: UnixTime) -> Draft {
    let constraints = |permission: &str| match recipe.constraints.get(permission) {
        None => Object::default(),
        Some(text) => {
            let limits = Limits { bytes: 1 << 16, depth: 16, values: 1 << 12 };
            let value =
                parse(text.as_bytes(), limits).unwrap_or_else(|error| panic!("{name}: {error}")).into_owned();
            value.as_object().expect("constraints are an object").clone()
        }
    };
    Draft {
        passport_id: name.into(),
        agent_name: Some(recipe.agent.clone()),
        permissions: recipe.permissions.iter().map(|key| (key.clone(), constraints(key))).collect(),
        issued_at: now.plus_millis(recipe.issued * 1000),
        expires_at: now.plus_millis(recipe.expires * 1000),
        delegation_authority: true,
    }
}
