//! The control service's OpenAPI document: it is what is checked in, it is kept by what is
//! served, and whoever lacks a scope is refused.

use crate::stand::given;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use xtask::control::{Control, Service};
use xtask::http::{Request, Response};
use xtask::workspace::Workspace;

/// Everything that is served to whoever asks. What is added here is public: say why.
const PUBLIC: &[&str] = &[
    // keys and documents of issuers and agents, which anyone must be able to check
    "GET /.well-known/did.json",
    "GET /.well-known/jwks.json",
    "GET /agents/{id}/did.json",
    "GET /v1/agents/{agent}/status",
    "GET /v1/badges/{jti}/status",
    "GET /v1/revocations",
    "POST /v1/validate",
    // what a gate says of itself to those who would pass it
    "GET /api/gates/{gate_id}/public",
    // what gates offer to strangers: those that are to be found, and what they have signed
    "GET /api/discover",
    // judged by the passport or the proof in the body, or by a key where there is none
    "POST /api/gates/{gate_id}/check",
    "POST /api/passports/register",
    "POST /api/passports/{passport_id}/revoke",
    "POST /v1/agents/{agent}/badge",
    "POST /v1/agents/{agent}/badge/pop",
    "POST /v1/sdk/agents/{agent}/badge/pop",
    // by a one-time token in the body, and signed with the key that it enrols
    "POST /gate/v1/enrol",
    // its id, of 128 random bits, is in the gate's answer to the agent: the status alone
    "GET /api/approvals/{id}",
    // likewise: what the agent was charged, as the gate has signed it
    "GET /api/receipts/{receipt_id}",
    // by the cookie that is begun or ended there, or a link's token: no scope is asked for
    "GET /api/v1/session",
    "POST /api/v1/session",
    "DELETE /api/v1/session",
    // for load balancers: `ok`, `ready`
    "GET /healthz",
    "GET /readyz",
];

fn service() -> (Service, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let control = Control::in_folder(&given("PORTCULLIS_CONTROL"), folder.path(), None).unwrap();
    (control.with(&["--failed-rate", "1000000"]).start().unwrap(), folder)
}

fn document(service: &Service) -> String {
    let answer = Request::new("GET", "/openapi.json").send(service.address).unwrap();
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn the_document_that_is_checked_in_is_the_one_that_is_served() {
    let (service, _folder) = service();
    let served = format!("{}\n", document(&service));
    let file = Workspace::find().unwrap().root.join("docs/openapi.json");
    if std::env::var_os("PORTCULLIS_WRITE_OPENAPI").is_some() {
        std::fs::write(&file, &served).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == served,
        "docs/openapi.json is not what is served; write it with\n\
         PORTCULLIS_WRITE_OPENAPI=1 cargo xtask test the_document_that_is_checked_in\n\
         and read the difference"
    );
}

/// One operation of the document.
struct Operation {
    method: String,
    path: String,
    /// The scheme, and the scope that it asks for.
    security: Option<(String, Option<String>)>,
    /// The parameters that the query must have.
    query: Vec<String>,
}

fn operations(document: &str) -> Vec<Operation> {
    let document: Value = serde_json::from_str(document).unwrap();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            // An empty requirement is met by nobody's credentials.
            let required = operation.get("security").and_then(Value::as_array);
            let schemes =
                required.map(|all| all.iter().map(|one| one.as_object().unwrap()).collect::<Vec<_>>());
            let security = schemes.filter(|all| all.iter().all(|one| !one.is_empty())).map(|all| {
                let (scheme, scopes) = all[0].iter().next().unwrap();
                (scheme.clone(), scopes[0].as_str().map(str::to_owned))
            });
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let query = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "query" && parameter["required"] == true)
                .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
                .collect();
            operations.push(Operation { method: method.to_uppercase(), path: path.clone(), security, query });
        }
    }
    assert!(operations.len() > 10, "the document describes little");
    operations
}

