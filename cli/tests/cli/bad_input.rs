//! Whatever is handed to the program: an answer, and never a panic.

use crate::support::Desk;

/// Files that are no credential, no key and no configuration.
fn junk() -> Desk {
    let desk = Desk::furnished();
    desk.write("empty", "");
    desk.write("blank", " \r\n\t ");
    desk.write("brackets", "[".repeat(1 << 20));
    desk.write("braces", "{\"a\":".repeat(50_000));
    desk.write("binary", (0..=255_u8).cycle().take(65_536).collect::<Vec<_>>());
    desk.write("zeros", vec![0_u8; 4096]);
    desk.write("words", "this is a letter, and no credential");
    desk.write("other.json", r#"{"hello":"world"}"#);
    desk.write("other.jwt", "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.e30.");
    std::fs::create_dir(desk.path("folder")).expect("a folder");
    desk
}

const JUNK: [&str; 11] = [
    "empty",
    "blank",
    "brackets",
    "braces",
    "binary",
    "zeros",
    "words",
    "other.json",
    "other.jwt",
    "folder",
    "missing",
];

#[test]
fn what_is_no_credential_is_unusable_and_named() {
    let desk = junk();
    for file in JUNK {
        for command in ["verify", "inspect"] {
            let message = desk.unusable(&[command, file]);
            assert!(message.contains(file) && message.len() < 1_000, "{message}");
        }
    }
}

#[test]
fn what_is_no_credential_is_unusable_from_standard_input_too() {
    let desk = junk();
    for file in JUNK.into_iter().filter(|file| !["folder", "missing"].contains(file)) {
        let outcome = desk.run_reading(file, &["verify", "-"]);
        assert_eq!((outcome.code, outcome.out.as_str()), (2, ""), "{file}");
        assert!(outcome.err.contains("standard input"), "{}", outcome.err);
    }
}

#[test]
fn what_is_no_key_is_unusable_wherever_a_key_is_asked_for() {
    let desk = junk();
    for file in JUNK {
        desk.unusable(&["issue", "--key", file, "--permission", "a:b"]);
        let delegate = ["delegate", "--parent", "agent.passport", "--permission", "a:b"];
        desk.unusable(&[delegate.as_slice(), &["--key", file, "--to", "helper.jwk"]].concat());
        desk.unusable(&[delegate.as_slice(), &["--key", "agent.json", "--to", file]].concat());
    }
}

#[test]
fn what_is_no_passport_or_trust_material_is_unusable_as_such() {
    let desk = junk();
    for file in JUNK {
        let delegate = ["delegate", "--parent", file, "--key", "agent.json", "--to", "helper.jwk"];
        desk.unusable(&[delegate.as_slice(), &["--permission", "a:b"]].concat());
        desk.unusable(&["verify", "agent.passport", "--trust", file]);
        desk.unusable(&["bundle", "--issuer", file]);
        desk.unusable(&["bundle", "--config", file]);
    }
}

#[test]
fn no_part_of_a_private_key_is_ever_repeated() {
    let desk = Desk::furnished();
    let secret = desk.read_json("agent.json")["private_key_base64"].as_str().expect("text").to_owned();
    for arguments in [
        &["verify", "agent.json"][..],
        &["inspect", "agent.json"],
        &["verify", "agent.passport", "--trust", "agent.json"],
        &["bundle", "--issuer", "agent.json"],
        &["bundle", "--config", "agent.json"],
        &[
            "delegate",
            "--parent",
            "agent.json",
            "--key",
            "agent.json",
            "--to",
            "helper.jwk",
            "--permission",
            "a:b",
        ],
    ] {
        assert!(!desk.unusable(arguments).contains(&secret), "{arguments:?}");
    }
    desk.write("agent.json", desk.read("agent.json").replace("\"version\": 1", "\"version\": 7"));
    assert!(!desk.unusable(&["issue", "--key", "agent.json", "--permission", "a:b"]).contains(&secret));
}

#[test]
fn an_endless_file_is_read_to_its_bound() {
    let desk = Desk::furnished();
    let message = desk.unusable(&["verify", "/dev/zero"]);
    assert!(message.contains("larger than"), "{message}");
    desk.unusable(&["issue", "--key", "/dev/zero", "--permission", "a:b"]);
}

#[test]
fn what_cannot_be_written_is_named_and_leaves_nothing() {
    let desk = Desk::furnished();
    let before = desk.files();
    for arguments in [
        &["keygen", "--out", "no/such/folder/key.json"][..],
        &["issue", "--key", "agent.json", "--permission", "a:b", "--out", "no/such/folder/p"],
        &["bundle", "--self-issued", "a:b", "--out", "no/such/folder/t.json"],
    ] {
        assert!(desk.unusable(arguments).contains("no/such/folder"), "{arguments:?}");
    }
    assert_eq!(desk.files(), before);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"));
    let output = program.args(["explain", "--all"]).stdout(writer).output().expect("the program");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn what_the_program_does_not_know_ends_with_2() {
    let desk = Desk::new();
    for arguments in [&[][..], &["frobnicate"], &["verify"], &["verify", "a", "b"], &["keygen", "--colour"]] {
        desk.misused(arguments);
    }
    for arguments in [&["--help"][..], &["--version"], &["bundle", "--help"]] {
        assert_eq!(desk.run(arguments).code, 0, "{arguments:?}");
    }
}
