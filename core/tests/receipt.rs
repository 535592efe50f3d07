//! Receipts: what they say, who must have signed what, and that they add up.

use portcullis_core::attestation::Signer;
use portcullis_core::catalog::{MAX_CENTS, Price, PricingModel};
use portcullis_core::json::{self, Limits, Object, canonical_text};
use portcullis_core::modei::{
    CatalogPin, Draft, Issuer, RootKind, Signed, delegate, issue_pinned, self_agent_id,
};
use portcullis_core::receipt::{
    AgentProof, Charge, Consumer, MAX_QUANTITY, MAX_RECEIPT, Outcome, PopDraft, ProofForm, Rate, Receipt,
    ReceiptError, ReceiptVerifier, SignedReceipt, WithBase, minutes,
};
use portcullis_core::{PublicKey, SecretKey, UnixTime, base64, sha256};
use proptest::collection::vec;
use proptest::prelude::*;

/// 2026-02-24T14:30:00.000Z
const NOW: UnixTime = UnixTime::from_millis(1_771_943_400_000);
const NONCE: &str = "AAECAwQFBgcICQoLDA0ODw";

fn signer() -> Signer {
    Signer::new(&SecretKey::from_seed([1; 32]).attestation_key())
}

fn agent() -> SecretKey {
    SecretKey::from_seed([2; 32])
}

fn rate(model: PricingModel, cents: u64, fee_basis_points: u64) -> Rate {
    Rate { price: Price { model, cents }, fee_basis_points }
}

/// A receipt for which the agent has signed this base.
fn receipt(form: ProofForm, base: &str) -> Receipt {
    Receipt {
        action: "flights:search".into(),
        agent: Consumer {
            agent_id: "agent-001".into(),
            issuer_id: "gate_flights".into(),
            passport_id: "pp_1".into(),
            public_key: agent().public_key(),
        },
        attestation_id: Some("att_abababababababababababababababab".into()),
        catalog: pin(),
        charge: Charge::of(rate(PricingModel::PerCall, 5, 250), Outcome::Success, 1).unwrap(),
        duration_ms: None,
        gate_id: "gate_flights".into(),
        issued_at: NOW,
        outcome: Outcome::Success,
        proof: AgentProof {
            base_sha256: sha256(base.as_bytes()),
            created: NOW,
            form,
            nonce: NONCE.into(),
            signature: agent().sign(base.as_bytes()),
        },
        id: [0xcd; 16],
        request_payload_hash: None,
        response_payload_hash: None,
        status: Some(200),
    }
}

fn read(receipt: &Receipt) -> SignedReceipt {
    SignedReceipt::read(receipt.sign(&signer()).as_bytes()).unwrap()
}

fn draft(passport_id: &str, delegation_authority: bool) -> Draft {
    Draft {
        passport_id: passport_id.into(),
        agent_name: None,
        permissions: vec![("flights:search".into(), Object::default())],
        issued_at: NOW,
        expires_at: NOW.plus_millis(3_600_000),
        delegation_authority,
    }
}

fn pin() -> CatalogPin {
    CatalogPin { version: 1, content_hash: "ab".repeat(32) }
}

/// The agent's passport, as a gate that sells flights has issued it.
fn passport(passport_id: &str, pin: Option<&CatalogPin>) -> String {
    let agent = ("agent-001", agent().public_key());
    base64::encode(issued(passport_id, agent, pin).to_json().as_bytes())
}

fn issued(passport_id: &str, (agent_id, key): (&str, [u8; 32]), pin: Option<&CatalogPin>) -> Signed {
    let issuer = Issuer {
        kind: RootKind::Gate,
        id: "gate_flights".into(),
        key_id: "gk_1".into(),
        gate_id: Some("gate_flights".into()),
    };
    let draft = draft(passport_id, true);
    issue_pinned(&SecretKey::from_seed([3; 32]), &issuer, agent_id, &key, &draft, pin)
}

fn request_base(passport_id: &str) -> String {
    base_with(&passport(passport_id, Some(&pin())))
}

