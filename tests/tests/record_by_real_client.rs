//! The unmodified Modei client takes a gate's record for signed, and a changed one not.

use crate::sdk::Sdk;
use portcullis_core::attestation::{
    AccessMode, Agent, AttestedRequest, Decision, Draft, Evaluation, Outcome, Record, Signer,
};
use portcullis_core::{Mode, SecretKey, UnixTime, base64};
use serde_json::json;

fn draft() -> Draft {
    Draft {
        access_mode: AccessMode::Credential,
        agent: Some(Agent {
            agent_id: "research-bot-001".into(),
            agent_name: Some("Бот \"№ 1\"\u{1f916}".into()),
            issuer_id: "iss_01HABC".into(),
            passport_id: "pass_01HXYZ".into(),
            tier: 2,
        }),
        approval_request_id: None,
        id: [1; 16],
        decision: Decision::Allow,
        detail: None,
        dropped: None,
        gate_id: "gate_01HDEF".into(),
        gate_name: Some("Production API Gate".into()),
        guardrails: vec![Evaluation {
            name: "core:spend:max_per_day".into(),
            result: Outcome::Pass,
            detail: "$12.50/$100.00 daily spend used".into(),
        }],
        hold: None,
        mode: Mode::Enforce,
        reason_code: None,
        receipt: None,
        request: Some(AttestedRequest {
            action: Some("web:search".into()),
            cost_cents: 1250,
            method: "GET".into(),
            path: "/search".into(),
            target_domain: Some("api.example.com".into()),
        }),
        time: UnixTime::from_millis(1_771_943_400_000),
    }
}

#[test]
fn the_client_verifies_records_over_their_signed_text() {
    let mut sdk = Sdk::start();
    let signer = Signer::new(&SecretKey::from_seed([1; 32]).attestation_key());
    let mut previous = [0; 32];
    for number in 1..=20 {
        let signed = draft().unsigned().sign(&[5; 16], number, &previous, &signer);
        previous = signed.chain_hash;
        let record = Record::read(signed.text.as_bytes()).unwrap();
        let text = record.signed_text();
        let mut valid = |text: &str, signature: &[u8; 64], key: &[u8; 32]| {
            let arguments = json!({
                "text": text, "signature": base64::encode(signature), "public_key": base64::encode(key),
            });
            sdk.ask("attestation", arguments)["valid"] == true
        };
        assert!(valid(&text, record.signature(), signer.public_key()));
        assert!(!valid(&text.replace("\"allow\"", "\"block\""), record.signature(), signer.public_key()));
        assert!(!valid(&signed.text, record.signature(), signer.public_key()));
        let other = SecretKey::from_seed([2; 32]).public_key();
        assert!(!valid(&text, record.signature(), &other));
        // And it writes the same canonical text of what the record says.
        let canonical = sdk.ask("canonical", json!({ "texts": [signed.text] }));
        assert_eq!(canonical["texts"][0], signed.text);
    }
}
