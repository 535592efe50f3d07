//! Signing requests: what is printed verifies, for the agent's key and this request alone.

use crate::support::{Desk, members};
use portcullis_core::{
    BodyDigest, Holder, Proof, ProofWindows, PublicKey, RequestHead, UnixTime, base64, verify_proof,
};
use serde_json::Value;

const URL: &str = "https://API.example:8443/flights?from=BER#top";
const PASSPORT: [&str; 5] = ["sign", "--key", "agent.json", "--passport", "agent.passport"];
const NONCE: &str = "abcdefghijklmnopqrstuv";

/// The lines that are printed, as headers.
fn headers(lines: &str) -> Vec<(String, String)> {
    lines
        .lines()
        .map(|line| line.split_once(": ").expect("a header"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn proof(headers: &[(String, String)], method: &str, id: &str, key: &str) -> Option<Proof> {
    let carrier = headers.first().expect("the credential").0.clone();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let head = RequestHead {
        method: method.as_bytes(),
        authority: b"api.example:8443",
        path: b"/flights?from=BER",
        headers: &headers,
        source: None,
    };
    let key = PublicKey::from_bytes(&base64::decode_array(key).expect("a key")).expect("a key");
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let now = UnixTime::from_millis(i64::try_from(since.as_millis()).expect("soon"));
    let windows = ProofWindows { skew_ms: 60_000, life_ms: 300_000 };
    verify_proof(&head, &carrier, &Holder { key: &key, id }, &windows, now).ok().flatten()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().expect(name)
}

#[test]
fn the_printed_headers_prove_this_request_by_the_passports_agent() {
    let desk = Desk::furnished();
    let agent = desk.read_json("agent.json");
    let (id, key) = (text(&agent, "agent_id"), text(&agent, "public_key_base64"));
    let printed = headers(&desk.done(&[PASSPORT.as_slice(), &["GET", URL]].concat()));
    let names: Vec<_> = printed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["agent-passport", "signature-input", "signature"]);
    let made = proof(&printed, "GET", id, key).expect("a proof");
    assert_eq!(made.nonce().len(), 22);
    assert!(made.digest().is_none());
    assert!(proof(&printed, "HEAD", id, key).is_none());
    // Another call has another nonce.
    let again = headers(&desk.done(&[PASSPORT.as_slice(), &["GET", URL]].concat()));
    assert_ne!(proof(&again, "GET", id, key).expect("a proof").nonce(), made.nonce());
}

#[test]
fn a_body_is_signed_by_its_digest() {
    let desk = Desk::furnished();
    desk.write("body", "{\"seats\":2}");
    let agent = desk.read_json("agent.json");
    let arguments = [PASSPORT.as_slice(), &["--body", "body", "--expires", "30", "POST", URL]].concat();
    let printed = headers(&desk.done(&arguments));
    let made = proof(&printed, "POST", text(&agent, "agent_id"), text(&agent, "public_key_base64"));
    let made = made.expect("a proof");
    assert_eq!(made.last_moment(), made.created().plus_millis(90_000));
    let wanted = made.digest().expect("a digest");
    let mut body = BodyDigest::new(wanted);
    body.update(b"{\"seats\":2}");
    assert_eq!(body.check(wanted), Ok(()));
}

#[test]
fn a_nonce_may_be_given_or_taken_from_a_challenge() {
    let desk = Desk::furnished();
    let made = |more: &[&str]| desk.done_json(&[PASSPORT.as_slice(), more, &["GET", URL]].concat());
    assert_eq!(made(&["--nonce", NONCE])["nonce"], NONCE);
    let challenge = format!("agent=(\"@method\" \"@path\");created;nonce=\"{NONCE}\";tag=\"agent-proof\"");
    let answer = made(&["--challenge", &challenge]);
    assert_eq!(answer["nonce"], NONCE);
    assert_eq!(members(&answer), ["created", "expires", "headers", "keyid", "nonce"]);
    assert!(text(&answer["headers"], "signature-input").contains(NONCE));
    assert_eq!(made(&["--challenge", &format!("Accept-Signature: {challenge}")])["nonce"], NONCE);
    let arguments = [PASSPORT.as_slice(), &["--challenge", "Bearer", "GET", URL]].concat();
    assert!(desk.unusable(&arguments).contains("Accept-Signature"));
    let both = ["--challenge", &challenge, "--nonce", NONCE, "GET", URL];
    desk.misused(&[PASSPORT.as_slice(), &both].concat());
    for (nonce, told) in
        [("short", "proof_nonce_too_short"), ("no base64, but long enough", "proof_malformed")]
    {
        let message = desk.unusable(&[PASSPORT.as_slice(), &["--nonce", nonce, "GET", URL]].concat());
        assert!(message.contains(told), "{message}");
    }
}

#[test]
fn passports_in_every_form_and_badges_travel_in_their_own_headers() {
    let desk = Desk::furnished();
    let agent = desk.read_json("agent.json");
    let (id, key) = (text(&agent, "agent_id").to_owned(), text(&agent, "public_key_base64").to_owned());
    let carrier = |arguments: &[&str], id: &str| {
        let request = ["sign", "--key", "agent.json"];
        let printed = headers(&desk.done(&[request.as_slice(), arguments, &["GET", URL]].concat()));
        assert!(proof(&printed, "GET", id, &key).is_some(), "{arguments:?}");
        printed.first().expect("a header").0.clone()
    };
    let passport = |more: &[&str]| desk.issue("agent.passport", &[&["--permission", "a:b"], more].concat());
    for (form, header) in [
        (["--jwt"].as_slice(), "authorization"),
        (&["--jwt", "--header"], "authorization"),
        (&["--header"], "agent-passport"),
    ] {
        passport(form);
        assert_eq!(carrier(&["--passport", "agent.passport"], &id), header);
    }
    let line = desk.read("agent.passport");
    assert_eq!(carrier(&["--credential-header", line.trim()], &id), "agent-passport");

    desk.done(&["badge", "issue", "--key", "agent.json", "--self-sign", "--out", "badge"]);
    let badge = desk.read("badge");
    let subject = desk.done_json(&["badge", "inspect", "badge"])["contents"]["sub"].clone();
    let subject = subject.as_str().expect("a DID");
    assert_eq!(carrier(&["--badge", "badge"], subject), "x-capiscio-badge");
    let bearer = format!("Authorization:Bearer {}", badge.trim());
    assert_eq!(carrier(&["--credential-header", &bearer], subject), "authorization");

    let sign = |arguments: &[&str]| {
        desk.unusable(&[["sign", "--key", "agent.json"].as_slice(), arguments, &["GET", URL]].concat())
    };
    assert!(sign(&["--passport", "badge"]).contains("no passport"));
    assert!(sign(&["--badge", "agent.passport"]).contains("no Trust Badge"));
    let misplaced = format!("x-token: {}", badge.trim());
    assert!(sign(&["--credential-header", &misplaced]).contains("x-capiscio-badge"));
    assert!(sign(&["--credential-header", "authorization: Bearer x"]).contains("no credential"));
    assert!(sign(&["--credential-header", "authorization"]).contains("NAME:VALUE"));
}

#[test]
fn a_key_that_is_not_the_credentials_signs_nothing() {
    let desk = Desk::furnished();
    let arguments = ["sign", "--key", "helper.jwk", "--passport", "agent.passport", "GET", URL];
    assert!(desk.unusable(&arguments).contains("the credential names"));
}

#[test]
fn what_cannot_be_sent_is_told() {
    let desk = Desk::furnished();
    for (method, url, told) in [
        ("get", URL, "the method"),
        ("GET", "/flights", "https://"),
        ("GET", "https:///flights", "a host"),
        ("GET", "https://me@api.example/", "no user"),
        ("GET", "https://api.example/a b", "percent-encoded"),
        ("GET", "https://api.example/ü", "percent-encoded"),
    ] {
        let message = desk.unusable(&[PASSPORT.as_slice(), &[method, url]].concat());
        assert!(message.contains(told), "{message}");
    }
    desk.misused(&["sign", "--key", "agent.json", "GET", URL]);
    desk.misused(&[PASSPORT.as_slice(), &["--badge", "agent.passport", "GET", URL]].concat());
    desk.misused(&[PASSPORT.as_slice(), &["--expires", "0", "GET", URL]].concat());
}