fn base_with(passport: &str) -> String {
    [
        "\"@method\": GET",
        "\"@authority\": flights.example",
        "\"@path\": /search",
        "\"@query\": ?to=ZRH",
        &format!("\"agent-passport\": :{passport}:"),
        &format!(
            "\"@signature-params\": (\"@method\" \"@authority\" \"@path\" \"@query\" \"agent-passport\");\
             created=1771943400;nonce=\"{NONCE}\";keyid=\"agent-001\";alg=\"ed25519\";tag=\"agent-proof\""
        ),
    ]
    .join("\n")
}

fn pop(base: &Receipt) -> PopDraft<'_> {
    PopDraft {
        action: &base.action,
        catalog_content_hash: &base.catalog.content_hash,
        gate_id: &base.gate_id,
        nonce: NONCE,
        outcome: base.outcome,
        passport_id: &base.agent.passport_id,
        quantity: base.charge.quantity(),
        request_payload_hash: None,
        response_payload_hash: None,
        created: NOW,
    }
}

#[test]
fn a_receipt_is_the_text_that_the_contract_shows() {
    let receipt = receipt(ProofForm::AgentPop, "base");
    let key_id = signer().key_id().to_string();
    let hash = |bytes: &[u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let body = format!(
        concat!(
            r#"{{"action":"flights:search","agent":{{"agent_id":"agent-001","issuer_id":"gate_flights","#,
            r#""passport_id":"pp_1","public_key":"{key}"}},"#,
            r#""attestation_id":"att_abababababababababababababababab","#,
            r#""catalog":{{"content_hash":"{catalog}","version":1}},"#,
            r#""charge":{{"currency":"USD","fee_basis_points":250,"model":"per_call","platform_fee_cents":1,"#,
            r#""quantity":1,"total_cents":5,"unit_cents":5}},"duration_ms":null,"gate_id":"gate_flights","#,
            r#""issued_at":"2026-02-24T14:30:00.000Z","outcome":"success","#,
            r#""proof":{{"base_sha256":"{base}","created":"2026-02-24T14:30:00.000Z","form":"agent_pop","#,
            r#""nonce":"AAECAwQFBgcICQoLDA0ODw","signature":"{proof}"}},"#,
            r#""receipt_id":"rcpt_cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","request_payload_hash":null,"#,
            r#""response_payload_hash":null,@"status":200,"typ":"consumption-attestation","version":"1.0"}}"#
        ),
        key = base64::encode(&agent().public_key()),
        catalog = "ab".repeat(32),
        base = hash(&sha256(b"base")),
        proof = base64::encode(&agent().sign(b"base")),
    );
    let key = SecretKey::from_seed([1; 32]).attestation_key();
    let signature = base64::encode_url(&key.sign(body.replace('@', "").as_bytes()));
    let seal = format!(r#""signature":{{"algorithm":"EdDSA","key_id":"{key_id}","value":"{signature}"}},"#);
    assert_eq!(receipt.sign(&signer()), body.replace('@', &seal));
    let read = read(&receipt);
    assert_eq!(read.receipt, receipt);
    assert_eq!(read.verify(&PublicKey::from_bytes(&key.public_key()).unwrap()), Ok(()));
    assert_eq!(read.hash(), sha256(read.text().as_bytes()));
    let other = PublicKey::from_bytes(&agent().public_key()).unwrap();
    assert_eq!(read.verify(&other), Err(ReceiptError::KeyUnknown));
}

#[test]
fn a_receipt_that_was_touched_is_none() {
    let text = receipt(ProofForm::AgentPop, "base").sign(&signer());
    let key = PublicKey::from_bytes(signer().public_key()).unwrap();
    for (from, to, error) in [
        ("\"total_cents\":5", "\"total_cents\":6", Some(ReceiptError::ChargeWrong)),
        ("\"platform_fee_cents\":1", "\"platform_fee_cents\":0", Some(ReceiptError::ChargeWrong)),
        ("\"quantity\":1", "\"quantity\":2", Some(ReceiptError::ChargeWrong)),
        ("\"outcome\":\"success\"", "\"outcome\":\"error\"", Some(ReceiptError::ChargeWrong)),
        ("\"outcome\":\"success\"", "\"outcome\":\"done\"", Some(ReceiptError::Malformed("outcome"))),
        ("USD", "EUR", Some(ReceiptError::Malformed("charge.currency"))),
        ("\"status\":200", "\"status\":99", Some(ReceiptError::Malformed("status"))),
        ("\"status\":200", "\"status\":200.5", Some(ReceiptError::Malformed("status"))),
        ("\"duration_ms\":null,", "", Some(ReceiptError::Malformed("duration_ms"))),
        ("rcpt_cd", "rcpt_CD", Some(ReceiptError::Malformed("receipt_id"))),
        ("consumption-attestation", "decision", Some(ReceiptError::Malformed("typ or version"))),
        ("{\"action\"", "{ \"action\"", Some(ReceiptError::NotCanonical)),
        ("\"version\":1}", "\"version\":0}", Some(ReceiptError::Malformed("catalog.version"))),
        ("agent-001", "agent-002", None),
        ("\"status\":200", "\"status\":201", None),
    ] {
        let touched = text.replacen(from, to, 1);
        assert_ne!(touched, text, "{from}");
        match (SignedReceipt::read(touched.as_bytes()), error) {
            (Err(found), Some(expected)) => assert_eq!(found, expected, "{from}"),
            (Ok(read), None) => assert_eq!(read.verify(&key), Err(ReceiptError::SignatureInvalid), "{from}"),
            (found, expected) => panic!("{from}: {found:?} instead of {expected:?}"),
        }
    }
    let padded = [text.as_str(), &" ".repeat(MAX_RECEIPT)].concat();
    assert!(matches!(SignedReceipt::read(padded.as_bytes()), Err(ReceiptError::Malformed(_))));
}

#[test]
fn of_each_string_and_number_one_spelling_alone_is_read() {
    let mut receipt = receipt(ProofForm::AgentPop, "base");
    receipt.action = "a\"\\/\u{8}\t\n\u{c}\r\u{1}\u{7f}é\u{2028}\u{1f980}".into();
    let text = receipt.sign(&signer());
    assert_eq!(read(&receipt).receipt, receipt);
    for (from, to) in [
        ("\\\"", "\\u0022"),
        ("/", "\\/"),
        ("\\t", "\\u0009"),
        ("\\u0001", "\\u0001 "),
        ("é", "\\u00e9"),
        ("\u{1f980}", "\\ud83e\\udd80"),
        ("\"status\":200", "\"status\":2e2"),
        ("\"status\":200", "\"status\":0200"),
        ("\"status\":200", "\"status\":200.0"),
        ("\"quantity\":1", "\"quantity\":01"),
        ("\"quantity\":1", "\"quantity\":+1"),
        ("\"duration_ms\":null", "\"duration_ms\":-0"),
        ("\"action\"", "\"\\u0061ction\""),
        ("\"version\":\"1.0\"}", "\"version\":\"1.0\"}\n"),
        ("\"version\":\"1.0\"}", "\"version\":\"1.0\",\"x\":1}"),
    ] {
        let touched = text.replacen(from, to, 1);
        assert_ne!(touched, text, "{from}");
        let found = SignedReceipt::read(touched.as_bytes());
        // A space in a string is another string, which nobody has signed.
        match found {
            Ok(read) => assert_eq!((to, without_seal(read.text())), ("\\u0001 ", written(&read.receipt))),
            Err(error) => assert!(
                matches!(error, ReceiptError::NotCanonical | ReceiptError::Malformed(_)),
                "{to}: {error:?}"
            ),
        }
    }
    let long = text.replacen("a\\\"", &"\\".repeat(MAX_RECEIPT), 1);
    assert!(SignedReceipt::read(long.as_bytes()).is_err());
}

/// A receipt's text without its signature; no string has quotes that are not escaped.
fn without_seal(text: &str) -> String {
    let (before, seal) = text.split_once(",\"signature\":{").unwrap();
    [before, seal.split_once('}').unwrap().1].concat()
}

fn written(receipt: &Receipt) -> String {
    without_seal(&receipt.sign(&signer()))
}

#[test]
fn minutes_and_quantity_of_a_receipt_must_agree() {
    let charge = Charge::of(rate(PricingModel::PerMinute, 3, 0), Outcome::Success, minutes(60_001)).unwrap();
    assert_eq!((charge.quantity(), charge.total_cents()), (2, 6));
    let whole = Receipt { charge, duration_ms: Some(60_001), ..receipt(ProofForm::AgentPop, "base") };
    assert_eq!(read(&whole).receipt, whole);
    let shorter = Receipt { duration_ms: Some(60_000), ..whole };
    let refused = SignedReceipt::read(shorter.sign(&signer()).as_bytes());
    assert_eq!(refused.unwrap_err(), ReceiptError::ChargeWrong);
}

#[test]
fn the_agents_signature_is_over_a_request_with_its_own_passport() {
    let base = request_base("pp_1");
    let good = receipt(ProofForm::Rfc9421, &base);
    assert_eq!(good.verify_proof(&base), Ok(()));
    assert_eq!(good.verify_proof(&base.replace("ZRH", "GVA")), Err(ReceiptError::BaseMismatch));

    let mut unsigned = good.clone();
    unsigned.proof.signature = SecretKey::from_seed([9; 32]).sign(base.as_bytes());
    assert_eq!(unsigned_error(&unsigned, &base), ReceiptError::ProofInvalid);

    for (what, base) in [
        ("nonce", base.replace(NONCE, "another-nonce-that-is-long")),
        ("nonce", base.replace(&format!("nonce=\"{NONCE}\""), &format!("nonce=\"x{NONCE}\""))),
        ("time", base.replace("created=1771943400", "created=17719434001")),
        ("agent", base.replace("keyid=\"agent-001\"", "keyid=\"agent-0011\"")),
        ("tag", base.replace("agent-proof", "other")),
        ("passport", request_base("pp_2")),
        ("passport", base.replace("\"agent-passport\": :", "\"agent-passport\": :A")),
        ("passport", base.replace("\"agent-passport\": ", "\"x-passport\": ")),
        ("form", base.replace("@signature-params", "@params")),
        ("form", String::from("nothing")),
    ] {
        let mut other = receipt(ProofForm::Rfc9421, &base);
        other.agent.passport_id = "pp_1".into();
        assert_eq!(unsigned_error(&other, &base), ReceiptError::ProofMismatch(what), "{base}");
    }
    let mut other_key = receipt(ProofForm::Rfc9421, &base);
    other_key.agent.public_key = SecretKey::from_seed([9; 32]).public_key();
    assert_eq!(unsigned_error(&other_key, &base), ReceiptError::ProofMismatch("passport"));
    let mut other_issuer = receipt(ProofForm::Rfc9421, &base);
    other_issuer.agent.issuer_id = "gate_hotels".into();
    assert_eq!(unsigned_error(&other_issuer, &base), ReceiptError::ProofMismatch("passport"));
}

#[test]
fn a_receipt_is_of_the_time_of_its_proof() {
    let base = request_base("pp_1");
    let made_at =
        |after: i64| Receipt { issued_at: NOW.plus_millis(after), ..receipt(ProofForm::Rfc9421, &base) };
    let (hour, month) = (3_600_000, 31 * 86_400_000);
    for within in [-hour, 0, month] {
        assert_eq!(made_at(within).verify_proof(&base), Ok(()), "{within}");
    }
    for outside in [-hour - 1, month + 1] {
        assert_eq!(
            unsigned_error(&made_at(outside), &base),
            ReceiptError::ProofMismatch("time"),
            "{outside}"
        );
    }
}

#[test]
fn a_price_is_of_the_catalog_that_the_passport_is_pinned_to() {
    let other_version = CatalogPin { version: 2, ..pin() };
    let other_hash = CatalogPin { content_hash: "cd".repeat(32), ..pin() };
    for pin in [None, Some(&other_version), Some(&other_hash)] {
        let base = base_with(&passport("pp_1", pin));
        let receipt = receipt(ProofForm::Rfc9421, &base);
        assert_eq!(unsigned_error(&receipt, &base), ReceiptError::ProofMismatch("catalog"), "{pin:?}");
    }
}

#[test]
fn a_delegated_passport_has_the_root_of_its_chain() {
    let mut verifier = ReceiptVerifier::new([3; 32]);
    let holder = SecretKey::from_seed([7; 32]);
    let root = issued("pp_root", ("agent-000", holder.public_key()), Some(&pin()));
    let delegated = delegate(&root, &holder, &agent().public_key(), &draft("pp_1", false)).unwrap();
    let id = self_agent_id(&agent().public_key());
    let base = base_with(&base64::encode(delegated.to_json().as_bytes())).replace("agent-001", &id);
    let mut good = receipt(ProofForm::Rfc9421, &base);
    good.agent.agent_id = id;
    let mut root = |receipt: &Receipt, base: &str| {
        let signed = SignedReceipt::read(receipt.sign(&signer()).as_bytes()).unwrap();
        let key = PublicKey::from_bytes(signer().public_key()).unwrap();
        let verdicts = verifier.verify(&[WithBase { signed: &signed, key: &key, base }]);
        verdicts.into_iter().next().unwrap()
    };
    assert_eq!(root(&good, &base), Ok(Some("pp_root".into())));
    let base = request_base("pp_1");
    assert_eq!(root(&receipt(ProofForm::Rfc9421, &base), &base), Ok(Some("pp_1".into())));
    let word = pop(&receipt(ProofForm::AgentPop, "")).plain();
    assert_eq!(root(&receipt(ProofForm::AgentPop, &word), &word), Ok(None));
}

#[test]
fn of_many_receipts_each_is_answered_as_it_is_alone() {
    let base = request_base("pp_1");
    let other_base = request_base("pp_2");
    let good = receipt(ProofForm::Rfc9421, &base);
    let mut not_asked = good.clone();
    not_asked.proof.signature = [1; 64];
    let of_other = receipt(ProofForm::Rfc9421, &other_base);
    let key = PublicKey::from_bytes(signer().public_key()).unwrap();
    let stranger = PublicKey::from_bytes(&SecretKey::from_seed([8; 32]).public_key()).unwrap();
    let sign = |receipt: &Receipt| SignedReceipt::read(receipt.sign(&signer()).as_bytes()).unwrap();
    let forged = {
        let text = good.sign(&signer()).replace("\"status\":200", "\"status\":201");
        SignedReceipt::read(text.as_bytes()).unwrap()
    };
    let [good, not_asked, of_other] = [good, not_asked, of_other].map(|receipt| sign(&receipt));
    let cases = [
        (&good, &key, &base, Ok(Some("pp_1".to_owned()))),
        (&good, &stranger, &base, Err(ReceiptError::KeyUnknown)),
        (&forged, &key, &base, Err(ReceiptError::SignatureInvalid)),
        (&forged, &key, &other_base, Err(ReceiptError::SignatureInvalid)),
        (&not_asked, &key, &base, Err(ReceiptError::ProofInvalid)),
        (&good, &key, &other_base, Err(ReceiptError::BaseMismatch)),
        (&of_other, &key, &other_base, Err(ReceiptError::ProofMismatch("passport"))),
    ];
    let mut verifier = ReceiptVerifier::new([3; 32]);
    // Few, each by itself; and so many that they are judged together. Each stands at each place.
    for (first, times) in (0..cases.len()).flat_map(|first| [(first, 1), (first, 30)]) {
        let turned = [&cases[first..], &cases[..first]].concat();
        let cases: Vec<_> = turned.iter().cycle().take(turned.len() * times).cloned().collect();
        let receipts: Vec<_> = cases
            .iter()
            .map(|(signed, key, base, _)| WithBase { signed, key, base: base.as_str() })
            .collect();
        let expected: Vec<_> = cases.into_iter().map(|(.., expected)| expected).collect();
        assert_eq!(verifier.verify(&receipts), expected);
    }
}

fn unsigned_error(receipt: &Receipt, base: &str) -> ReceiptError {
    receipt.verify_proof(base).unwrap_err()
}

#[test]
fn an_agents_word_outside_a_gate_is_of_just_this_use() {
    let plain = pop(&receipt(ProofForm::AgentPop, "")).plain();
    assert_eq!(plain, format!("1771943400000:{NONCE}:flights:search:pp_1"));
    let canonical = pop(&receipt(ProofForm::AgentPop, "")).canonical();
    assert_eq!(
        canonical,
        format!(
            concat!(
                r#"{{"action":"flights:search","catalog_content_hash":"{}","gate_id":"gate_flights","#,
                r#""nonce":"{}","outcome":"success","passport_id":"pp_1","quantity":1,"#,
                r#""request_payload_hash":null,"response_payload_hash":null,"timestamp":1771943400000}}"#
            ),
            "ab".repeat(32),
            NONCE
        )
    );
    for (form, base) in [(ProofForm::AgentPop, &plain), (ProofForm::AgentPopJcs, &canonical)] {
        let good = receipt(form, base);
        assert_eq!(good.verify_proof(base), Ok(()));
        let other = Receipt { action: "flights:book".into(), ..good.clone() };
        assert_eq!(unsigned_error(&other, base), ReceiptError::ProofMismatch("text"));
        let mut forged = good;
        forged.agent.public_key = SecretKey::from_seed([9; 32]).public_key();
        assert_eq!(unsigned_error(&forged, base), ReceiptError::ProofInvalid);
    }
    // One form's text is not another's.
    let crossed = receipt(ProofForm::AgentPopJcs, &plain);
    assert_eq!(unsigned_error(&crossed, &plain), ReceiptError::ProofMismatch("text"));
    let more = Charge::of(rate(PricingModel::Usage, 5, 250), Outcome::Success, 2).unwrap();
    let more = Receipt { charge: more, ..receipt(ProofForm::AgentPopJcs, &canonical) };
    assert_eq!(unsigned_error(&more, &canonical), ReceiptError::ProofMismatch("text"));
}

#[test]
fn what_failed_and_what_a_month_pays_for_costs_nothing() {
    let total = |model, outcome| Charge::of(rate(model, 7, 10_000), outcome, 3).unwrap().total_cents();
    for model in [PricingModel::PerCall, PricingModel::PerMinute, PricingModel::Usage] {
        assert_eq!(total(model, Outcome::Success), 21);
        assert_eq!(total(model, Outcome::Partial), 21);
        assert_eq!(total(model, Outcome::Error), 0);
        assert_eq!(total(model, Outcome::Timeout), 0);
    }
    assert_eq!(total(PricingModel::Subscription, Outcome::Success), 0);
}

#[test]
fn what_is_too_much_has_no_charge() {
    let of =
        |cents, fee, quantity| Charge::of(rate(PricingModel::Usage, cents, fee), Outcome::Success, quantity);
    assert!(of(1, 10_000, MAX_QUANTITY).is_some());
    assert!(of(1, 10_000, MAX_QUANTITY + 1).is_none());
    assert!(of(1, 10_001, 1).is_none());
    assert!(of(MAX_CENTS, 0, 90_071).is_some());
    assert!(of(MAX_CENTS, 0, 90_072).is_none());
    assert!(of(u64::MAX, 0, 2).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// What is read is what would be written, wherever a text is touched.
    #[test]
    fn a_text_that_is_read_is_the_one_that_is_written(
        places in vec((any::<prop::sample::Index>(), 0..2_usize, r#"[0-9aAfu"\\/ .eE+,:{}\u{0}\u{1}é-]{0,2}"#), 1..3),
    ) {
        let mut made = receipt(ProofForm::AgentPop, "base");
        made.action = "a\\\"\u{1}/é".into();
        made.duration_ms = Some(10);
        let mut text: Vec<char> = made.sign(&signer()).chars().collect();
        for (place, taken, put) in places {
            let at = place.index(text.len() - 2);
            text.splice(at..at + taken, put.chars());
        }
        let text: String = text.into_iter().collect();
        if let Ok(read) = SignedReceipt::read(text.as_bytes()) {
            let limits = Limits { bytes: MAX_RECEIPT, depth: 3, values: 64 };
            prop_assert_eq!(without_seal(&text), written(&read.receipt));
            prop_assert_eq!(canonical_text(&json::parse(text.as_bytes(), limits).unwrap()), text);
        }
    }
}

proptest! {
    #[test]
    fn a_fee_is_the_next_whole_cent(cents in 0..=1_u64 << 53, basis_points in 0..=10_000_u64) {
        let fee = rate(PricingModel::PerCall, 0, basis_points).fee_of(cents);
        let exact = u128::from(cents) * u128::from(basis_points);
        prop_assert!(u128::from(fee) * 10_000 >= exact);
        prop_assert!(u128::from(fee) * 10_000 < exact + 10_000);
        prop_assert!(fee <= cents);
    }

    #[test]
    fn minutes_are_those_that_have_begun_and_one_has(duration in 1..=1_u64 << 40) {
        prop_assert_eq!(minutes(0), 1);
        prop_assert!(minutes(duration) * 60_000 >= duration);
        prop_assert!(minutes(duration) * 60_000 < duration + 60_000);
    }

    #[test]
    fn whatever_a_maker_is_given_makes_a_receipt_that_is_read_back(
        texts in prop::collection::vec("\\PC{0,40}", 6), cents in 0..=MAX_CENTS, quantity in 0..=90_000_u64,
        outcome in prop::sample::select(vec![Outcome::Error, Outcome::Partial, Outcome::Success, Outcome::Timeout]),
        model in prop::sample::select(vec![
            PricingModel::PerCall, PricingModel::PerMinute, PricingModel::Usage, PricingModel::Subscription,
        ]),
        duration in 0..=5_400_000_000_u64,
        fee in 0..=10_000_u64, status in prop::option::of(any::<u16>()), hash in prop::option::of(any::<[u8; 32]>()),
        millis in 0..4_000_000_000_000_i64, form in prop::sample::select(vec![
            ProofForm::AgentPop, ProofForm::AgentPopJcs, ProofForm::Rfc9421,
        ]),
    ) {
        let mut made = receipt(form, "base");
        made.action = texts[0].clone();
        made.agent.agent_id = texts[1].clone();
        made.agent.issuer_id = texts[2].clone();
        made.agent.passport_id = texts[3].clone();
        made.gate_id = texts[4].clone();
        made.proof.nonce = texts[5].clone();
        let of_time = model == PricingModel::PerMinute;
        made.duration_ms = of_time.then_some(duration);
        let quantity = if of_time { minutes(duration) } else { quantity };
        made.charge = Charge::of(rate(model, cents, fee), outcome, quantity).unwrap();
        made.outcome = outcome;
        made.status = status;
        made.request_payload_hash = hash;
        made.response_payload_hash = hash;
        made.issued_at = UnixTime::from_millis(millis);
        if status.is_some_and(|status| !(100..1000).contains(&status)) {
            let error = SignedReceipt::read(made.sign(&signer()).as_bytes()).unwrap_err();
            prop_assert_eq!(error, ReceiptError::Malformed("status"));
            made.status = None;
        }
        let read = read(&made);
        prop_assert_eq!(&read.receipt, &made);
        prop_assert_eq!(read.verify(&PublicKey::from_bytes(signer().public_key()).unwrap()), Ok(()));
    }
}
