//! The console's pages in real Chromium, with what a real service and real Envoys say.

use crate::browser::Browser;
use crate::live_records::{load_for, stand};
use crate::live_stand::{GATE, LiveStand, agent, given, passport, passport_with};
use portcullis_core::attestation::{Draft, Evaluation, Outcome};
use portcullis_core::capiscio::BadgeDraft;
use portcullis_core::json::Object;
use portcullis_core::modei::{self, Signed};
use portcullis_core::{SecretKey, UnixTime};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};
use xtask::made_log;
use xtask::tampering::{self, Log};

const MARKUP: &str = "<img src=x onerror=\"globalThis.pwned = 1\">";

#[test]
fn the_audit_page_judges_an_export_from_one_file_with_the_network_cut() {
    let Some(browser) =
        Browser::for_test("the_audit_page_judges_an_export_from_one_file_with_the_network_cut")
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (exported, keys) = made_log::write(folder.path(), 1000, made_log::decision).unwrap();
    let credential = passport(&agent(1), "pp_shown").to_json();
    let scene = json!({
        "page": given("PORTCULLIS_AUDIT_PAGE"), "folder": folder.path(), "exported": exported, "keys": keys,
        "records": "1,000", "passport": credential, "issuer": modei::self_issuer_id(&agent(1).public_key()),
        "badge": badge(&agent(1)),
        "trust": {"self_issued": {"actions": ["flights:*"]}, "accept_self_signed": {"actions": ["flights:*"]}},
    });
    browser.run("audit_offline.mjs", &scene);
}

/// A Trust Badge that an agent signs itself.
fn badge(agent: &SecretKey) -> String {
    let now = now();
    let draft = BadgeDraft {
        id: "550e8400-e29b-41d4-a716-446655440000".to_owned(),
        audience: Vec::new(),
        issued_at: now,
        expires_at: now.plus_millis(3_600_000),
        domain: None,
    };
    draft.self_sign(agent)
}

fn now() -> UnixTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixTime::from_millis(i64::try_from(now.as_millis()).unwrap())
}

#[test]
fn the_audit_page_stays_usable_with_200_megabytes_and_shows_markup_as_text() {
    let Some(browser) =
        Browser::for_test("the_audit_page_stays_usable_with_200_megabytes_and_shows_markup_as_text")
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let records = 60_000;
    let (exported, keys) = made_log::write(folder.path(), records, long).unwrap();
    assert!(std::fs::metadata(&exported).unwrap().len() > 200_000_000);
    let scene = json!({
        "page": given("PORTCULLIS_AUDIT_PAGE"), "folder": folder.path(), "exported": exported, "keys": keys,
        "records": "60,000", "markup": MARKUP,
    });
    browser.run("audit_large.mjs", &scene);
}

/// A decision whose record is nearly as long as one may be, by an agent that writes markup.
fn long(id: u64, time: UnixTime) -> Draft {
    let mut draft = made_log::decision(id, time);
    let agent = draft.agent.as_mut().unwrap();
    agent.agent_id = MARKUP.to_owned();
    agent.agent_name = Some(format!("{MARKUP}\u{202e}name"));
    agent.passport_id = MARKUP.to_owned();
    let request = draft.request.as_mut().unwrap();
    request.path = format!("/{MARKUP}");
    draft.detail = Some(MARKUP.to_owned());
    let evaluation =
        Evaluation { name: "core:custom:rule".into(), result: Outcome::Pass, detail: MARKUP.repeat(2) };
    draft.guardrails = vec![evaluation; 22];
    draft
}

