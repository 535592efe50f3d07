//! Thousands of mutated passports, judged by the gate and by Modei's own verifier. They
//! agree, reason code included, except as `tests/differential/exceptions.toml` says.
//!
//! The mutations, the client's verdict and the features that exceptions are about come
//! from one Python process (`tests/python/mutations.py`, `oracle.py`): features are
//! found there in the text alone, by code that knows the format and not this gate.

use crate::sdk::Sdk;
use portcullis_core::base64;
use portcullis_core::modei::{SelfContained, from_json, verify};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Seeds the mutations. `PORTCULLIS_DIFFERENTIAL_SEED` and `…_COUNT` try others.
const SEED: u64 = 20_260_301;

/// The edits by themselves make about 1,900 cases; the rest are combined at random.
const COUNT: u64 = 4_000;

/// Every reason that Modei's verifier can give without its backend. The mutations must
/// reach each of them, or agreement on it says nothing.
const MODEI_REASONS: [&str; 12] = [
    "delegation_authority_missing",
    "delegation_chain_invalid_root",
    "delegation_chain_too_deep",
    "envelope_too_large",
    "expiry_extension_in_chain",
    "invalid_envelope_shape",
    "permission_elevation_in_chain",
    "public_key_malformed",
    "signature_invalid",
    "signature_key_unavailable",
    "signature_malformed",
    "unsupported_schema_version",
];

#[test]
fn the_gate_and_modeis_verifier_agree_but_for_listed_exceptions() {
    let (seed, count) = (setting("SEED", SEED), setting("COUNT", COUNT));
    let rules = Rules::read();
    let mut sdk = Sdk::start();
    let mut tally = Tally::default();
    let mut failures = Vec::new();

    let mut answer = sdk.ask("mutants", json!({ "seed": seed, "count": count }));
    while answer.get("bases").is_none() {
        let case = Case::read(&answer);
        tally.applied.extend(case.applied.iter().cloned());
        match rules.judge(&case) {
            Judgement::Agreed => tally.agree(&case),
            Judgement::Excepted(features) => tally.except(&features),
            Judgement::Failed(problem) => failures.push((problem, case)),
        }
        answer = sdk.next();
    }
    let names = |of: &str| serde_json::from_value::<Vec<String>>(answer[of].clone()).unwrap();
    let (bases, edits) = (names("bases"), names("edits"));

    println!("seed {seed}: {}", tally.report());
    // One failure of each sort, at its smallest, is what a person can read.
    let mut shown = BTreeMap::new();
    for (problem, case) in &failures {
        shown.entry((problem.clone(), case.modei.clone(), case.gate)).or_insert(case);
    }
    let mut report = String::new();
    for ((problem, ..), case) in shown {
        let case = shrink(&mut sdk, seed, &rules, &bases, case.clone());
        writeln!(report, "\n{problem}\n{case}").unwrap();
    }
    assert!(failures.is_empty(), "seed {seed}: {} of {count} cases disagree{report}", failures.len());

    let dead: Vec<_> = rules.names().filter(|feature| !tally.excepted.contains_key(*feature)).collect();
    assert!(dead.is_empty(), "seed {seed}: exceptions that no case needs: {dead:?}");
    let unseen: Vec<_> =
        MODEI_REASONS.into_iter().filter(|reason| !tally.agreed.contains_key(*reason)).collect();
    assert!(unseen.is_empty(), "seed {seed}: reasons that no case reached: {unseen:?}");
    let idle: Vec<_> = edits.iter().filter(|edit| !tally.applied.contains(*edit)).collect();
    assert!(idle.is_empty(), "seed {seed}: edits that found nothing to edit: {idle:?}");
    assert!(tally.agreed.contains_key("valid"), "seed {seed}: no case was admitted");
}

