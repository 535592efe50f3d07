//! Proofs of requests from recipes (RFC 9421), good and bad. Written from the RFC and not
//! with the core's own signing, so that the two cannot agree on a mistake.

use super::Scenario;
use super::credential::{Wallet, key};
use super::play::Sent;
use portcullis_core::{Process, UnixTime, base64, sha256};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How a request is signed. What is left out is as it must be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofRecipe {
    /// The passport, badge or signature whose holder signs, by its name in the scenario.
    pub of: String,
    /// Who signs; the name is the seed of the key. Left out: who holds it.
    pub agent: Option<String>,
    /// The id of the key, `{…}` filled in. Left out: the holder's id.
    pub key_id: Option<String>,
    /// `{…}` filled in; `{challenge}` is what the last answer asked for, `{spent}` the nonce of
    /// the proof before, `{challenge:GATE:AGENT}` one that another process has made. Left out:
    /// the case's name.
    pub nonce: Option<String>,
    /// Seconds from now.
    #[serde(default)]
    pub created: i64,
    /// Seconds from now.
    pub expires: Option<i64>,
    /// The covered components, in order.
    pub covers: Option<Vec<String>>,
    /// What is signed instead of what is sent, by component.
    #[serde(default)]
    pub signs: BTreeMap<String, String>,
    /// The value of `Content-Digest`; empty for none.
    pub digest: Option<String>,
    #[serde(default = "label")]
    pub label: String,
    #[serde(default = "algorithm")]
    pub alg: String,
    #[serde(default = "tag")]
    pub tag: String,
    /// All parameters, instead of those above; `{created}` and `{…}` are filled in.
    pub parameters: Option<String>,
    /// Replacements in `Signature-Input`, after signing.
    #[serde(default)]
    pub forge_input: Vec<(String, String)>,
    /// Replacements in `Signature`, after signing.
    #[serde(default)]
    pub forge_signature: Vec<(String, String)>,
}

/// What a proof is made with, beside the request.
pub(super) struct Surroundings<'s> {
    pub(super) scenario: &'s Scenario,
    pub(super) case: &'s str,
    pub(super) authority: &'s str,
    pub(super) wallet: &'s Wallet,
    pub(super) challenge: Option<&'s str>,
    /// The nonce of the proof before.
    pub(super) spent: Option<&'s str>,
    pub(super) now: UnixTime,
}

impl ProofRecipe {
    /// Signs a request: adds its headers.
    pub(super) fn sign(&self, sent: &mut Sent, around: &Surroundings<'_>) {
        let signer = key(self.agent.as_deref().unwrap_or_else(|| holder(around.scenario, &self.of)));
        let body = sent.body.clone().or_else(|| sent.chunks.as_ref().map(|chunks| chunks.concat()));
        let digest = match (&self.digest, &body) {
            (Some(digest), _) => Some(around.wallet.fill(digest)).filter(|digest| !digest.is_empty()),
            (None, Some(body)) => Some(format!("sha-256=:{}:", base64::encode(&sha256(body)))),
            (None, None) => None,
        };
        sent.headers.extend(digest.map(|digest| ("content-digest".to_owned(), digest.into_bytes())));
        let covers = self.covers.clone().unwrap_or_else(|| {
            let credentials = ["agent-passport", "authorization", "x-capiscio-badge", "x-capiscio-jws"];
            let carried = |name: &&str| sent.headers.iter().any(|(one, _)| one == name);
            ["@method", "@authority", "@path", "@query"]
                .into_iter()
                .chain(credentials.into_iter().filter(carried).take(1))
                .chain(["content-digest"].into_iter().filter(carried))
                .map(str::to_owned)
                .collect()
        });
        let mut base = String::new();
        for name in &covers {
            let value = self
                .signs
                .get(name)
                .map_or_else(|| component(sent, around.authority, name), |value| around.wallet.fill(value));
            writeln!(base, "\"{name}\": {value}").expect("a text takes a line");
        }
        let names: Vec<_> = covers.iter().map(|name| format!("\"{name}\"")).collect();
        let parameters = format!("({}){}", names.join(" "), self.parameters(around));
        base.push_str("\"@signature-params\": ");
        base.push_str(&parameters);
        let signature = base64::encode(&signer.sign(base.as_bytes()));
        let label = &self.label;
        let input = forged(format!("{label}={parameters}"), &self.forge_input);
        let signature = forged(format!("{label}=:{signature}:"), &self.forge_signature);
        sent.headers.push(("signature-input".to_owned(), input.into_bytes()));
        sent.headers.push(("signature".to_owned(), signature.into_bytes()));
    }

