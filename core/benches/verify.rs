//! What decisions cost, and the steps that they are made of. The same program runs
//! natively and in WebAssembly: see `cargo xtask bench --only core`.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that cannot go on fails"
)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis_core::capiscio::sign_request;
use portcullis_core::json::{Limits, Object, Value, canonical_text, parse};
use portcullis_core::live::{FingerprintKey, Revocations};
use portcullis_core::modei::{Draft, Issuer, RootKind, Signed, delegate, issue, self_issue};
use portcullis_core::{
    Config, CredentialCache, LocalMemory, Process, Profile, PublicKey, RequestHead, SecretKey, Snapshot,
    Step, Trust, TrustConfig, UnixTime, Verifier, base64, sha256,
};

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    targets = permits, refusals, steps, trust_stores, revocations
}
criterion_main!(benches);

fn permits(criterion: &mut Criterion) {
    let snapshot = snapshot();
    let mut known = CredentialCache::new(1 << 20);
    let header = delegated(0).to_header();
    assert_eq!(decide(&snapshot, "/flights", &header, &mut known), "permit");
    criterion.bench_function("known_credential", |bencher| {
        bencher.iter(|| decide(&snapshot, "/flights", black_box(&header), &mut known));
    });
    for depth in [0, 1, 5] {
        bench_decision(criterion, &format!("new_credential_depth_{depth}"), &delegated(depth), "permit");
    }
    let path = format!("/area{}/x", ROUTES - 1);
    let mut nothing = CredentialCache::new(0);
    assert_eq!(decide(&snapshot, &path, "", &mut nothing), "permit");
    criterion.bench_function(&format!("public_route_among_{ROUTES}"), |bencher| {
        bencher.iter(|| decide(&snapshot, black_box(&path), "", &mut nothing));
    });
}

fn refusals(criterion: &mut Criterion) {
    // Somebody else's signature: of the right form, so that only arithmetic refuses it.
    let other = delegated(0).to_json();
    let signature = other.rsplit('"').nth(1).expect("a signature");
    let own = draft("pp_forged", "");
    let text = self_issue(&key(1), &own).to_json();
    let own_signature = text.rsplit('"').nth(1).expect("a signature");
    let forged = Signed::from_json(text.replace(own_signature, signature).as_bytes()).expect("a passport");
    bench_decision(criterion, "bad_signature", &forged, "signature_invalid");

    let nobody =
        Issuer { kind: RootKind::Platform, id: "issuer:nobody".into(), key_id: "ik_1".into(), gate_id: None };
    let forged = issue(&key(9), &nobody, "agent", &key(1).public_key(), &own);
    bench_decision(criterion, "unknown_issuer", &forged, "signature_key_unavailable");

    // A byte more than an envelope may have: decoded, parsed and written before it is refused.
    let empty = canonical_text(self_issue(&key(1), &own).envelope()).len();
    let filler = "x".repeat(65_537 - empty - r#""note":"""#.len());
    let oversized = self_issue(&key(1), &draft("pp_forged", &filler));
    bench_decision(criterion, "oversized_credential", &oversized, "envelope_too_large");
}

fn steps(criterion: &mut Criterion) {
    const LIMITS: Limits = Limits { bytes: 1 << 20, depth: 64, values: 1 << 15 };
    for depth in [0, 5] {
        let passport = delegated(depth);
        let text = passport.to_json();
        criterion.bench_function(&format!("parse_depth_{depth}"), |bencher| {
            bencher.iter(|| parse(black_box(text.as_bytes()), LIMITS).is_ok());
        });
        criterion.bench_function(&format!("canonical_text_depth_{depth}"), |bencher| {
            bencher.iter(|| canonical_text(black_box(passport.envelope())));
        });
    }
    let message = canonical_text(delegated(0).envelope());
    let public = PublicKey::from_bytes(&key(1).public_key()).expect("a key");
    let body = vec![b'x'; 1 << 20];
    criterion.bench_function("sha256_of_1_mib", |bencher| bencher.iter(|| sha256(black_box(&body))));
    let signature = key(1).sign(message.as_bytes());
    assert!(public.verify(message.as_bytes(), &signature));
    criterion.bench_function("signature_alone", |bencher| {
        bencher.iter(|| public.verify(black_box(message.as_bytes()), &signature));
    });
}

/// A trust store's size must not show in a look-up: the tokens' keys are in none of them,
/// so that nothing but the look-up and what comes before it is timed.
fn trust_stores(criterion: &mut Criterion) {
    for count in [10, 10_000] {
        let text = trust_store(count);
        let load =
            || TrustConfig::from_json(text.as_bytes()).and_then(|config| Trust::new(&config, Profile::L1));
        criterion.bench_function(&format!("trust_store_of_{count}_loaded"), |bencher| {
            bencher.iter(|| load().is_ok());
        });
        let text = format!(
            r#"{{"gate":{{"id":"g"}},"profile":"L1","authorities":["api.example"],
            "routes":[{{"path":"/flights","methods":["GET"],"action":"flights:search"}}],"trust":{text}}}"#
        );
        let snapshot = Snapshot::new(&Config::from_json(text.as_bytes()).expect("a configuration"));
        let snapshot = snapshot.expect("a good configuration");
        let token = sign_request(&key(9), "agent-none", Object::default(), None, NOW);
        let header = [(&b"x-capiscio-jws"[..], token.as_bytes())];
        let head = RequestHead {
            method: b"GET",
            authority: b"api.example",
            path: b"/flights",
            headers: &header,
            source: None,
        };
        let mut nothing = CredentialCache::new(0);
        let mut memory = LocalMemory::new(&Process::new([1; 32], NOW));
        criterion.bench_function(&format!("trust_store_of_{count}_looked_up"), |bencher| {
            bencher.iter(|| {
                let step = Verifier::new(&snapshot).begin(black_box(&head), NOW, &mut nothing, &mut memory);
                matches!(step, Step::Deny(_))
            });
        });
    }
}

