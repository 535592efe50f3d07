//! Documents of live trust material, right and wrong in one thing; and fingerprints.

use super::jws::{grown, of_texts};
use super::make::{NOW, key};
use portcullis_core::live::{FingerprintKey, hex};
use portcullis_core::{UnixTime, base64, sha256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;

/// One document, the circumstances in which it is read, and the verdict.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LiveVector {
    /// What is special about the case, as the file is named.
    pub name: String,
    /// The rule that it tests.
    pub why: String,
    /// The kind of document that is expected.
    pub document: Document,
    /// The gate's id.
    pub gate: String,
    /// The keys that it has pinned.
    pub keys: Value,
    /// When it reads, `YYYY-MM-DDTHH:MM:SS.mmmZ`.
    pub now: String,
    /// The heads that it has accepted before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// For heads: the random that it has sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<String>,
    /// For snapshots: the hash that the head names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// For answers about nonces: the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The document.
    pub token: String,
    /// The verdict.
    pub expect: LiveExpect,
}

/// The kinds of documents.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Document {
    /// `portcullis-head+jws`
    Head,
    /// `portcullis-snapshot+jws`
    Snapshot,
    /// `portcullis-revocations+jws`
    Revocations,
    /// `portcullis-delta+jws`
    Delta,
    /// `portcullis-nonce+jws`
    Nonce,
}

/// A verdict.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveExpect {
    /// It is taken up, or ignored without harm.
    Accepted,
    /// Refused, with this code.
    Refused(String),
}

/// What is revoked, and its fingerprint.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FingerprintVector {
    /// The key, in hex.
    pub key: String,
    /// `passport`, `badge` or `agent`.
    pub kind: String,
    /// The issuer.
    pub issuer: String,
    /// The id.
    pub id: String,
    /// The fingerprint: 16 hex digits, the most significant first.
    pub fingerprint: String,
}

/// `tests/vectors/live/`: `documents/` and `fingerprints.json`.
pub fn live_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/live")
}

/// All vectors of documents.
pub fn live_documents() -> Vec<LiveVector> {
    let mut vectors = envelopes();
    vectors.extend(heads());
    vectors.extend(successions());
    vectors.extend(snapshots());
    vectors.extend(pages());
    vectors.extend(deltas());
    vectors.extend(nonces());
    vectors
}

/// Fingerprints of what can be revoked.
pub fn fingerprints() -> Vec<FingerprintVector> {
    let keys = [[0; 16], std::array::from_fn(|at| u8::try_from(at).unwrap_or(0))];
    let things = [
        ("passport", "issuer:acme", "pp_issued"),
        ("passport", "self:agent", "pp_issued"),
        ("badge", "https://registry.example", "550e8400-e29b-41d4-a716-446655440000"),
        ("agent", "https://registry.example", "did:web:registry.example:agents:bot-1"),
        ("agent", "simpleguard", "agent-a-key-1"),
        ("agent", "issuer:acme", "pp_issued"),
    ];
    let of = |key: [u8; 16]| {
        things.map(|(kind, issuer, id)| {
            let fingerprints = FingerprintKey::new(key);
            let fingerprint = match kind {
                "passport" => fingerprints.passport(issuer, id),
                "badge" => fingerprints.badge(issuer, id),
                _ => fingerprints.agent(issuer, id),
            };
            FingerprintVector {
                key: hex(&key),
                kind: kind.into(),
                issuer: issuer.into(),
                id: id.into(),
                fingerprint: hex(&fingerprint.to_be_bytes()),
            }
        })
    };
    keys.into_iter().flat_map(of).collect()
}