impl Operation {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Calls it with `none` for each parameter of the path, 0 for each that the query must
    /// have, and an empty object as a body.
    fn call(&self, service: &Service, key: Option<&str>) -> Response {
        let path: Vec<_> =
            self.path.split('/').map(|part| if part.contains('{') { "none" } else { part }).collect();
        let query: Vec<_> = self.query.iter().map(|name| format!("{name}=0")).collect();
        let target = format!("{}?{}", path.join("/"), query.join("&"));
        let mut request = Request::new(&self.method, &target);
        if let Some(key) = key {
            request.headers.push(("authorization".to_owned(), format!("Bearer {key}")));
        }
        if ["POST", "PUT", "PATCH"].contains(&self.method.as_str()) {
            request.headers.push(("content-type".to_owned(), "application/json".to_owned()));
            request.body = b"{}".to_vec();
        }
        request.send(service.address).unwrap()
    }
}

#[test]
fn each_operation_refuses_whoever_lacks_its_scope_and_the_public_ones_are_listed() {
    let (service, _folder) = service();
    let all = service.call("POST", "/api/users/api-keys", Some(r#"{"name": "all"}"#)).unwrap();
    let all: Value = serde_json::from_slice(&all.body).unwrap();
    let scopes: BTreeSet<&str> =
        all["scopes"].as_array().unwrap().iter().map(|scope| scope.as_str().unwrap()).collect();
    let mut public = Vec::new();
    for operation in operations(&document(&service)) {
        let name = operation.name();
        let Some((scheme, scope)) = &operation.security else {
            public.push(name);
            continue;
        };
        assert_eq!(operation.call(&service, None).status, 401, "{name} without a key");
        assert_eq!(operation.call(&service, Some("mod_live_wrong")).status, 401, "{name} with a wrong key");
        if scheme != "api_key" {
            // An API key that may do everything is no signature.
            assert_eq!(operation.call(&service, Some(&service.key)).status, 401, "{name} with an API key");
            continue;
        }
        let scope = scope.as_deref().unwrap_or_else(|| panic!("{name} names no scope"));
        assert!(scopes.contains(scope), "{name}: there is no scope {scope}");
        let others: Vec<_> = scopes.iter().filter(|other| **other != scope).collect();
        let asked = json!({"name": "all but one", "scopes": others}).to_string();
        let made = service.call("POST", "/api/users/api-keys", Some(&asked)).unwrap();
        let made: Value = serde_json::from_slice(&made.body).unwrap();
        let refused = operation.call(&service, made["key"].as_str());
        assert_eq!(refused.status, 403, "{name} without the scope {scope}");
        let allowed = operation.call(&service, Some(&service.key)).status;
        assert!(![401, 403].contains(&allowed), "{name} with the scope {scope}: {allowed}");
    }
    public.sort();
    let mut listed = PUBLIC.to_vec();
    listed.sort_unstable();
    assert_eq!(public, listed, "what is public stands in this test");
}

/// Of each operation, beside those that go to the bounds of each parameter: some two minutes
/// for 70 operations. One worker: with threads, CPython 3.11 fails in its own parser at times.
const EXAMPLES: &str = "10";

#[test]
fn what_is_served_keeps_to_the_document() {
    let (service, folder) = service();
    let schemathesis = given("PORTCULLIS_VENV").join("bin/schemathesis");
    assert!(Path::new(&schemathesis).is_file(), "tests/python/requirements.txt is not installed");
    let output = Command::new(schemathesis)
        .current_dir(folder.path())
        .args(["run", &format!("{}/openapi.json", service.url())])
        .args(["--header", &format!("Authorization: Bearer {}", service.key)])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", EXAMPLES, "--seed", "20261121"])
        .args(["--generation-database", "none", "--suppress-health-check", "all", "--warnings", "off"])
        .args(["--request-timeout", "60", "--workers", "1", "--no-color", "--continue-on-failure"])
        // An answer that goes on for ten minutes.
        .args(["--exclude-path", "/api/v1/decisions/stream"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    // The service is as it was: nothing that was sent has brought it down.
    assert_eq!(Request::new("GET", "/readyz").send(service.address).unwrap().status, 200);
}

const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
