//! Credentials and signed requests that JavaScript makes, before those that did not write it:
//! the real Modei client, an RFC 9421 package, jose, and WebCrypto; and theirs in JavaScript.

use crate::sdk::Sdk;
use crate::web_stand::{Package, given, node};
use portcullis_core::base64;
use portcullis_core::modei::{Provenance, SelfContained, from_json, from_jwt, verify};
use serde_json::{Value, json};

const PERMISSIONS: &str = r#"[{"permission_key":"flights:book","constraints":{"max_per_action_cost":500}},
    {"permission_key":"flights:search"}]"#;

fn permissions() -> Value {
    serde_json::from_str(PERMISSIONS).unwrap()
}

/// A key that JavaScript has, and one that WebCrypto keeps.
fn credentials(package: &mut Package) -> [(Value, Value); 2] {
    let plain = package.call("generateCredentials", &[]).unwrap();
    let kept = package.call("generateCredentials", &[json!({"webCrypto": true})]).unwrap();
    assert!(kept["private_key"].is_null(), "the key does not leave the runtime");
    let named = json!({"$key": kept["key"]});
    [(plain["private_key"].clone(), plain), (named, kept)]
}

#[test]
fn the_real_client_and_the_core_take_the_passports_that_javascript_issues_and_delegates() {
    let (mut package, mut client) = (Package::start(), Sdk::start());
    let [(first, one), (second, other)] = credentials(&mut package);
    for (key, holder, next, to) in [(&first, &one, &second, &other), (&second, &other, &first, &one)] {
        let options = json!({"key": key, "permissions": permissions(), "name": "Ω", "delegable": true});
        let made = package.call("selfIssue", &[options]).unwrap();
        assert_eq!(made["agent_id"], holder["agent_id"]);
        let text = made["credential"].as_str().unwrap();
        assert_eq!(client.ask("verify", json!({"text": text}))["verdict"], "valid", "{text}");
        let passport = verify(&from_json(text.into()), &SelfContained).unwrap();
        assert_eq!(passport.provenance(), Provenance::L0);
        let options = json!({"key": key, "to": to["public_key"], "permissions": ["flights:search"]});
        let child = package.call("delegate", &[text.into(), options]).unwrap();
        let child = child["credential"].as_str().unwrap();
        assert_eq!(client.ask("verify", json!({"text": child}))["verdict"], "valid", "{child}");
        let delegated = verify(&from_json(child.into()), &SelfContained).unwrap();
        assert_eq!(delegated.agent_id(), to["agent_id"]);
        assert_eq!(delegated.depth(), 1);
        assert_eq!(delegated.expires_at(), passport.expires_at(), "a child lives as long as its parent");
        // The other's key is none to delegate with.
        let options = json!({"key": next, "to": to["public_key"], "permissions": ["flights:search"]});
        let refused = package.call("delegate", &[text.into(), options]).unwrap_err();
        assert_eq!(refused.code, "signature_invalid");
        // More than the parent has is refused before it is handed out.
        let options = json!({"key": key, "to": to["public_key"], "permissions": ["hotels:book"]});
        let refused = package.call("delegate", &[text.into(), options]).unwrap_err();
        assert_eq!(refused.code, "permission_elevation_in_chain");
    }
}

#[test]
fn javascript_verifies_what_the_real_client_issues() {
    let (mut package, mut client) = (Package::start(), Sdk::start());
    let seed = |hop: u8| format!("{:02x}", hop.wrapping_add(1)).repeat(32);
    let hop = |hop: u8| {
        json!({"seed": seed(hop), "expires_in": 3600 - 60 * i64::from(hop),
            "permissions": [{"permission_key": "flights:search", "constraints": {}}]})
    };
    for depth in 0..=3_u8 {
        let hops: Vec<_> = (0..=depth).map(hop).collect();
        let issued = client.ask("issue", json!({"hops": hops}));
        let text = issued["passport"].as_str().expect("a passport");
        let answer = package.call("verifyPassport", &[text.into()]).unwrap();
        assert_eq!(answer["valid"], true, "{answer}");
        assert_eq!(answer["passport"]["hops"].as_array().unwrap().len(), usize::from(depth) + 1);
        let forged = text.replace("flights:search", "flights:cancel");
        assert_eq!(package.call("verifyCredential", &[forged.into()]).unwrap()["valid"], false);
    }
}

