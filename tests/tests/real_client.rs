//! The unmodified Modei client makes credentials that the core verifies, and verifies
//! those that the core makes.

use crate::sdk::Sdk;
use portcullis_core::json::{self, Limits, Number, Object, Value, canonical_text};
use portcullis_core::modei::{
    self, Draft, Form, Passport, Provenance, RootKind, SelfContained, Signed, from_json, self_agent_id,
    self_issuer_id, verify,
};
use portcullis_core::{PublicKey, Reason, SecretKey, UnixTime, base64, check_window, sha256};
use proptest::prelude::{Strategy, any, prop};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;

const HOUR: i64 = 3_600;

#[test]
fn the_core_verifies_what_the_client_makes_at_every_depth() {
    let mut sdk = Sdk::start();
    for depth in 0..=5 {
        let hops: Vec<_> = (0..=depth).map(|hop| Hop::plain(hop, HOUR * (10 - i64::from(hop)))).collect();
        let issued = sdk.issue(&hops);

        let passport = verified(&issued);
        assert_eq!(passport.form(), Form::Envelope);
        assert_eq!(passport.depth(), usize::from(depth));
        assert_eq!(passport.provenance(), Provenance::L0);
        assert_eq!(passport.root().kind(), RootKind::SelfIssued);
        assert_eq!(passport.root().issuer(), self_issuer_id(&hops[0].key().public_key()));
        assert_eq!(passport.root().key_id(), "self");
        assert_eq!(passport.root().key(), &hops[0].key().public_key());
        assert_eq!(passport.public_key(), &hops[usize::from(depth)].key().public_key());
        assert_eq!(passport.agent_name(), Some(format!("agent {depth}").as_str()));

        let agents: Vec<_> = passport.hops().map(|hop| hop.agent_id().to_owned()).collect();
        let expected: Vec<_> = hops.iter().map(|hop| self_agent_id(&hop.key().public_key())).collect();
        assert_eq!(agents, expected, "root first, the holder last");
        assert_eq!(passport.agent_id(), expected[usize::from(depth)]);

        let said = serde_json::from_str::<serde_json::Value>(&issued).unwrap();
        let envelope = &said["passport_json"];
        assert_eq!(passport.id(), envelope["passport_id"].as_str().unwrap());
        // The window is the narrowest of all hops: the last was issued last and expires first.
        let time = |name: &str| UnixTime::from_iso(envelope["provenance"][name].as_str().unwrap()).unwrap();
        assert_eq!(passport.issued_at(), time("issued_at"));
        assert_eq!(passport.expires_at(), time("expires_at"));
    }
}

#[test]
fn constraints_are_merged_down_the_chain_of_the_clients_passports() {
    let mut sdk = Sdk::start();
    let constraints = [
        json!({
            "max_per_action_cost": 500, "rate_limit_per_minute": 60, "allowed_domains": ["a.example", "b.example"],
            "operating_hours": {"from": "08:00", "days": [1, 2]}, "core:region": "eu",
        }),
        // Narrows one, keeps one, leaves the rest out.
        json!({"max_per_action_cost": 200.5, "allowed_domains": ["b.example"], "core:region": "eu"}),
        json!({"max_per_action_cost": 0}),
    ];
    let expected = [
        r#"{"allowed_domains":["a.example","b.example"],"core:region":"eu","max_per_action_cost":500,"operating_hours":{"days":[1,2],"from":"08:00"},"rate_limit_per_minute":60}"#,
        r#"{"allowed_domains":["b.example"],"core:region":"eu","max_per_action_cost":200.5,"operating_hours":{"days":[1,2],"from":"08:00"},"rate_limit_per_minute":60}"#,
        r#"{"allowed_domains":["b.example"],"core:region":"eu","max_per_action_cost":0,"operating_hours":{"days":[1,2],"from":"08:00"},"rate_limit_per_minute":60}"#,
    ];
    for (depth, expected) in expected.iter().enumerate() {
        let hop = |(index, constraints): (usize, &serde_json::Value)| Hop {
            permissions: json!([
                {"permission_key": "flights:book", "constraints": constraints},
                {"permission_key": "flights:search", "constraints": {}},
            ]),
            ..Hop::plain(u8::try_from(index).unwrap(), HOUR)
        };
        let hops: Vec<_> = constraints.iter().take(depth + 1).enumerate().map(hop).collect();
        let passport = verified(&sdk.issue(&hops));
        let merged: Vec<_> = passport.permissions().iter().map(|(name, _)| name).collect();
        assert_eq!(merged, ["flights:book", "flights:search"]);
        let book = Value::Object(passport.permissions().get("flights:book").unwrap().clone());
        assert_eq!(canonical_text(&book), *expected);
        assert!(passport.permissions().get("flights:search").unwrap().is_empty());
    }
}