    fn parameters(&self, around: &Surroundings<'_>) -> String {
        let seconds = around.now.as_millis() / 1000;
        let created = seconds + self.created;
        if let Some(parameters) = &self.parameters {
            let text = parameters.replace("{created}", &created.to_string());
            return around.wallet.fill(&text);
        }
        let of_holder = format!("{{{}.agent_id}}", self.of);
        let key_id = around.wallet.fill(self.key_id.as_ref().unwrap_or(&of_holder));
        let mut text = format!(";created={created}");
        if let Some(expires) = self.expires {
            write!(text, ";expires={}", seconds + expires).expect("a text takes a parameter");
        }
        let nonce = self.nonce(around);
        let (alg, tag) = (&self.alg, &self.tag);
        write!(text, ";keyid=\"{key_id}\";alg=\"{alg}\";nonce=\"{nonce}\";tag=\"{tag}\"")
            .expect("a text takes a parameter");
        text
    }

    fn nonce(&self, around: &Surroundings<'_>) -> String {
        match self.nonce.as_deref() {
            None => base64::encode_url(&sha256(around.case.as_bytes())),
            Some("{spent}") => around.spent.expect("nothing was proved yet").to_owned(),
            Some("{challenge}") => around.challenge.expect("no answer asked for a proof yet").to_owned(),
            Some(text) => match text.strip_prefix("{challenge:").and_then(|rest| rest.strip_suffix('}')) {
                Some(of) => {
                    let (gate, agent) = of.split_once(':').expect("{challenge:GATE:AGENT}");
                    let agent = sha256(&key(agent).public_key());
                    let other = Process::new([9; 32], around.now);
                    other.challenge(gate, &agent, around.now.plus_millis(60_000), &[7; 16])
                }
                None => around.wallet.fill(text),
            },
        }
    }
}

/// The agent that holds a credential.
fn holder<'s>(scenario: &'s Scenario, name: &str) -> &'s str {
    let passport = scenario.credentials.get(name).map(|recipe| &recipe.agent);
    let badge = scenario.badges.get(name).map(|recipe| &recipe.agent);
    let signature = scenario.signatures.get(name).map(|recipe| &recipe.agent);
    passport.or(badge).or(signature).unwrap_or_else(|| panic!("no credential is named {name}"))
}

/// The value of a component as it is sent: RFC 9421 sections 2.1 and 2.2.
fn component(sent: &Sent, authority: &str, name: &str) -> String {
    let target = String::from_utf8_lossy(&sent.path);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    match name {
        "@method" => sent.method.clone(),
        "@authority" => sent.authority.as_deref().unwrap_or(authority).to_lowercase(),
        "@path" => path.to_owned(),
        "@query" => format!("?{query}"),
        _ => {
            let values: Vec<_> = sent
                .headers
                .iter()
                .filter(|(header, _)| header == name)
                .map(|(_, value)| String::from_utf8_lossy(value).trim().to_owned())
                .collect();
            values.join(", ")
        }
    }
}

fn forged(text: String, replacements: &[(String, String)]) -> String {
    replacements.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from.as_str()), "there is no {from} to forge in {text}");
        text.replacen(from.as_str(), to, 1)
    })
}

/// The nonce that an answer asks for.
pub(super) fn asked(headers: &[(String, String)]) -> Option<String> {
    let (_, wanted) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("accept-signature"))?;
    nonce_in(wanted)
}

/// The nonce that a request was signed with.
pub(super) fn spent(sent: &Sent) -> Option<String> {
    let (_, input) = sent.headers.iter().find(|(name, _)| name == "signature-input")?;
    nonce_in(&String::from_utf8_lossy(input))
}

fn nonce_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once(";nonce=\"")?;
    rest.split('"').next().map(str::to_owned)
}

fn label() -> String {
    "agent".into()
}

fn algorithm() -> String {
    "ed25519".into()
}

fn tag() -> String {
    "agent-proof".into()
}