#[test]
fn an_independent_package_takes_the_requests_that_javascript_signs() {
    let (mut package, mut other) = (Package::start(), Sdk::running("http_signatures.py"));
    for (key, holder) in credentials(&mut package) {
        for (body, form) in [(None, "json"), (Some("{\"to\":\"Ω\"}"), "jwt")] {
            let options = json!({"key": key, "permissions": permissions(), "form": form});
            let made = package.call("selfIssue", &[options]).unwrap();
            if form == "jwt" {
                let token = made["credential"].as_str().unwrap();
                assert!(verify(&from_jwt(token.as_bytes()).unwrap(), &SelfContained).is_ok());
            }
            let (method, url) = ("POST", "https://API.example:8443/a/%7Eb?x=1&y=%20");
            let request = json!({"method": method, "url": url, "body": body});
            let options = json!({"key": key, "credential": made["credential"]});
            let signed = package.call("signRequest", &[request, options]).unwrap();
            let headers: Vec<_> = signed["headers"].as_object().unwrap().iter().collect();
            let carrier = made["header"]["name"].as_str().unwrap();
            let mut components = vec!["@method", "@authority", "@path", "@query", carrier];
            components.extend(body.map(|_| "content-digest"));
            let public = base64::decode(holder["public_key"].as_str().unwrap()).unwrap();
            let public: String = public.iter().map(|byte| format!("{byte:02x}")).collect();
            let found = other.ask(
                "verify",
                json!({
                    "request": {"method": method, "url": url, "headers": headers},
                    "body": body.map(|body| base64::encode(body.as_bytes())),
                    "public_key": public, "key_id": holder["agent_id"], "components": components,
                }),
            );
            assert_eq!(found["nonce"], signed["nonce"], "{found}");
            // And so does a gate, here.
            let request = |body: Option<&str>, url: &str| json!({"method": method, "url": url, "body": body, "headers": signed["headers"]});
            let judged = package.call("verifyProof", &[request(body, url)]).unwrap();
            assert_eq!(judged["valid"], true, "{judged}");
            assert_eq!(judged["agent_id"], holder["agent_id"]);
            assert_eq!(judged["proof"]["nonce"], signed["nonce"]);
            let moved = package.call("verifyProof", &[request(body, "https://api.example:8443/b")]).unwrap();
            assert_eq!(moved["reason_code"], "proof_signature_invalid");
            let changed = package.call("verifyProof", &[request(Some("{}"), url)]).unwrap();
            let reason = if body.is_some() { "body_digest_mismatch" } else { "body_not_signed" };
            assert_eq!(changed["reason_code"], reason);
            let late = json!({"at": "2100-01-01T00:00:00Z"});
            let late = package.call("verifyProof", &[request(body, url), late]).unwrap();
            assert_eq!(late["reason_code"], "passport_expired");
        }
    }
}

