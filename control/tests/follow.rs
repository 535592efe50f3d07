//! Registries, DID documents and domains of others: what they say counts, and nothing else
//! that they can do.

use crate::common::Bench;
use crate::common::outside::{Answer, Registry, Web, jwks};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use xtask::on_every_database;

on_every_database!(
    keys_revocations_and_agents_of_a_registry_are_followed,
    what_a_registry_cannot_say_changes_nothing,
    a_did_web_document_is_followed,
);

const LOCAL: &[[u8; 4]] = &[[127, 0, 0, 1]];

/// A service, and a world outside of it.
struct World {
    bench: Bench,
    registry: Registry,
}

impl World {
    fn new(database: Option<&str>, options: &[&str]) -> Self {
        let registry = Registry::start();
        let follows = registry.options(1);
        let all: Vec<&str> = follows.iter().map(String::as_str).chain(options.iter().copied()).collect();
        World { bench: Bench::with(database, &all), registry }
    }

    fn inside(database: Option<&str>) -> Self {
        Self::new(database, &["--allow-private-addresses"])
    }

    fn follow(&self) -> String {
        let body = json!({"origin": self.registry.origin, "tier": 2, "actions": ["orders:*"]});
        let (status, made) = self.bench.call("POST", "/api/v1/followed-issuers", Some(body));
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().unwrap().to_owned()
    }

    fn state(&self, id: &str) -> Value {
        let (status, state) = self.bench.call("GET", &format!("/api/v1/followed-issuers/{id}"), None);
        assert_eq!(status, 200, "{state}");
        state
    }

    /// Waits until the registry is known as a test expects.
    fn until(&self, id: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let state = self.state(id);
            if is_so(&state) {
                return state;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "not {what}: {state}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn failed_with(&self, id: &str, problem: &str) -> Value {
        self.until(id, problem, |state| state["last_error"].as_str().is_some_and(|e| e.contains(problem)))
    }

    /// A gate's view of revocations is by fingerprints; the table has the names.
    fn revoked(&self) -> Vec<(String, String, String)> {
        let url = self.bench.control.database.clone();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let db = portcullis_control::db::Db::open(&url).await.unwrap();
            let rows = sqlx::query_as("SELECT kind, issuer, id FROM revocations ORDER BY kind, id")
                .fetch_all(db.pool())
                .await
                .unwrap();
            db.close().await;
            rows
        })
    }

    fn execute(&self, sql: &'static str) {
        let url = self.bench.control.database.clone();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let db = portcullis_control::db::Db::open(&url).await.unwrap();
            sqlx::query(sql).execute(db.pool()).await.unwrap();
            db.close().await;
        });
    }
}

fn kids(state: &Value) -> Vec<&str> {
    state["keys"].as_array().unwrap().iter().map(|key| key["key_id"].as_str().unwrap()).collect()
}

const BADGE_1: &str = "11111111-1111-4111-8111-111111111111";
const BADGE_2: &str = "22222222-2222-4222-8222-222222222222";

