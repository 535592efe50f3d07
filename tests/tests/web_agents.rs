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
