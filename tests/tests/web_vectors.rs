//! The vectors in the package for JavaScript: the verdicts of the other three runners, and the
//! whole answers of the command line.

use crate::deno;
use crate::web_stand::{Package, Thrown, command_line, project};
use portcullis_core::catalog::{Catalog, draft};
use portcullis_core::{SecretKey, UnixTime, base64};
use portcullis_tests::vectors::{Expect, Family, Vector};
use serde_json::{Value, json};
use xtask::skipped;

#[test]
fn every_vector_gets_its_verdict_in_javascript_and_the_answer_of_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut package = Package::start();
    let mut wrong = Vec::new();
    let mut judged = 0;
    for (family, name, vector) in vectors() {
        let answer = judge(&mut package, family, &vector);
        judged += 1;
        wrong.extend(otherwise(family, &name, &vector, &answer));
        let mut arguments = vec!["verify", "--at", &vector.now, "-"];
        let bundle = folder.path().join("bundle.json");
        if let Some(trust) = &vector.trust {
            std::fs::write(&bundle, trust.to_string()).unwrap();
            arguments.extend(["--trust", bundle.to_str().unwrap()]);
        }
        for audience in vector.audiences.iter().flatten() {
            arguments.extend(["--audience", audience]);
        }
        if let Some(body) = &vector.body {
            std::fs::write(folder.path().join("body"), body).unwrap();
            arguments.extend(["--body", "body"]);
        }
        let line = match family {
            Family::Badge => "X-Capiscio-Badge: ",
            Family::Passport => "",
            Family::SimpleGuard => "X-Capiscio-JWS: ",
        };
        let (_, told) = command_line(folder.path(), &arguments, &format!("{line}{}", vector.credential));
        if let Ok(answer) = answer
            && told.get("valid").is_some()
            // A verifier without a name of its own is one that compares no audience there.
            && vector.audiences.as_ref().is_none_or(|names| !names.is_empty())
            && answer != told
        {
            wrong.push(format!("{name}: {answer}\nand on the command line {told}"));
        }
    }
    assert!(judged > 300, "only {judged} vectors were judged");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_vector_gets_its_verdict_in_deno() {
    if deno::program().is_none() {
        skipped::tell("every_vector_gets_its_verdict_in_deno", deno::MISSING);
        return;
    }
    let mut package = Package::start_in(deno::run(project()));
    let judged: Vec<_> = vectors().collect();
    assert!(judged.len() > 300, "only {} vectors were judged", judged.len());
    let wrong = judged.iter().filter_map(|(family, name, vector)| {
        otherwise(*family, name, vector, &judge(&mut package, *family, vector))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn vectors() -> impl Iterator<Item = (Family, String, Vector)> {
    Family::ALL.into_iter().flat_map(|family| {
        let read = move |(name, text): (String, String)| (family, name, serde_json::from_str(&text).unwrap());
        family.load().into_iter().map(read)
    })
}

/// What the package says of it.
fn judge(package: &mut Package, family: Family, vector: &Vector) -> Result<Value, Thrown> {
    let function = match family {
        Family::Badge => "verifyBadge",
        Family::Passport => "verifyPassport",
        Family::SimpleGuard => "verifySimpleGuard",
    };
    let mut options = json!({"at": vector.now});
    if let Some(trust) = &vector.trust {
        options["trust"] = trust.to_string().into();
    }
    if let Some(audiences) = &vector.audiences {
        options["audiences"] = json!(audiences);
    }
    if let Some(body) = &vector.body {
        options["body"] = body.as_str().into();
    }
    package.call(function, &[vector.credential.as_str().into(), options])
}

/// How a verdict is another than the vector's.
fn otherwise(family: Family, name: &str, vector: &Vector, answer: &Result<Value, Thrown>) -> Option<String> {
    let member = match family {
        Family::Badge => "/level",
        Family::Passport => "/provenance",
        Family::SimpleGuard => "/signature/kid",
    };
    let verdict = match answer {
        Ok(answer) if answer["valid"] == true => {
            Expect::Valid(answer.pointer(member).and_then(Value::as_str).unwrap_or_default().into())
        }
        Ok(answer) => Expect::Refused(answer["reason_code"].as_str().unwrap_or_default().into()),
        // What is no credential of any kind is no argument, and not refused.
        Err(thrown)
            if thrown.code == "NOT_A_CREDENTIAL"
                && ["no_json", "signature_beside_nothing"].contains(&name) =>
        {
            Expect::Refused("invalid_envelope_shape".into())
        }
        Err(thrown) => Expect::Refused(thrown.code.clone()),
    };
    (verdict != vector.expect)
        .then(|| format!("{name}: {verdict:?} and not {:?} ({})", vector.expect, vector.why))
}

#[test]
fn a_catalog_is_judged_in_javascript_as_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut package = Package::start();
    let permissions = br#"{"permissions":[{"permission_key":"flights:search","display_name":"Search",
        "description":"","constraints":{"core:pricing:per_call_cents":5}}]}"#;
    let catalog = Catalog {
        gate_id: "gate_a".into(),
        version: 3,
        published_at: UnixTime::from_rfc3339("2026-06-01T12:00:00Z").unwrap(),
        permissions: draft(permissions).unwrap(),
    };
    let key = SecretKey::from_seed([1; 32]);
    let public = |key: &SecretKey| base64::encode(&key.public_key());
    let signed = catalog.sign(&key).unwrap();
    let published = json!({
        "gate_id": "gate_a", "version": 3, "content_hash": signed.content_hash,
        "catalog_snapshot": serde_json::from_str::<Value>(&signed.snapshot).unwrap(),
        "signature": signed.signature, "public_key": public(&key), "signing_key_id": "k1", "changes": [],
    });
    let cheaper = published.to_string().replace("per_call_cents\":5", "per_call_cents\":4");
    let other = public(&SecretKey::from_seed([2; 32]));
    for (text, by, valid) in [
        (published.to_string(), public(&key), true),
        (published.to_string(), other, false),
        (cheaper, public(&key), false),
        ("{".into(), public(&key), false),
    ] {
        let (_, told) = command_line(folder.path(), &["catalog", "verify", "-", "--key", &by], &text);
        assert_eq!(told["valid"], valid, "{told}");
        let found = package.call("verifyCatalog", &[text.into(), json!({"key": by})]).unwrap();
        assert_eq!(found, told);
    }
}