fn keys_revocations_and_agents_of_a_registry_are_followed(database: Option<&str>) {
    let world = World::inside(database);
    let did = "did:web:agent.test";
    let status_path = "/v1/agents/did%3Aweb%3Aagent.test/status";
    world.registry.serve(&[("old", 1), ("new", 2)]);
    world.registry.web.set_json(
        "/v1/revocations?limit=1000",
        &json!({"revocations": [{"jti": BADGE_1}], "nextCursor": "a+1"}),
    );
    world.registry.web.set_json(
        "/v1/revocations?limit=1000&since=a%2B1",
        &json!({"revocations": [{"jti": BADGE_2.to_uppercase()}], "nextCursor": "end"}),
    );
    world
        .registry
        .web
        .set_json("/v1/revocations?limit=1000&since=end", &json!({"revocations": [], "nextCursor": "end"}));
    world.registry.web.set_json(status_path, &json!({"id": "7", "status": "suspended"}));
    let id = world.follow();
    let (status, _) =
        world.bench.call("POST", &format!("/api/v1/followed-issuers/{id}/agents"), Some(json!({"did": did})));
    assert_eq!(status, 201);
    let state = world.until(&id, "synced", |state| state["synced_at"].is_string());
    assert_eq!(kids(&state), ["new", "old"]);
    let row = |kind: &str, id: &str| (kind.to_owned(), world.registry.origin.clone(), id.to_owned());
    let badges = [row("b", BADGE_1), row("b", BADGE_2)];
    let with_agent = [vec![row("a", did)], badges.to_vec()].concat();
    let until_revoked = |expected: &[(String, String, String)]| {
        let began = Instant::now();
        while world.revoked() != expected {
            assert!(began.elapsed() < Duration::from_secs(60), "{:?}", world.revoked());
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    until_revoked(&with_agent);

    // Rotation: what is no longer listed is no longer trusted.
    world.registry.web.set_json("/.well-known/jwks.json", &jwks(&[("new", 2), ("newest", 3)]));
    world.until(&id, "rotated", |state| kids(state) == ["new", "newest"]);
    world.registry.web.set_json(status_path, &json!({"did": did, "status": "active"}));
    until_revoked(&badges);

    // An agent of which nothing is known keeps the registry from being complete.
    world.registry.web.set(status_path, Answer::Text(500, String::new()));
    let failed = world.failed_with(&id, "answers 500");
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(world.state(&id)["synced_at"], failed["synced_at"]);
    assert_eq!(world.revoked(), badges);
    assert_eq!(world.bench.call("DELETE", &format!("/api/v1/followed-issuers/{id}"), None).0, 200);
    assert_eq!(world.bench.call("GET", &format!("/api/v1/followed-issuers/{id}"), None).0, 404);
}

fn what_a_registry_cannot_say_changes_nothing(database: Option<&str>) {
    let world = World::inside(database);
    world.registry.serve(&[("good", 1)]);
    let id = world.follow();
    world.until(&id, "synced", |state| state["synced_at"].is_string());
    let jwks_path = Registry::JWKS;
    let feed = Registry::FEED;
    let cases = [
        (jwks_path, Answer::Text(200, "{".to_owned()), "strict JSON"),
        (jwks_path, Answer::Text(200, r#"{"keys": []}"#.to_owned()), "no Ed25519 key"),
        (jwks_path, Answer::Redirect(format!("{}/elsewhere", world.registry.origin)), "redirect"),
        (jwks_path, Answer::Long(80 * 1024), "longer than"),
        (jwks_path, Answer::Text(200, " ".repeat(80 * 1024)), "longer than"),
        (feed, Answer::Text(200, json!({"revocations": [{"jti": "x"}]}).to_string()), "UUID"),
        (
            feed,
            Answer::Text(
                200,
                json!({"revocations": [{"jti": BADGE_1, "iss": "https://other.test"}]}).to_string(),
            ),
            "another issuer",
        ),
    ];
    for (path, answer, problem) in cases {
        world.registry.serve(&[("good", 1)]);
        world.registry.web.set(path, answer);
        // Failures put looks off.
        world.execute("UPDATE followed_issuers SET look_at = 0, failures = 0");
        let state = world.failed_with(&id, problem);
        assert_eq!(kids(&state), ["good"], "{problem}");
        assert_eq!(world.revoked(), [], "{problem}");
    }
    assert!(!world.registry.web.asked().contains(&"/elsewhere".to_owned()), "a redirect was followed");

    // A feed that goes round ends.
    world.registry.serve(&[("good", 1)]);
    for (since, next) in [("", "a"), ("&since=a", "b"), ("&since=b", "a")] {
        let page = json!({"revocations": [{"jti": BADGE_1}], "nextCursor": next});
        world.registry.web.set_json(&format!("{feed}{since}"), &page);
    }
    world.execute("UPDATE followed_issuers SET look_at = 0, failures = 0");
    world.failed_with(&id, "goes round");
}

fn a_did_web_document_is_followed(database: Option<&str>) {
    let world = World::inside(database);
    let did = format!("did:web:{}%3A{}:agents:7", Registry::NAME, world.registry.web.address.port());
    let key = jwks(&[("x", 5)])["keys"][0].clone();
    let document = |id: &str| json!({"id": id, "verificationMethod": [{"id": format!("{id}#key-1"), "publicKeyJwk": key}]});
    world.registry.web.set_json("/agents/7/did.json", &document("did:web:other.test"));
    let (status, made) = world.bench.call("POST", "/api/v1/did-documents", Some(json!({"did": did})));
    assert_eq!(status, 201, "{made}");
    let until = |what: &str, is_so: &dyn Fn(&Value) -> bool| {
        let began = Instant::now();
        loop {
            let (_, listed) = world.bench.call("GET", "/api/v1/did-documents", None);
            if is_so(&listed[0]) {
                return listed[0].clone();
            }
            assert!(began.elapsed() < Duration::from_secs(60), "not {what}: {listed}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let other = until("refused", &|document| document["last_error"].is_string());
    assert!(other["last_error"].as_str().unwrap().contains("another DID"), "{other}");
    assert_eq!(other["keys"], json!([]));
    let methods: Vec<_> = (0..33)
        .map(|index| json!({"id": format!("{did}#key-{index}"), "publicKeyJwk": jwks(&[("x", index)])["keys"][0]}))
        .collect();
    world.registry.web.set_json("/agents/7/did.json", &json!({"id": did, "verificationMethod": methods}));
    world.execute("UPDATE did_documents SET look_at = 0, failures = 0, last_error = NULL");
    let many = until("refused", &|document| document["last_error"].is_string());
    assert!(many["last_error"].as_str().unwrap().contains("more than 32"), "{many}");
    world.registry.web.set_json("/agents/7/did.json", &document(&did));
    world.execute("UPDATE did_documents SET look_at = 0, failures = 0");
    let seen = until("seen", &|document| document["seen_at"].is_string());
    assert_eq!(seen["keys"][0]["key_id"], format!("{did}#key-1"));
    let path = format!("/api/v1/did-documents/{}", did.replace('%', "%25"));
    assert_eq!(world.bench.call("DELETE", &path, None).0, 200);
}

#[test]
fn a_private_address_is_not_asked() {
    let world = World::new(None, &[]);
    world.registry.serve(&[("good", 1)]);
    // One private address among public ones is enough.
    world.registry.dns.set(Registry::NAME, &[&[[127, 0, 0, 1], [1, 1, 1, 1]]]);
    let id = world.follow();
    let state = world.failed_with(&id, "not of the public Internet");
    assert_eq!(state["keys"], json!([]));
    assert_eq!(world.registry.web.asked(), [""; 0]);
}

#[test]
fn the_connection_goes_to_the_address_that_was_judged() {
    let world = World::inside(None);
    world.registry.serve(&[("first", 1)]);
    let port = world.registry.web.address.port();
    let second = Web::start(&world.registry.ca, [127, 0, 0, 2], port, &[Registry::NAME]);
    second.set_json("/.well-known/jwks.json", &jwks(&[("second", 2)]));
    world.registry.dns.set(Registry::NAME, &[LOCAL, &[[127, 0, 0, 2]]]);
    let id = world.follow();
    let state = world.until(&id, "seen", |state| state["keys_seen_at"].is_string());
    assert_eq!(kids(&state), ["first"]);
    assert!(world.registry.dns.asked(Registry::NAME) >= 1);
}

#[test]
fn a_domain_is_verified_by_its_record_and_by_nothing_else() {
    let world = World::inside(None);
    world.execute(
        "INSERT INTO issuers (issuer_id, name, domain, trust_tier, actions, metadata, created_at) \
         VALUES ('iss_1', 'one', 'shop.test', 2, '[]', '{}', 0), ('iss_2', 'two', NULL, 1, '[]', '{}', 0)",
    );
    let verify = |method: &str| {
        world.bench.call("POST", "/api/v1/issuers/iss_1/domain/verify", Some(json!({"method": method})))
    };
    assert_eq!(verify("dns-txt").0, 409, "there is no challenge yet");
    let (status, asked) = world.bench.call("POST", "/api/v1/issuers/iss_1/domain/challenge", None);
    assert_eq!(status, 200, "{asked}");
    let value = asked["dns_txt"]["value"].as_str().unwrap();
    let refused = |method: &str| {
        let (status, answer) = verify(method);
        assert_eq!((status, &answer["verified"]), (200, &json!(false)), "{answer}");
    };
    refused("dns-txt");
    refused("http-file");
    world
        .registry
        .dns
        .set_texts("_portcullis-challenge.shop.test", &["portcullis-domain=wrong", "portcullis-domain="]);
    refused("dns-txt");
    world.registry.dns.set_texts("shop.test", &[value]);
    refused("dns-txt");
    world.registry.dns.set_texts("_portcullis-challenge.shop.test", &["other", value]);
    let (status, answer) = verify("dns-txt");
    assert_eq!((status, &answer["verified"]), (200, &json!(true)), "{answer}");
    assert_eq!(verify("dns-txt").0, 409, "a token is used once");
    assert_eq!(verify("by-hand").0, 422);
    let call = |id: &str| world.bench.call("POST", &format!("/api/v1/issuers/{id}/domain/challenge"), None).0;
    assert_eq!((call("iss_2"), call("iss_3"), call("iss_1")), (409, 404, 200));
    let statuses: Vec<u16> = (0..12).map(|_| verify("dns-txt").0).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
}

/// The port of HTTPS, which the file must be on. An address of loopback that nothing else has;
/// where a program may not listen on such a port, that is said, and counted as skipped.
fn https_port(test: &str) -> Option<[u8; 4]> {
    const ADDRESS: [u8; 4] = [127, 44, 3, 1];
    let Err(error) = std::net::TcpListener::bind((std::net::Ipv4Addr::from(ADDRESS), 443)) else {
        return Some(ADDRESS);
    };
    let line = format!("{test}: cannot listen on port 443: {error}");
    println!("SKIPPED {line}");
    if let Some(file) = std::env::var_os("PORTCULLIS_SKIPPED") {
        use std::io::Write;
        let mut file = std::fs::File::options().append(true).open(file).unwrap();
        writeln!(file, "{line}").unwrap();
    }
    None
}

#[test]
fn a_domain_is_verified_by_its_file_over_https_and_nowhere_else() {
    let Some(address) = https_port("a_domain_is_verified_by_its_file_over_https_and_nowhere_else") else {
        return;
    };
    let world = World::inside(None);
    world.execute(
        "INSERT INTO issuers (issuer_id, name, domain, trust_tier, actions, metadata, created_at) \
         VALUES ('iss_1', 'one', 'shop.test', 2, '[]', '{}', 0)",
    );
    world.registry.dns.set("shop.test", &[&[address]]);
    let call = |what: &str, body: Option<Value>| {
        let (status, answer) =
            world.bench.call("POST", &format!("/api/v1/issuers/iss_1/domain/{what}"), body);
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let asked = call("challenge", None);
    assert_eq!(asked["http_file"]["url"], "https://shop.test/.well-known/portcullis-domain.txt");
    let content = asked["http_file"]["content"].as_str().unwrap();
    let verified = || call("verify", Some(json!({"method": "http-file"})))["verified"].clone();
    assert_eq!(verified(), json!(false), "nobody listens there");
    let stranger = Web::start(&world.registry.ca, address, 443, &["other.test"]);
    let file = "/.well-known/portcullis-domain.txt";
    stranger.set(file, Answer::Text(200, content.to_owned()));
    assert_eq!(verified(), json!(false), "the certificate is another name's");
    drop(stranger);
    let shop = Web::start(&world.registry.ca, address, 443, &["shop.test"]);
    shop.set(file, Answer::Text(200, format!("x{content}")));
    assert_eq!(verified(), json!(false), "the file holds something else");
    shop.set(file, Answer::Text(404, content.to_owned()));
    assert_eq!(verified(), json!(false), "there is no such file");
    shop.set(file, Answer::Text(200, format!("{content}\n")));
    assert_eq!(verified(), json!(true));
    let again = json!({"method": "http-file"});
    let (status, _) = world.bench.call("POST", "/api/v1/issuers/iss_1/domain/verify", Some(again));
    assert_eq!(status, 409, "a token is used once");
}

#[test]
fn what_is_no_registry_is_refused() {
    let bench = Bench::new(None);
    let good = json!({"origin": "https://registry.invalid", "tier": 2, "actions": ["*"]});
    let bad = [
        ("origin", json!("http://registry.test")),
        ("origin", json!("https://registry.test/")),
        ("origin", json!("https://user@registry.test")),
        ("origin", json!("did:key:z6Mko9hTggMwjSTEaJaPUfE6tqcy2xvU6BnNq3e3o8qVBiyH")),
        ("tier", json!(4)),
        ("actions", json!([])),
        ("minimum_level", json!("5")),
        ("compatibility", json!(["everything"])),
    ];
    for (field, value) in bad {
        let mut body = good.clone();
        body[field] = value.clone();
        let (status, answer) = bench.call("POST", "/api/v1/followed-issuers", Some(body));
        assert_eq!((status, answer["field"].as_str()), (422, Some(field)), "{value}: {answer}");
    }
    let follow = || bench.call("POST", "/api/v1/followed-issuers", Some(good.clone())).0;
    assert_eq!((follow(), follow()), (201, 409));
}

#[test]
fn a_registry_that_does_not_answer_is_given_ten_seconds() {
    let world = World::inside(None);
    world.registry.serve(&[("good", 1)]);
    world.registry.web.set("/.well-known/jwks.json", Answer::Silence);
    let began = Instant::now();
    let id = world.follow();
    let state = world.failed_with(&id, "not answered within 10 s");
    assert!(began.elapsed() < Duration::from_secs(20), "{state}");
    assert_eq!(state["keys"], json!([]));
}
