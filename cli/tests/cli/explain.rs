//! Reason codes.

use crate::support::{Desk, members};

#[test]
fn a_code_is_explained_in_words_and_as_json() {
    let desk = Desk::new();
    let text = desk.done(&["explain", "passport_expired"]);
    assert!(text.starts_with("passport_expired\n"), "{text}");
    let explained = desk.done_json(&["explain", "passport_expired"]);
    assert_eq!(members(&explained), ["code", "meaning", "remedy", "who"]);
}

#[test]
fn all_codes_are_explained_each_once() {
    let desk = Desk::new();
    let reasons = desk.done_json(&["explain", "--all"])["reasons"].clone();
    let mut codes: Vec<_> =
        reasons.as_array().expect("a list").iter().map(|reason| reason["code"].clone()).collect();
    assert!(codes.contains(&"signature_invalid".into()) && codes.len() > 30);
    let count = codes.len();
    codes.sort_by_key(ToString::to_string);
    codes.dedup();
    assert_eq!(codes.len(), count);
    for code in codes {
        desk.done(&["explain", code.as_str().expect("text")]);
    }
}

#[test]
fn a_code_may_be_pasted_from_a_reply() {
    let desk = Desk::new();
    for code in ["urn:portcullis:reason:path_ambiguous", "PATH_AMBIGUOUS", "path-ambiguous"] {
        assert_eq!(desk.done_json(&["explain", code])["code"], "path_ambiguous", "{code}");
    }
}

#[test]
fn an_unknown_code_brings_those_that_are_like_it() {
    let desk = Desk::new();
    for (asked, meant) in [
        ("passport_expird", "`passport_expired`"),
        ("expired", "`passport_expired`"),
        ("signature", "`signature_invalid`"),
        ("xyzzy", "--all"),
        ("", "--all"),
    ] {
        let message = desk.unusable(&["explain", asked]);
        assert!(message.contains(meant), "{asked}: {message}");
    }
    let long = "a".repeat(10_000);
    let message = desk.unusable(&["explain", &long]);
    assert!(message.len() < 200 && message.contains("--all"), "{message}");
}

#[test]
fn one_code_or_all_but_not_neither_or_both() {
    let desk = Desk::new();
    desk.misused(&["explain"]);
    desk.misused(&["explain", "--all", "passport_expired"]);
}