#[test]
fn the_audit_page_finds_each_tampering_with_decisions_of_real_gates() {
    let Some(browser) = Browser::for_test("the_audit_page_finds_each_tampering_with_decisions_of_real_gates")
    else {
        return;
    };
    let stand = stand("page_tampered", "required");
    let other = stand.another_envoy("page_tampered_b", &stand.enrolled);
    let credential = passport(&agent(1), "pp_tampered").to_header();
    let decide = || {
        let never = AtomicBool::new(false);
        let authority = stand.envoy.listen.to_string();
        let mut seen = load_for(&authority, stand.envoy.listen, &credential, 20, &never);
        seen.extend(load_for(&authority, other.listen, &credential, 20, &never));
        seen
    };
    let mut seen = decide();
    stand.wait_for_records(&seen);
    let earlier = stand.checkpoint();
    seen.extend(decide());
    stand.wait_for_records(&seen);
    let log = Log {
        cli: &page_as_program(&browser, &stand),
        export: &stand.export(),
        keys: &stand.keys(),
        gate_key: &stand.enrolled.key,
        earlier: &earlier,
        folder: stand.folder.path(),
    };
    let found = tampering::each_is_found(&log).unwrap();
    assert_eq!(found.len(), 14, "{found:?}");
}

/// A program that answers as `portcullis audit verify --json`, by what the page shows.
fn page_as_program(browser: &Browser, stand: &LiveStand) -> PathBuf {
    let program = stand.folder.path().join("page-audit");
    let page = given("PORTCULLIS_AUDIT_PAGE");
    std::fs::write(&program, browser.program("audit_as_program.mjs", &json!({ "page": page }))).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    program
}

#[test]
fn an_operator_signs_in_sees_decisions_revokes_a_passport_and_approves_what_waits() {
    let Some(browser) =
        Browser::for_test("an_operator_signs_in_sees_decisions_revokes_a_passport_and_approves_what_waits")
    else {
        return;
    };
    let stand = stand("console", "required");
    let revoked = passport(&agent(1), "pp_revoked");
    let held = passport_with(&agent(2), "pp_held", &json!({"core:approval:required": true}));
    let marked = named(&agent(3), MARKUP);
    let never = AtomicBool::new(false);
    let authority = stand.envoy.listen.to_string();
    let seen = load_for(&authority, stand.envoy.listen, &revoked.to_header(), 10, &never);
    stand.wait_for_records(&seen);
    let scene = json!({
        "marked": marked.to_header(), "markup": MARKUP, "console": stand.service().url(), "key": stand.service().key,
        "link": stand.control.console_link(10).unwrap(), "gate": format!("http://{}/flights", stand.envoy.listen),
        "gate_id": GATE, "revoked": revoked.to_header(), "held": held.to_header(), "passport": "pp_revoked",
    });
    browser.run("console.mjs", &scene);
    let record = wait_for_decision(&stand, "pp_held", "allow");
    // Its guardrail held it, and the approval let it through.
    assert_eq!(record["guardrails_evaluated"][0]["result"], "hold", "{record}");
}

/// A passport of an agent that calls itself so.
fn named(agent: &SecretKey, name: &str) -> Signed {
    let now = now();
    let draft = modei::Draft {
        passport_id: "pp_named".to_owned(),
        agent_name: Some(name.to_owned()),
        permissions: vec![("flights:search".to_owned(), Object::default())],
        issued_at: now,
        expires_at: now.plus_millis(3_600_000),
        delegation_authority: false,
    };
    modei::self_issue(agent, &draft)
}

/// The record of a decision about a passport, once it is in the log.
fn wait_for_decision(stand: &LiveStand, passport: &str, decision: &str) -> Value {
    let began = Instant::now();
    loop {
        let export = std::fs::read_to_string(stand.export()).unwrap();
        let mut lines = export.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found =
            lines.find(|line| line["agent"]["passport_id"] == passport && line["decision"] == decision);
        if let Some(found) = found {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "no {decision} of {passport} at {GATE}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_served_audit_page_judges_what_its_own_service_exports() {
    let Some(browser) = Browser::for_test("the_served_audit_page_judges_what_its_own_service_exports") else {
        return;
    };
    let stand = stand("served_audit", "required");
    let never = AtomicBool::new(false);
    let credential = passport(&agent(1), "pp_served").to_header();
    let authority = stand.envoy.listen.to_string();
    let seen = load_for(&authority, stand.envoy.listen, &credential, 25, &never);
    stand.wait_for_records(&seen);
    let scene = json!({
        "page": format!("{}/console/audit/", stand.service().url()), "origin": stand.service().url(),
        "exported": stand.export(), "keys": stand.keys(),
    });
    browser.run("audit_served.mjs", &scene);
}