#[test]
fn names_beyond_ascii_pass_from_the_client_to_the_core_unchanged() {
    let mut sdk = Sdk::start();
    for name in [
        "Ω",
        "e\u{301} is not é",
        "\u{1f6c2}\u{10ffff}",
        "\u{202e}right to left",
        "\0\u{1f}\u{7f}\u{2028}\u{feff}",
        "\"quoted\" \\ /",
        "",
    ] {
        let hop = Hop {
            name: Some(name.to_owned()),
            permissions: json!([{"permission_key": name, "constraints": {name: [name]}}]),
            ..Hop::plain(0, HOUR)
        };
        let passport = verified(&sdk.issue(&[hop]));
        assert_eq!(passport.agent_name(), Some(name));
        let constraints = passport.permissions().get(name).unwrap();
        let entry = constraints.get(name).and_then(Value::as_array).and_then(<[_]>::first);
        assert_eq!(entry.and_then(Value::as_str), Some(name));
    }
    let nameless = verified(&sdk.issue(&[Hop { name: None, ..Hop::plain(0, HOUR) }]));
    assert_eq!(nameless.agent_name(), None);
}

#[test]
fn a_passport_of_the_client_is_judged_expired_a_minute_after_it_expires() {
    let passport = verified(&Sdk::start().issue(&[Hop::plain(0, HOUR)]));
    let (from, until) = (passport.issued_at(), passport.expires_at());
    assert_eq!(until.as_millis() - from.as_millis(), HOUR * 1_000);
    let judged = |now: UnixTime| check_window(&passport, now).err().map(|denial| denial.reason);
    assert_eq!(judged(from.plus_millis(-60_001)), Some(Reason::PassportNotYetValid));
    assert_eq!(judged(from.plus_millis(-60_000)), None);
    assert_eq!(judged(until.plus_millis(59_999)), None);
    assert_eq!(judged(until.plus_millis(60_000)), Some(Reason::PassportExpired));
}

#[test]
fn the_client_cannot_issue_what_expired_before_it_began() {
    // It signs such a passport and verifies it; a gate does not take it for one.
    let mut sdk = Sdk::start();
    let issued = sdk.issue(&[Hop::plain(0, -HOUR)]);
    assert_eq!(sdk.verdict(&issued), ("valid".to_owned(), Some("L0".to_owned())));
    let denial = verify(&from_json(issued.into_bytes()), &SelfContained).unwrap_err();
    assert_eq!(denial.reason, Reason::InvalidEnvelopeShape);
}

#[test]
fn the_client_verifies_what_the_core_makes_at_every_depth() {
    let mut sdk = Sdk::start();
    let mut passport = modei::self_issue(&key(0), &draft(0));
    for depth in 0..=5 {
        let text = passport.to_json();
        assert_eq!(sdk.verdict(&text), ("valid".to_owned(), Some("L0".to_owned())), "depth {depth}");
        assert_eq!(sdk.canonical(&[&text]), [Some(text.clone())], "the core writes canonical text");
        assert_eq!(verified(&text).depth(), usize::from(depth));
        if depth < 5 {
            let next = key(depth + 1).public_key();
            passport = modei::delegate(&passport, &key(depth), &next, &draft(depth + 1)).unwrap();
        }
    }
    let too_deep = modei::delegate(&passport, &key(5), &key(6).public_key(), &draft(6)).unwrap_err();
    assert_eq!(too_deep.reason, Reason::DelegationChainTooDeep);
}

#[test]
fn what_the_client_makes_the_core_delegates_and_the_client_accepts() {
    let mut sdk = Sdk::start();
    let parent = Hop { authority: true, ..Hop::plain(0, 300 * 24 * HOUR) };
    let parent = Signed::from_json(sdk.issue(&[parent]).as_bytes()).unwrap();
    let parent_expiry = verified(&parent.to_json()).expires_at();
    let draft = Draft {
        issued_at: parent_expiry.plus_millis(-2),
        expires_at: parent_expiry,
        permissions: vec![("flights:search".to_owned(), Object::default())],
        ..draft(1)
    };
    let child = modei::delegate(&parent, &key(0), &key(1).public_key(), &draft).unwrap().to_json();
    assert_eq!(sdk.verdict(&child), ("valid".to_owned(), Some("L0".to_owned())));
    assert_eq!(verified(&child).depth(), 1);
}