fn setting(name: &str, default: u64) -> u64 {
    let name = format!("PORTCULLIS_DIFFERENTIAL_{name}");
    std::env::var(&name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// One mutated passport and both verdicts.
#[derive(Clone)]
struct Case {
    recipe: Value,
    applied: Vec<String>,
    text: Vec<u8>,
    features: BTreeSet<String>,
    modei: String,
    gate: &'static str,
}

impl Case {
    fn read(answer: &Value) -> Self {
        let text = base64::decode(answer["text"].as_str().unwrap()).unwrap();
        let gate = match verify(&from_json(text.clone()), &SelfContained) {
            Ok(_) => "valid",
            Err(denial) => denial.reason.code(),
        };
        Case {
            recipe: answer["recipe"].clone(),
            applied: serde_json::from_value(answer["applied"].clone()).unwrap(),
            features: serde_json::from_value(answer["features"].clone()).unwrap(),
            modei: answer["sdk"].as_str().unwrap().to_owned(),
            text,
            gate,
        }
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.text);
        let start: String = text.chars().take(3_000).collect();
        let rest = if start.len() < text.len() { "…" } else { "" };
        let Case { recipe, features, modei, gate, .. } = self;
        write!(
            formatter,
            "  Modei: {modei}\n  gate: {gate}\n  features: {features:?}\n  recipe: {recipe}\n  text ({} bytes): {start}{rest}",
            self.text.len()
        )
    }
}

/// What the exceptions make of a case.
enum Judgement {
    Agreed,
    Excepted(Vec<String>),
    Failed(String),
}

struct Rules(BTreeMap<String, Rule>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    feature: String,
    reason: String,
    modei: Vec<String>,
    gate: String,
}

impl Rules {
    fn read() -> Self {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            rule: Vec<Rule>,
        }
        let file: File = toml::from_str(include_str!("../differential/exceptions.toml")).unwrap();
        let mut rules = BTreeMap::new();
        for rule in file.rule {
            assert!(!rule.reason.is_empty(), "the exception {} has no reason", rule.feature);
            assert_ne!(rule.gate, "valid", "{}: the gate is never the more lenient one", rule.feature);
            let feature = rule.feature.clone();
            assert!(rules.insert(feature, rule).is_none(), "an exception is listed twice");
        }
        Rules(rules)
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    fn judge(&self, case: &Case) -> Judgement {
        let fail = |problem: &str| Judgement::Failed(problem.to_owned());
        if let Some(unknown) = case.features.iter().find(|feature| !self.0.contains_key(*feature)) {
            return fail(&format!("the feature {unknown} has no exception"));
        }
        if case.gate == "valid" && (case.modei != "valid" || !case.features.is_empty()) {
            return fail("the gate admits what must be refused");
        }
        // What no application gets to read has no code of Modei's.
        if case.gate == case.modei || (case.modei == "unreadable" && case.gate == "invalid_envelope_shape") {
            return Judgement::Agreed;
        }
        let fits = |rule: &Rule| {
            rule.gate == case.gate && rule.modei.iter().any(|modei| *modei == "any" || *modei == case.modei)
        };
        let fitting: Vec<_> =
            case.features.iter().filter(|feature| self.0.get(*feature).is_some_and(fits)).cloned().collect();
        if fitting.is_empty() {
            fail("they differ, and no exception says why")
        } else {
            Judgement::Excepted(fitting)
        }
    }
}

/// How many cases came out how.
#[derive(Default)]
struct Tally {
    agreed: BTreeMap<String, usize>,
    excepted: BTreeMap<String, usize>,
    exceptions: usize,
    applied: BTreeSet<String>,
}

impl Tally {
    fn agree(&mut self, case: &Case) {
        *self.agreed.entry(case.modei.clone()).or_default() += 1;
    }

    fn except(&mut self, features: &[String]) {
        self.exceptions += 1;
        for feature in features {
            *self.excepted.entry(feature.clone()).or_default() += 1;
        }
    }

    fn report(&self) -> String {
        let mut report = format!("{} agree", self.agreed.values().sum::<usize>());
        for (verdict, count) in &self.agreed {
            write!(report, "\n  {count:5} {verdict}").unwrap();
        }
        write!(report, "\n{} differ by exception (one case may fit several)", self.exceptions).unwrap();
        for (feature, count) in &self.excepted {
            write!(report, "\n  {count:5} {feature}").unwrap();
        }
        report
    }
}

/// The smallest case, by the recipe, that fails with the same verdicts.
fn shrink(sdk: &mut Sdk, seed: u64, rules: &Rules, bases: &[String], mut smallest: Case) -> Case {
    loop {
        let smaller = simpler(&smallest.recipe, bases).into_iter().find_map(|recipe| {
            let case = Case::read(&sdk.ask("mutant", json!({ "seed": seed, "recipe": recipe })));
            let same = case.modei == smallest.modei && case.gate == smallest.gate;
            (same && matches!(rules.judge(&case), Judgement::Failed(_))).then_some(case)
        });
        match smaller {
            Some(case) => smallest = case,
            None => return smallest,
        }
    }
}

/// Recipes with one thing less. Each is simpler by an order that has an end.
fn simpler(recipe: &Value, bases: &[String]) -> Vec<Value> {
    let mut recipes = Vec::new();
    let mut with = |name: &str, value: Value| {
        if recipe[name] != value {
            let mut recipe = recipe.clone();
            recipe[name] = value;
            recipes.push(recipe);
        }
    };
    for list in ["meaning", "signature", "text"] {
        let edits = recipe[list].as_array().unwrap();
        for index in 0..edits.len() {
            let mut edits = edits.clone();
            edits.remove(index);
            with(list, Value::Array(edits));
        }
    }
    with("signing", json!("right"));
    with("nested", json!(true));
    for base in bases.iter().take_while(|base| recipe["base"] != **base) {
        with("base", json!(base));
    }
    recipes
}