fn revocations(criterion: &mut Criterion) {
    let key = FingerprintKey::new([7; 16]);
    let mut fingerprints: Vec<_> =
        (0..1_000_000).map(|number| key.passport("issuer:acme", &format!("pp_{number}"))).collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    let revoked = Revocations::new(key, 1, fingerprints).expect("a set");
    assert!(revoked.contains_passport("issuer:acme", "pp_999999"));
    let ids: Vec<_> = (1_000_000..1_001_024).map(|number| format!("pp_{number}")).collect();
    let mut next = ids.iter().cycle();
    criterion.bench_function("revocation_looked_up_among_1000000", |bencher| {
        bencher.iter(|| {
            let id = next.next().expect("a cycle has no end");
            revoked.contains_passport(black_box("issuer:acme"), black_box(id))
        });
    });
}

fn trust_store(count: u32) -> String {
    let agent = |number: u32| {
        let seed = sha256(&number.to_le_bytes());
        let key = base64::encode(&SecretKey::from_seed(seed).public_key());
        format!(r#"{{"key_id":"agent-{number}","public_key":"{key}","actions":["flights:search"]}}"#)
    };
    let agents: Vec<_> = (0..count).map(agent).collect();
    format!(r#"{{"simpleguard_agents":[{}]}}"#, agents.join(","))
}

/// Times the decision on a credential that is new each time.
fn bench_decision(criterion: &mut Criterion, name: &str, passport: &Signed, expected: &str) {
    let snapshot = snapshot();
    let header = passport.to_header();
    let mut nothing = CredentialCache::new(0);
    assert_eq!(decide(&snapshot, "/flights", &header, &mut nothing), expected, "{name}");
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| decide(&snapshot, "/flights", black_box(&header), &mut nothing));
    });
}

/// Decides a request with the headers that a browserless client sends through a proxy.
fn decide(snapshot: &Snapshot, path: &str, passport: &str, cache: &mut CredentialCache) -> &'static str {
    let headers: [(&[u8], &[u8]); 6] = [
        (b"user-agent", b"agent/1.0"),
        (b"accept", b"*/*"),
        (b"x-forwarded-proto", b"https"),
        (b"x-request-id", b"5fb24f8b-9b4a-4b4e-8f0e-3c1f1f0b9b1e"),
        (b"content-type", b"application/json"),
        (b"agent-passport", passport.as_bytes()),
    ];
    let head = RequestHead {
        method: b"GET",
        authority: b"api.example",
        path: path.as_bytes(),
        headers: &headers,
        source: None,
    };
    let mut memory = LocalMemory::new(&Process::new([1; 32], NOW));
    match Verifier::new(snapshot).begin(&head, NOW, cache, &mut memory) {
        Step::Permit(_) => "permit",
        Step::Deny(refused) => refused.denial.reason.code(),
        Step::NeedBody(_) | Step::NeedAuthority(_) | Step::Hold(_) => "need body",
    }
}

/// Enough that a search through all would show.
const ROUTES: usize = 1000;

fn snapshot() -> Snapshot {
    let area = |index| format!(r#"{{"path_prefix":"/area{index}/","methods":["GET"],"public":true}}"#);
    let areas: Vec<_> = (0..ROUTES).map(area).collect();
    let text = format!(
        r#"{{"gate":{{"id":"gate_bench"}},"profile":"L1","authorities":["api.example"],
        "routes":[{{"path":"/flights","methods":["GET"],"action":"flights:search"}},{}],
        "trust":{{"self_issued":{{"actions":["flights:*"]}}}}}}"#,
        areas.join(",")
    );
    let config = Config::from_json(text.as_bytes()).expect("a configuration");
    Snapshot::new(&config).expect("a good configuration")
}

/// A passport that was delegated `depth` times.
fn delegated(depth: u8) -> Signed {
    let id = |hop| format!("pp_{hop:032x}");
    (1..=depth).fold(self_issue(&key(1), &draft(&id(0), "")), |parent, hop| {
        delegate(&parent, &key(hop), &key(hop + 1).public_key(), &draft(&id(hop), "")).expect("a delegation")
    })
}

/// A draft that grants a search; with a note of a length to choose.
fn draft(id: &str, note: &str) -> Draft {
    let mut constraints = Object::default();
    if !note.is_empty() {
        constraints.set("note", Value::from(note).into_owned());
    }
    Draft {
        passport_id: id.into(),
        agent_name: Some("Research Bot".into()),
        permissions: vec![("flights:search".into(), constraints)],
        issued_at: NOW.plus_millis(-3_600_000),
        expires_at: NOW.plus_millis(3_600_000),
        delegation_authority: true,
    }
}

/// 2026-06-01T12:00:00.000Z
const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);

fn key(owner: u8) -> SecretKey {
    SecretKey::from_seed([owner; 32])
}