#[test]
fn both_derive_the_same_ids_from_a_key() {
    let mut sdk = Sdk::start();
    // The client's own offline vector.
    let zero = SecretKey::from_seed([0; 32]);
    assert_eq!(base64::encode(&zero.public_key()), "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=");
    assert_eq!(self_agent_id(&zero.public_key()), "agent_self_E545QOZLVJFyIIjZoNdBYo_IJuCUddNB");
    assert_eq!(self_agent_id(&[0; 32]), "agent_self_Zmh6rfhivXdsj8GLjp-OIAiXFIVu4jOz");
    let zero_key = base64::encode(&[0; 32]);
    assert_eq!(sdk.ask("derive", json!({ "public_key": zero_key }))["agent_id"], self_agent_id(&[0; 32]));

    for key in std::iter::once(zero).chain((0..100).map(key)) {
        let identity = sdk.ask("identity", json!({ "seed": hex(key.seed()) }));
        assert_eq!(identity["public_key"], base64::encode(&key.public_key()));
        assert_eq!(identity["agent_id"], self_agent_id(&key.public_key()));
        assert!(PublicKey::from_bytes(&key.public_key()).is_some());
    }
}

/// RFC 8785 appendix B: doubles as their bits, and how they are written.
const RFC_8785_NUMBERS: [(u64, &str); 25] = [
    (0x0000_0000_0000_0000, "0"),
    (0x8000_0000_0000_0000, "0"),
    (0x0000_0000_0000_0001, "5e-324"),
    (0x8000_0000_0000_0001, "-5e-324"),
    (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
    (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
    (0x4340_0000_0000_0000, "9007199254740992"),
    (0xc340_0000_0000_0000, "-9007199254740992"),
    (0x4430_0000_0000_0000, "295147905179352830000"),
    (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
    (0x44b5_2d02_c7e1_4af6, "1e+23"),
    (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
    (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
    (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
    (0x444b_1ae4_d6e2_ef50, "1e+21"),
    (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
    (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
    (0x41b3_de43_5555_5553, "333333333.3333332"),
    (0x41b3_de43_5555_5554, "333333333.33333325"),
    (0x41b3_de43_5555_5555, "333333333.3333333"),
    (0x41b3_de43_5555_5556, "333333333.3333334"),
    (0x41b3_de43_5555_5557, "333333333.33333343"),
    (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
    (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    (0x3ff0_0000_0000_0000, "1"),
];

#[test]
fn both_write_the_numbers_of_rfc_8785_as_the_rfc_does() {
    let texts: Vec<_> = RFC_8785_NUMBERS.iter().map(|(bits, _)| written(f64::from_bits(*bits))).collect();
    let expected: Vec<_> = RFC_8785_NUMBERS.iter().map(|(_, text)| Some((*text).to_owned())).collect();
    let ours =
        |(bits, _): &(u64, _)| Some(canonical_text(&Value::Number(Number::new(f64::from_bits(*bits))?)));
    assert_eq!(RFC_8785_NUMBERS.iter().map(ours).collect::<Vec<_>>(), expected);
    assert_eq!(Sdk::start().canonical(&texts), expected);
}

#[test]
fn both_write_thousands_of_doubles_alike_and_read_them_back() {
    let mut sdk = Sdk::start();
    let mut runner = TestRunner::deterministic();
    let doubles = prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO;
    // Numbers as people write them, and the neighbours of powers of ten and of two,
    // where shortest forms are hardest to find.
    let decimal = (any::<i32>(), -25..25_i32).prop_map(|(digits, exponent)| format!("{digits}e{exponent}"));
    let power = (-323..309_i32).prop_map(|exponent| format!("1e{exponent}").parse::<f64>().unwrap());
    let power =
        prop::strategy::Union::new([power.boxed(), (-1074..1024_i32).prop_map(f64_power_of_two).boxed()]);
    let near = (power, -3..4_i64)
        .prop_map(|(power, step)| f64::from_bits(power.to_bits().wrapping_add_signed(step)));
    let integer = -(1_i64 << 53)..=(1_i64 << 53);

    let mut texts = sample(&mut runner, 4_000, &doubles.prop_map(written));
    texts.extend(sample(&mut runner, 2_000, &decimal));
    texts.extend(sample(
        &mut runner,
        2_000,
        &near.prop_filter("finite", |near| near.is_finite()).prop_map(written),
    ));
    texts.extend(sample(&mut runner, 1_000, &integer.prop_map(|integer| integer.to_string())));
    same_canonical_forms(&mut sdk, &texts);
}

#[test]
fn both_write_thousands_of_texts_and_objects_alike_and_read_them_back() {
    let mut sdk = Sdk::start();
    let mut runner = TestRunner::deterministic();
    // Every character below U+0300 alone, then all kinds together.
    let mut texts: Vec<_> =
        ('\0'..'\u{300}').map(|character| json!(character.to_string()).to_string()).collect();
    let text =
        prop::collection::vec(any::<char>(), 0..12).prop_map(|text| text.into_iter().collect::<String>());
    texts.extend(sample(&mut runner, 2_000, &text.clone().prop_map(|text| json!(text).to_string())));
    // Names at the seam where UTF-8 and UTF-16 order differ.
    let seam = prop::collection::vec(
        prop::char::ranges(vec!['a'..='b', '\u{d7ff}'..='\u{e001}', '\u{fffd}'..='\u{10002}'].into()),
        0..4,
    )
    .prop_map(|text| text.into_iter().collect::<String>());
    let object = prop::collection::hash_map(seam, text, 0..12);
    let object = object.prop_map(|object| json!(object).to_string());
    texts.extend(sample(&mut runner, 1_000, &object));
    // Names that differ in case alone are refused before anything is written.
    texts.retain(|text| our_canonical(text).is_some());
    assert!(texts.len() > 3_500, "hardly any is left out");
    same_canonical_forms(&mut sdk, &texts);
}

fn same_canonical_forms(sdk: &mut Sdk, texts: &[String]) {
    let theirs = sdk.canonical(texts);
    for (text, theirs) in texts.iter().zip(&theirs) {
        // RFC 8785 writes 1e20 as an integer, and integers beyond 2^53 are not read.
        let expected = theirs.clone().filter(|theirs| !is_inexact_integer(theirs));
        let ours = our_canonical(text);
        assert_eq!(ours, expected, "of {text}");
        assert_eq!(ours.as_deref().and_then(our_canonical), expected, "reading back {text}");
    }
    // And the other way: what we wrote, the client writes again.
    assert_eq!(sdk.canonical(&theirs.iter().flatten().collect::<Vec<_>>()), theirs);
}

fn is_inexact_integer(text: &str) -> bool {
    text.parse::<i128>().is_ok_and(|integer| integer.unsigned_abs() > 1 << 53)
}

fn sample<S: Strategy>(runner: &mut TestRunner, count: usize, strategy: &S) -> Vec<S::Value> {
    (0..count).map(|_| strategy.new_tree(runner).unwrap().current()).collect()
}

/// A double as JSON that is not yet canonical.
fn written(value: f64) -> String {
    format!("{value:e}")
}

fn f64_power_of_two(exponent: i32) -> f64 {
    2_f64.powi(exponent)
}

fn our_canonical(text: &str) -> Option<String> {
    let limits = Limits { bytes: 1 << 16, depth: 64, values: 1 << 12 };
    json::parse(text.as_bytes(), limits).ok().map(|value| canonical_text(&value))
}

fn verified(text: &str) -> Passport {
    verify(&from_json(text.as_bytes().to_vec()), &SelfContained)
        .unwrap_or_else(|denial| panic!("{denial}\n{text}"))
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(sha256(&[number]))
}

fn draft(hop: u8) -> Draft {
    let begin = UnixTime::from_iso("2026-03-01T12:00:00.000Z").unwrap();
    let limit = Object::from([("max_per_action_cost", Value::from(100 - i32::from(hop)))]);
    Draft {
        passport_id: format!("pp_{hop}"),
        agent_name: hop.is_multiple_of(2).then(|| format!("Agent № {hop}")),
        permissions: vec![
            ("flights:book".to_owned(), limit),
            ("flights:search".to_owned(), Object::default()),
        ],
        issued_at: begin.plus_millis(i64::from(hop)),
        expires_at: begin.plus_millis(HOUR * 1_000 - i64::from(hop)),
        delegation_authority: true,
    }
}

/// One hop for the client to make.
struct Hop {
    number: u8,
    name: Option<String>,
    permissions: serde_json::Value,
    expires_in: i64,
    authority: bool,
}

impl Hop {
    fn plain(number: u8, expires_in: i64) -> Self {
        Hop {
            number,
            name: Some(format!("agent {number}")),
            permissions: json!([{"permission_key": "flights:search", "constraints": {}}]),
            expires_in,
            authority: false,
        }
    }

    fn key(&self) -> SecretKey {
        key(self.number)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Sdk {
    fn issue(&mut self, hops: &[Hop]) -> String {
        let hops: Vec<_> = hops
            .iter()
            .map(|hop| {
                json!({
                    "seed": hex(hop.key().seed()), "name": hop.name, "permissions": hop.permissions,
                    "expires_in": hop.expires_in, "authority": hop.authority,
                })
            })
            .collect();
        self.ask("issue", json!({ "hops": hops }))["passport"].as_str().unwrap().to_owned()
    }

    fn verdict(&mut self, text: &str) -> (String, Option<String>) {
        let answer = self.ask("verify", json!({ "text": text }));
        (answer["verdict"].as_str().unwrap().to_owned(), answer["tier"].as_str().map(str::to_owned))
    }

    fn canonical<T: serde::Serialize>(&mut self, texts: &[T]) -> Vec<Option<String>> {
        serde_json::from_value(self.ask("canonical", json!({ "texts": texts }))["texts"].take()).unwrap()
    }
}