#[test]
fn a_request_is_signed_for_a_challenge_and_judged_by_the_windows_that_the_caller_says() {
    let mut package = Package::start();
    let [(key, holder), _] = credentials(&mut package);
    let at = |seconds: i64| json!(1_780_315_200_000 + seconds * 1000);
    let options = json!({"key": key, "permissions": ["flights:search"], "at": at(-60)});
    let passport = package.call("selfIssue", &[options]).unwrap()["credential"].clone();
    let request = json!({"url": "https://api.example/flights?from=OSL"});
    let sign = |package: &mut Package, more: Value| {
        let mut options = json!({"key": key, "credential": passport, "at": at(0)});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        package.call("signRequest", &[request.clone(), options])
    };
    let judge = |package: &mut Package, signed: &Value, options: Value| {
        let request = json!({"url": request["url"], "headers": signed["headers"]});
        package.call("verifyProof", &[request, options])
    };

    // The challenge of a gate is the nonce, whatever else is given; without one the caller's own is.
    let challenge = base64::encode_url(&[7; 96]);
    let asked = format!(
        "agent=(\"@method\" \"@authority\" \"@path\" \"@query\" \"agent-passport\");created;keyid=\"{}\";\
         alg=\"ed25519\";nonce=\"{challenge}\";tag=\"agent-proof\"",
        holder["agent_id"].as_str().unwrap()
    );
    let nonce = base64::encode(&[3; 16]);
    for (more, wanted) in [
        (json!({"challenge": asked}), &challenge),
        (json!({"challenge": asked, "nonce": nonce}), &challenge),
        (json!({"nonce": nonce}), &nonce),
    ] {
        let signed = sign(&mut package, more).unwrap();
        assert_eq!(signed["nonce"], json!(wanted));
        let judged = judge(&mut package, &signed, json!({"at": at(0)})).unwrap();
        assert_eq!((&judged["valid"], &judged["proof"]["nonce"]), (&json!(true), &json!(wanted)), "{judged}");
    }
    for (more, code, says) in [
        (json!({"challenge": "sig=()"}), "INVALID_ARGUMENT", "options.challenge"),
        (json!({"expiresIn": 0}), "INVALID_ARGUMENT", "expiresIn"),
        // What no gate would take is not handed out.
        (json!({"nonce": "short"}), "proof_nonce_too_short", "22 characters"),
        (json!({"credential": "{}"}), "NOT_A_CREDENTIAL", "expected is"),
    ] {
        let thrown = sign(&mut package, more.clone()).unwrap_err();
        assert_eq!(thrown.code, code, "{more}: {thrown:?}");
        assert!(thrown.detail.contains(says), "{more}: {thrown:?}");
    }

    // A proof is good for as long as a gate lets it, or shorter where its agent says so.
    let signed = sign(&mut package, json!({})).unwrap();
    let brief = sign(&mut package, json!({"expiresIn": 30})).unwrap();
    let strict = |seconds: i64| json!({"at": at(seconds), "skewMs": 0, "lifeMs": 10_000});
    let (good, expired, early) = (Value::Null, json!("proof_expired"), json!("proof_not_yet_valid"));
    for (signed, options, reason) in [
        (&signed, json!({"at": at(299)}), &good),
        (&signed, json!({"at": at(360)}), &expired),
        (&signed, json!({"at": at(300), "skewMs": 0}), &expired),
        (&signed, strict(9), &good),
        (&signed, strict(10), &expired),
        (&signed, json!({"at": at(-1)}), &good),
        (&signed, strict(-1), &early),
        (&brief, json!({"at": at(29), "skewMs": 0}), &good),
        (&brief, json!({"at": at(30), "skewMs": 0}), &expired),
    ] {
        let judged = judge(&mut package, signed, options.clone()).unwrap();
        assert_eq!(&judged["reason_code"], reason, "{options}: {judged}");
        assert_eq!(judged["valid"], reason.is_null(), "{options}");
    }
    let thrown = judge(&mut package, &signed, json!({"lifeMs": "10"})).unwrap_err();
    assert_eq!((thrown.code.as_str(), thrown.detail.contains("life_ms")), ("INVALID_ARGUMENT", true));
}

#[test]
fn nobody_signs_with_another_key_than_the_credentials() {
    let mut package = Package::start();
    let [(key, _), (other, _)] = credentials(&mut package);
    for (key, other) in [(&key, &other), (&other, &key)] {
        let options = json!({"key": key, "permissions": ["flights:search"]});
        let passport = package.call("selfIssue", &[options]).unwrap()["credential"].clone();
        let request = json!({"url": "https://api.example/flights"});
        let options = json!({"key": other, "credential": passport});
        let thrown = package.call("signRequest", &[request, options]).unwrap_err();
        assert_eq!(thrown.code, "WRONG_KEY", "{thrown:?}");
    }
}

#[test]
fn jose_and_webcrypto_take_what_javascript_makes_and_make_what_it_takes() {
    let output = node()
        .arg("interop.mjs")
        .env("JOSE", given("PORTCULLIS_NODE_PACKAGES").join("jose/dist/webapi/index.js"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().count(), 4, "{said}");
}
