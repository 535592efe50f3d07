//! The vectors on the command line.

use portcullis_tests::vectors::{Expect, Family, Vector};
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn every_vector_gets_its_verdict_from_the_command_line() {
    let program =
        std::env::var_os("PORTCULLIS_CLI").expect("PORTCULLIS_CLI is not set: run `cargo xtask test`");
    let folder = tempfile::tempdir().unwrap();
    let all =
        Family::ALL.into_iter().flat_map(|family| family.load().into_iter().map(move |file| (family, file)));
    for (family, (name, text)) in all {
        let vector: Vector = serde_json::from_str(&text).unwrap();
        let mut command = Command::new(&program);
        command.args(["verify", "--json", "--at", &vector.now]);
        if let Some(trust) = &vector.trust {
            let bundle = folder.path().join(format!("{name}.json"));
            std::fs::write(&bundle, trust.to_string()).unwrap();
            command.arg("--trust").arg(bundle);
        }
        for audience in vector.audiences.iter().flatten() {
            command.args(["--audience", audience]);
        }
        if let Some(body) = &vector.body {
            let file = folder.path().join("body");
            std::fs::write(&file, body).unwrap();
            command.arg("--body").arg(file);
        }
        let (line, member) = match family {
            Family::Badge => ("X-Capiscio-Badge: ", "level"),
            Family::Passport => ("", "provenance"),
            Family::SimpleGuard => ("X-Capiscio-JWS: ", "kid"),
        };
        let credential = format!("{line}{}", vector.credential);
        let mut child = command.arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // A program that has seen enough may stop reading before the end.
        let _ = child.stdin.take().unwrap().write_all(credential.as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
        match (&vector.expect, output.status.code()) {
            (Expect::Valid(what), Some(0)) => {
                assert_eq!(answer["valid"], true, "{name}: {said}");
                assert_eq!(answer["reason_code"], serde_json::Value::Null, "{name}: {said}");
                let told = if member == "kid" { &answer["signature"][member] } else { &answer[member] };
                assert_eq!(told, what.as_str(), "{name}: {said}");
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
