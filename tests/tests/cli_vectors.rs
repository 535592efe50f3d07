//! The vectors on the command line.

use portcullis_tests::vectors::{Expect, Vector, load};
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn every_vector_gets_its_verdict_from_the_command_line() {
    let program =
        std::env::var_os("PORTCULLIS_CLI").expect("PORTCULLIS_CLI is not set: run `cargo xtask test`");
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in load() {
        let vector: Vector = serde_json::from_str(&text).unwrap();
        let mut command = Command::new(&program);
        command.args(["verify", "--json", "--at", &vector.now]);
        if let Some(trust) = &vector.trust {
            let bundle = folder.path().join(format!("{name}.json"));
            std::fs::write(&bundle, trust.to_string()).unwrap();
            command.arg("--trust").arg(bundle);
        }
        let mut child = command.arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // A program that has seen enough may stop reading before the end.
        let _ = child.stdin.take().unwrap().write_all(vector.credential.as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
        match (&vector.expect, output.status.code()) {
            (Expect::Valid(provenance), Some(0)) => {
                assert_eq!(answer["valid"], true, "{name}: {said}");
                assert_eq!(answer["reason_code"], serde_json::Value::Null, "{name}: {said}");
                assert_eq!(answer["provenance"], provenance.as_str(), "{name}: {said}");
            }
            (Expect::Refused(code), Some(1)) => {
                assert_eq!(answer["valid"], false, "{name}: {said}");
                assert_eq!(answer["reason_code"], code.as_str(), "{name}: {said}");
            }
            // What is no credential of any kind is unusable input, and not refused.
            (Expect::Refused(code), Some(2)) if code == "invalid_envelope_shape" => {
                assert!(["no_json", "signature_beside_nothing"].contains(&name.as_str()), "{name}: {said}");
            }
            (expected, status) => panic!("{name}: {expected:?}, and exit status {status:?}: {said}"),
        }
    }
}