impl Document {
    fn typ(self) -> &'static str {
        match self {
            Document::Head => "portcullis-head+jws",
            Document::Snapshot => "portcullis-snapshot+jws",
            Document::Revocations => "portcullis-revocations+jws",
            Document::Delta => "portcullis-delta+jws",
            Document::Nonce => "portcullis-nonce+jws",
        }
    }

    /// The schema of its payload, in `docs/schemas/`.
    pub fn schema(self) -> &'static str {
        match self {
            Document::Head => "trust-head.schema.json",
            Document::Snapshot => "trust-snapshot.schema.json",
            Document::Revocations => "trust-revocations.schema.json",
            Document::Delta => "trust-delta.schema.json",
            Document::Nonce => "nonce-answer.schema.json",
        }
    }

    fn good(self) -> Value {
        match self {
            Document::Head => head(),
            Document::Snapshot => snapshot(),
            Document::Revocations => page(0, u64::MAX, &[3, 5, u64::MAX]),
            Document::Delta => delta(&[3, 7], &[5]),
            Document::Nonce => nonce(),
        }
    }
}

const GATE: &str = "gate_flights";
const ECHO: &str = "AAECAwQFBgcICQoLDA0ODw";
const KINDS: [Document; 5] =
    [Document::Head, Document::Snapshot, Document::Revocations, Document::Delta, Document::Nonce];

fn head() -> Value {
    json!({
        "gate": GATE, "time": NOW.to_iso(), "number": 12, "echo": ECHO,
        "snapshot": {"number": 9, "sha256": hex(&sha256(snapshot().to_string().as_bytes()))},
        "revocations": {"number": 12, "count": 3, "digest": "fffffffffffffff9"},
    })
}

fn snapshot() -> Value {
    json!({
        "gate": GATE, "number": 9, "time": NOW.to_iso(),
        "config": {
            "gate": {"id": GATE}, "profile": "L1", "authorities": ["flights.example"],
            "routes": [{"path": "/search", "methods": ["GET"], "action": "flights:search"}],
            "trust": super::make::trust("platform"),
        },
    })
}

fn page(from: u64, to: u64, fingerprints: &[u64]) -> Value {
    let [from, to] = [from, to].map(|end| hex(&end.to_be_bytes()));
    json!({"gate": GATE, "number": 12, "key": ECHO, "from": from, "to": to, "fingerprints": encoded(fingerprints)})
}

fn delta(added: &[u64], removed: &[u64]) -> Value {
    json!({
        "gate": GATE, "since": 10, "number": 12, "key": ECHO,
        "added": encoded(added), "removed": encoded(removed),
    })
}

fn nonce() -> Value {
    let question = question();
    json!({
        "gate": GATE, "time": NOW.to_iso(), "echo": ECHO, "decision": "new",
        "key": question["key"], "nonce": question["nonce"],
    })
}

/// What a gate asks about a nonce.
fn question() -> Value {
    let until = NOW.plus_millis(60_000).as_millis() / 1000;
    let [key, nonce] = ["agent", "nonce"].map(|of| base64::encode_url(&sha256(of.as_bytes())));
    json!({"key": key, "nonce": nonce, "random": ECHO, "until": until})
}

fn encoded(fingerprints: &[u64]) -> String {
    let bytes: Vec<u8> = fingerprints.iter().flat_map(|fingerprint| fingerprint.to_be_bytes()).collect();
    base64::encode(&bytes)
}

/// What is pinned: a key in use, one for later, one that is retired.
fn keys() -> Value {
    let pinned =
        |id: &str, owner: &str| json!({"key_id": id, "public_key": base64::encode(&key(owner).public_key())});
    let mut retired = pinned("trust-0", "retired service");
    retired["not_after"] = NOW.to_iso().into();
    let mut later = pinned("trust-2", "next service");
    later["not_before"] = NOW.plus_millis(1).to_iso().into();
    let mut overlapping = pinned("trust-3", "overlapping service");
    overlapping["not_before"] = NOW.to_iso().into();
    json!([retired, pinned("trust-1", "service"), later, overlapping])
}

fn header(document: Document, kid: &str) -> String {
    json!({"alg": "EdDSA", "kid": kid, "typ": document.typ()}).to_string()
}

fn signed(document: Document, payload: &Value) -> String {
    of_texts(&header(document, "trust-1"), &payload.to_string(), "service")
}

fn vector(name: &str, why: &str, document: Document, token: String, expect: &str) -> LiveVector {
    let expect = match expect {
        OK => LiveExpect::Accepted,
        code => LiveExpect::Refused(code.into()),
    };
    // The hash is right but where it is the case: the document must be wrong in itself.
    let payload = token.split('.').nth(1).and_then(base64::decode_url).unwrap_or_default();
    LiveVector {
        name: name.into(),
        why: why.into(),
        document,
        gate: GATE.into(),
        keys: keys(),
        now: NOW.to_iso(),
        before: Vec::new(),
        echo: (document == Document::Head).then(|| ECHO.into()),
        sha256: (document == Document::Snapshot).then(|| hex(&sha256(&payload))),
        asked: (document == Document::Nonce).then(|| question().to_string()),
        token,
        expect,
    }
}

/// A good document with one change to its payload.
fn with(
    name: &str,
    why: &str,
    document: Document,
    expect: &str,
    change: impl FnOnce(&mut Value),
) -> LiveVector {
    let mut payload = document.good();
    change(&mut payload);
    vector(name, why, document, signed(document, &payload), expect)
}

const OK: &str = "accepted";
const UNREADABLE: &str = "unreadable";

/// What holds for every kind.
fn envelopes() -> Vec<LiveVector> {
    let mut vectors = Vec::new();
    for document in KINDS {
        let kind = document.typ().trim_start_matches("portcullis-").trim_end_matches("+jws");
        let payload = document.good().to_string();
        let good = signed(document, &document.good());
        let mut add = |name: &str, why: &str, token: String, expect: &str| {
            vectors.push(vector(&format!("{kind}_{name}"), why, document, token, expect));
        };
        let mut by = |name: &str, why: &str, header: &str, signer: &str, expect: &str| {
            add(name, why, of_texts(header, &payload, signer), expect);
        };
        let typ = document.typ();
        by("good", "as it should be", &header(document, "trust-1"), "service", OK);
        by("of_overlapping_key", "keys may overlap", &header(document, "trust-3"), "overlapping service", OK);
        by(
            "of_retired_key",
            "not_after is the first moment without the key",
            &header(document, "trust-0"),
            "retired service",
            "unknown_key",
        );
        by(
            "of_later_key",
            "not_before has not come",
            &header(document, "trust-2"),
            "next service",
            "unknown_key",
        );
        by("of_unknown_key", "kid is not pinned", &header(document, "trust-9"), "service", "unknown_key");
        by(
            "of_other_key",
            "kid names another key than the signer's",
            &header(document, "trust-1"),
            "overlapping service",
            "signature",
        );
        by(
            "header_of_other_typ",
            "one kind of document must not serve as another",
            &header(KINDS[usize::from(document == Document::Head)], "trust-1"),
            "service",
            UNREADABLE,
        );
        by(
            "header_without_kid",
            "the header has alg, kid and typ",
            &json!({"alg": "EdDSA", "typ": typ}).to_string(),
            "service",
            UNREADABLE,
        );
        by(
            "header_with_more",
            "and nothing else",
            &json!({"alg": "EdDSA", "kid": "trust-1", "typ": typ, "x": 1}).to_string(),
            "service",
            UNREADABLE,
        );
        by(
            "header_in_other_order",
            "in the order of RFC 8785",
            &format!(r#"{{"typ":"{typ}","kid":"trust-1","alg":"EdDSA"}}"#),
            "service",
            UNREADABLE,
        );
        by(
            "header_of_other_alg",
            "alg is EdDSA",
            &json!({"alg": "Ed25519", "kid": "trust-1", "typ": typ}).to_string(),
            "service",
            UNREADABLE,
        );
        add("signature_grown", "S must be below the group's order", grown(&good), "signature");
        add("in_four_parts", "a compact JWS has three parts", format!("{good}.AAAA"), UNREADABLE);
        add("padded", "base64url has no padding here", good.replacen('.', "=.", 1), UNREADABLE);
        let doubled = payload.replacen('{', &format!(r#"{{"gate":"{GATE}","#), 1);
        let doubled = of_texts(&header(document, "trust-1"), &doubled, "service");
        add("member_twice", "two members of one name", doubled, UNREADABLE);
        let spaced = of_texts(&header(document, "trust-1"), &payload.replacen(':', ": ", 1), "service");
        add(
            "with_white_space",
            "a writer's payload is canonical; a reader need not mind, as the signature is over its bytes",
            spaced,
            OK,
        );
        vectors.push(with(
            &format!("{kind}_for_other_gate"),
            "a document names its gate",
            document,
            "wrong_gate",
            |payload| payload["gate"] = "gate_other".into(),
        ));
        vectors.push(with(
            &format!("{kind}_member_unknown"),
            "no other members",
            document,
            UNREADABLE,
            |payload| payload["other"] = 1.into(),
        ));
        vectors.push(with(
            &format!("{kind}_without_gate"),
            "every member is required",
            document,
            UNREADABLE,
            |payload| remove(payload, "gate"),
        ));
        if document == Document::Nonce {
            // It has no number.
            continue;
        }
        vectors.push(with(
            &format!("{kind}_without_number"),
            "every member is required",
            document,
            UNREADABLE,
            |payload| remove(payload, "number"),
        ));
        vectors.push(with(
            &format!("{kind}_number_as_text"),
            "numbers are JSON integers",
            document,
            UNREADABLE,
            |payload| payload["number"] = "12".into(),
        ));
        vectors.push(with(
            &format!("{kind}_number_negative"),
            "numbers are 0 to 2^53",
            document,
            UNREADABLE,
            |payload| payload["number"] = json!(-12),
        ));
        vectors.push(with(
            &format!("{kind}_number_with_fraction"),
            "numbers are written without fraction",
            document,
            UNREADABLE,
            |payload| payload["number"] = json!(12.5),
        ));
        vectors.push(with(
            &format!("{kind}_number_too_large"),
            "beyond 2^53 readers differ",
            document,
            UNREADABLE,
            |payload| payload["number"] = json!(9_007_199_254_740_993_u64),
        ));
    }
    vectors
}

fn remove(payload: &mut Value, name: &str) {
    payload.as_object_mut().expect("a payload is an object").remove(name);
}

fn heads() -> Vec<LiveVector> {
    let case = |name: &str, why: &str, expect: &str, change: &dyn Fn(&mut Value)| {
        with(&format!("head_{name}"), why, Document::Head, expect, change)
    };
    let at = |time: UnixTime| move |head: &mut Value| head["time"] = time.to_iso().into();
    let mut vectors = vec![
        case("with_followed", "issuers that the service follows", OK, &|head| {
            head["followed"] =
                json!({"https://registry.example": NOW.to_iso(), "https://other.example:8443": NOW.to_iso()});
        }),
        case("followed_no_origin", "a followed issuer is an https origin", UNREADABLE, &|head| {
            head["followed"] = json!({"https://registry.example/": NOW.to_iso()});
        }),
        case("followed_without_time", "and has a time", UNREADABLE, &|head| {
            head["followed"] = json!({"https://registry.example": null});
        }),
        case("with_nothing_revoked", "0 is the number of no change", OK, &|head| {
            head["number"] = 9.into();
            head["revocations"] = json!({"number": 0, "count": 0, "digest": "0000000000000000"});
        }),
        case("number_too_low", "number is the higher of the two", UNREADABLE, &|head| {
            head["number"] = 11.into()
        }),
        case("number_too_high", "number is the higher of the two", UNREADABLE, &|head| {
            head["number"] = 13.into()
        }),
        case("of_snapshot_0", "0 is no snapshot", UNREADABLE, &|head| head["snapshot"]["number"] = 0.into()),
        case("hash_in_capitals", "hex is in lower case", UNREADABLE, &|head| {
            head["snapshot"]["sha256"] = "A".repeat(64).into();
        }),
        case("hash_too_short", "SHA-256 has 64 digits", UNREADABLE, &|head| {
            head["snapshot"]["sha256"] = "a".repeat(62).into()
        }),
        case("digest_too_short", "a digest has 16 digits", UNREADABLE, &|head| {
            head["revocations"]["digest"] = "0".into()
        }),
        case("count_too_high", "a gate holds 4,194,304 at most", UNREADABLE, &|head| {
            head["revocations"]["count"] = 4_194_305.into()
        }),
        case("snapshot_member_unknown", "no other members within either", UNREADABLE, &|head| {
            head["snapshot"]["x"] = 1.into()
        }),
        case("revocations_member_unknown", "no other members within either", UNREADABLE, &|head| {
            head["revocations"]["x"] = 1.into()
        }),
        case("without_echo", "every member is required", UNREADABLE, &|head| remove(head, "echo")),
        case("echo_too_short", "an echo is of 16 bytes", UNREADABLE, &|head| {
            head["echo"] = "AAECAwQFBgcICQoLDA0O".into()
        }),
        case("of_other_echo", "the answer to another question", "wrong_echo", &|head| {
            head["echo"] = "AQECAwQFBgcICQoLDA0ODw".into()
        }),
        case("time_without_milliseconds", "times have milliseconds", UNREADABLE, &|head| {
            head["time"] = "2026-06-01T12:00:00Z".into()
        }),
        case("time_with_offset", "times are in UTC", UNREADABLE, &|head| {
            head["time"] = "2026-06-01T12:00:00.000+00:00".into()
        }),
        case("time_of_no_day", "times are times", UNREADABLE, &|head| {
            head["time"] = "2026-06-31T12:00:00.000Z".into()
        }),
        case("60_s_ahead", "clocks may differ by 60 s", OK, &at(NOW.plus_millis(60_000))),
        case("more_than_60_s_ahead", "and no more", "from_the_future", &at(NOW.plus_millis(60_001))),
        case(
            "of_last_year",
            "age is judged at each use, not here",
            OK,
            &at(NOW.plus_millis(-31_536_000_000)),
        ),
    ];
    for member in ["time", "snapshot", "revocations"] {
        vectors.push(case(&format!("without_{member}"), "every member is required", UNREADABLE, &|head| {
            remove(head, member)
        }));
    }
    vectors
}

/// Heads after another head.
fn successions() -> Vec<LiveVector> {
    let case = |name: &str, why: &str, expect: &str, change: &dyn Fn(&mut Value)| LiveVector {
        before: vec![signed(Document::Head, &head())],
        ..with(&format!("head_after_{name}"), why, Document::Head, expect, change)
    };
    let newer = |head: &mut Value| {
        head["number"] = 13.into();
        head["revocations"]["number"] = 13.into();
    };
    let later = NOW.plus_millis(1).to_iso();
    vec![
        case("itself", "the same again changes nothing", OK, &|_| ()),
        case("one_of_earlier_time", "another instance's head of the same numbers is ignored", OK, &|head| {
            head["time"] = NOW.plus_millis(-5).to_iso().into();
        }),
        case("with_new_revocations", "numbers grow", OK, &newer),
        case("with_new_snapshot", "numbers grow", OK, &|head| {
            head["number"] = 13.into();
            head["snapshot"] = json!({"number": 13, "sha256": "0".repeat(64)});
        }),
        case("with_new_revocations_and_earlier_time", "time does not go back", "went_back", &|head| {
            newer(head);
            head["time"] = NOW.plus_millis(-1).to_iso().into();
        }),
        case("with_older_snapshot", "no number goes back", "went_back", &|head| {
            newer(head);
            head["time"] = later.as_str().into();
            head["snapshot"]["number"] = 8.into();
        }),
        case("with_older_revocations", "no number goes back", "went_back", &|head| {
            head["number"] = 13.into();
            head["snapshot"]["number"] = 13.into();
            head["revocations"]["number"] = 11.into();
        }),
        case("with_all_older", "no number goes back", "went_back", &|head| {
            head["number"] = 11.into();
            head["revocations"]["number"] = 11.into();
        }),
        case("with_other_hash", "one number stands for one snapshot", "mismatch", &|head| {
            head["snapshot"]["sha256"] = "0".repeat(64).into();
        }),
        case("with_other_digest", "one number stands for one set", "mismatch", &|head| {
            head["revocations"]["digest"] = "0000000000000000".into();
        }),
        case("with_other_count", "one number stands for one set", "mismatch", &|head| {
            head["revocations"]["count"] = 2.into();
        }),
    ]
}

fn snapshots() -> Vec<LiveVector> {
    let case = |name: &str, why: &str, expect: &str, change: &dyn Fn(&mut Value)| {
        with(&format!("snapshot_{name}"), why, Document::Snapshot, expect, change)
    };
    let mut other_hash = case("of_other_hash", "the head names another one", "hash", &|_| ());
    other_hash.sha256 = Some(hex(&sha256(b"another")));
    vec![
        other_hash,
        case("config_of_other_gate", "gate.id is the document's gate", "config", &|snapshot| {
            snapshot["config"]["gate"]["id"] = "gate_other".into();
        }),
        case("config_with_service", "a snapshot leads to no other service", "config", &|snapshot| {
            snapshot["config"]["service"] = json!({});
        }),
        case("config_with_unknown_member", "as in any configuration", "config", &|snapshot| {
            snapshot["config"]["other"] = 1.into();
        }),
        case("config_without_routes", "as in any configuration", "config", &|snapshot| {
            remove(&mut snapshot["config"], "routes");
        }),
        case("without_config", "every member is required", UNREADABLE, &|snapshot| {
            remove(snapshot, "config")
        }),
        case("without_time", "every member is required", UNREADABLE, &|snapshot| remove(snapshot, "time")),
        case("time_as_number", "times are text", UNREADABLE, &|snapshot| snapshot["time"] = 1.into()),
    ]
}

/// Answers about nonces.
fn nonces() -> Vec<LiveVector> {
    let case = |name: &str, why: &str, expect: &str, change: &dyn Fn(&mut Value)| {
        with(&format!("nonce_{name}"), why, Document::Nonce, expect, change)
    };
    let to = |member: &'static str, value: Value| move |answer: &mut Value| answer[member] = value.clone();
    let at = |millis: i64| to("time", NOW.plus_millis(millis).to_iso().into());
    let other = base64::encode_url(&sha256(b"other"));
    let mut vectors = vec![
        case("seen", "the other decision", OK, &to("decision", "seen".into())),
        case("of_other_decision", "there are two", UNREADABLE, &to("decision", "old".into())),
        case("decision_as_truth", "and they are text", UNREADABLE, &to("decision", true.into())),
        case("about_other_key", "about another agent", "wrong_echo", &to("key", other.as_str().into())),
        case("about_other_nonce", "about another nonce", "wrong_echo", &to("nonce", other.as_str().into())),
        case(
            "of_other_echo",
            "an earlier answer does not serve again",
            "wrong_echo",
            &to("echo", "AQECAwQFBgcICQoLDA0ODw".into()),
        ),
        case(
            "echo_too_short",
            "an echo is of 16 bytes",
            UNREADABLE,
            &to("echo", "AAECAwQFBgcICQoLDA0O".into()),
        ),
        case("key_too_long", "a key is of 32 bytes", UNREADABLE, &to("key", format!("{other}AAAA").into())),
        case(
            "nonce_padded",
            "base64url has no padding here",
            UNREADABLE,
            &to("nonce", format!("{other}=").into()),
        ),
        case("60_s_ahead", "clocks may differ by 60 s", OK, &at(60_000)),
        case("60_s_ago", "clocks may differ by 60 s", OK, &at(-60_000)),
        case("more_than_60_s_ahead", "the service would forget too early", "mismatch", &at(60_001)),
        case("more_than_60_s_ago", "the clocks are wrong", "mismatch", &at(-60_001)),
        case("time_as_number", "times are text", UNREADABLE, &to("time", 1.into())),
    ];
    for member in ["decision", "echo", "key", "nonce", "time"] {
        let without = |answer: &mut Value| remove(answer, member);
        vectors.push(case(&format!("without_{member}"), "every member is required", UNREADABLE, &without));
    }
    vectors
}

fn pages() -> Vec<LiveVector> {
    let case = |name: &str, why: &str, expect: &str, payload: Value| {
        let token = signed(Document::Revocations, &payload);
        vector(&format!("revocations_{name}"), why, Document::Revocations, token, expect)
    };
    let changed = |member: &str, value: Value| {
        let mut page = page(0, u64::MAX, &[3, 5]);
        page[member] = value;
        page
    };
    let without = |member: &str| {
        let mut page = page(0, u64::MAX, &[3, 5]);
        remove(&mut page, member);
        page
    };
    vec![
        case("none", "nothing is revoked", OK, page(0, u64::MAX, &[])),
        case("within_range", "both ends belong to the range", OK, page(3, 9, &[3, 5, 9])),
        case("descending", "fingerprints ascend", UNREADABLE, page(0, 9, &[5, 3])),
        case("one_twice", "each once", UNREADABLE, page(0, 9, &[3, 3])),
        case("below_range", "within from and to", UNREADABLE, page(4, 9, &[3, 5])),
        case("above_range", "within from and to", UNREADABLE, page(0, 4, &[3, 5])),
        case("range_reversed", "from is not above to", UNREADABLE, page(9, 0, &[])),
        case(
            "range_in_capitals",
            "hex is in lower case",
            UNREADABLE,
            changed("to", "FFFFFFFFFFFFFFFF".into()),
        ),
        case("range_short", "16 digits", UNREADABLE, changed("from", "0".into())),
        case(
            "half_a_fingerprint",
            "fingerprints have eight bytes",
            UNREADABLE,
            changed("fingerprints", "AAAAAA==".into()),
        ),
        case(
            "without_padding",
            "base64 is padded here",
            UNREADABLE,
            changed("fingerprints", "AAAAAAAAAAM".into()),
        ),
        case("as_array", "and a string", UNREADABLE, changed("fingerprints", json!([3, 5]))),
        case(
            "key_too_short",
            "a key has 16 bytes",
            UNREADABLE,
            changed("key", "AAECAwQFBgcICQoLDA0O".into()),
        ),
        case("without_key", "every member is required", UNREADABLE, without("key")),
        case("without_from", "every member is required", UNREADABLE, without("from")),
        case("without_to", "every member is required", UNREADABLE, without("to")),
        case("without_fingerprints", "every member is required", UNREADABLE, without("fingerprints")),
    ]
}

fn deltas() -> Vec<LiveVector> {
    let case = |name: &str, why: &str, expect: &str, payload: Value| {
        let token = signed(Document::Delta, &payload);
        vector(&format!("delta_{name}"), why, Document::Delta, token, expect)
    };
    let changed = |member: &str, value: Value| {
        let mut delta = delta(&[3, 7], &[5]);
        delta[member] = value;
        delta
    };
    let without = |member: &str| {
        let mut delta = delta(&[3, 7], &[5]);
        remove(&mut delta, member);
        delta
    };
    vec![
        case("that_adds", "nothing is removed", OK, delta(&[3, 7], &[])),
        case("that_removes", "nothing is added", OK, delta(&[], &[5])),
        case("of_no_change", "what was revoked and taken back before", OK, delta(&[], &[])),
        case("since_itself", "since is below number", UNREADABLE, changed("since", 12.into())),
        case("since_later", "since is below number", UNREADABLE, changed("since", 13.into())),
        case("of_both", "one fingerprint has one final state", UNREADABLE, delta(&[3, 7], &[7])),
        case("added_descending", "fingerprints ascend", UNREADABLE, delta(&[7, 3], &[])),
        case("removed_descending", "fingerprints ascend", UNREADABLE, delta(&[], &[7, 3])),
        case("added_one_twice", "each once", UNREADABLE, delta(&[3, 3], &[])),
        case(
            "half_a_fingerprint",
            "fingerprints have eight bytes",
            UNREADABLE,
            changed("removed", "AAAAAA==".into()),
        ),
        case(
            "key_too_long",
            "a key has 16 bytes",
            UNREADABLE,
            changed("key", "AAECAwQFBgcICQoLDA0ODxA".into()),
        ),
        case("without_since", "every member is required", UNREADABLE, without("since")),
        case("without_key", "every member is required", UNREADABLE, without("key")),
        case("without_added", "every member is required", UNREADABLE, without("added")),
        case("without_removed", "every member is required", UNREADABLE, without("removed")),
    ]
}
