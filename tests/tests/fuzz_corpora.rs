//! The corpora that fuzzing left, each input through its door once more.

use portcullis_core::modei::{Draft, Signed, delegate, issue, self_issue};
use portcullis_core::{ProofDraft, SecretKey};
use portcullis_core::{base64, sha256};
use portcullis_tests::doors::{Answer, DOORS, Door, NOW, RequestText, encoded, fuzz_folder, issuers, key};
use portcullis_tests::{scenario, vectors};
use std::collections::BTreeSet;

fn play(name: &str) {
    let door = DOORS.iter().find(|door| door.name == name).expect("a door");
    if std::env::var_os("PORTCULLIS_WRITE_SEEDS").is_some() {
        write_seeds(door);
    }
    let (mut accepted, mut refused) = (0, 0);
    for entry in
        std::fs::read_dir(door.corpus()).unwrap_or_else(|error| panic!("the corpus of {name}: {error}"))
    {
        let path = entry.unwrap().path();
        let input = std::fs::read(&path).unwrap();
        // Shown if the door panics: which input it was.
        println!("{}", path.display());
        match (door.open)(&input) {
            Answer::Accepted => accepted += 1,
            Answer::Refused => refused += 1,
        }
    }
    assert!(accepted > 0, "none of {refused} inputs gets through the door {name}");
    assert!(refused > 0, "none of {accepted} inputs is refused at the door {name}");
}

#[test]
fn the_corpus_of_attestations_holds() {
    play("attestation");
}

#[test]
fn the_corpus_of_badges_and_signatures_holds() {
    play("capiscio");
}

#[test]
fn the_corpus_of_catalogs_holds() {
    play("catalog");
}

#[test]
fn the_corpus_of_configurations_holds() {
    play("configuration");
}

#[test]
fn the_corpus_of_delegation_recipes_holds() {
    play("delegation");
}

#[test]
fn the_corpus_of_envelopes_holds() {
    play("envelope");
}

#[test]
fn the_corpus_of_guardrails_holds() {
    play("guardrails");
}

#[test]
fn the_corpus_of_request_heads_holds() {
    play("headers");
}

#[test]
fn the_corpus_of_json_texts_holds() {
    play("json");
}

#[test]
fn the_corpus_of_jwts_holds() {
    play("jwt");
}

#[test]
fn the_corpus_of_live_trust_material_holds() {
    play("live");
}

#[test]
fn the_corpus_of_messages_holds() {
    play("mcp");
}

#[test]
fn the_corpus_of_header_maps_holds() {
    play("pairs");
}

#[test]
fn the_corpus_of_proofs_holds() {
    play("proof");
}

#[test]
fn the_corpus_of_receipts_holds() {
    play("receipt");
}

#[test]
fn every_door_has_a_fuzz_target_and_every_target_a_door() {
    let targets: BTreeSet<_> = std::fs::read_dir(fuzz_folder().join("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(targets, DOORS.iter().map(|door| door.name.to_owned()).collect());
}

/// Adds to a corpus what a fuzzer may begin with. `cargo fuzz cmin` then throws out what
/// adds nothing.
fn write_seeds(door: &Door) {
    std::fs::create_dir_all(door.corpus()).unwrap();
    for seed in seeds(door.name) {
        let name: String = sha256(&seed).iter().take(20).map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(door.corpus().join(name), seed).unwrap();
    }
}

fn seeds(door: &str) -> Vec<Vec<u8>> {
    let texts = |all: Vec<String>| all.into_iter().map(String::into_bytes).collect();
    match door {
        "attestation" => attestations(),
        "capiscio" => texts(tokens()),
        "catalog" => texts(catalogs()),
        "configuration" => texts(configurations()),
        "delegation" => recipes(),
        "envelope" => texts(credentials().filter(|text| text.starts_with('{')).collect()),
        "guardrails" => texts(guardrails()),
        "headers" => heads(),
        "json" => texts(credentials().take(1).chain(TEXTS.map(Into::into)).collect()),
        "jwt" => texts(jwts()),
        "live" => texts(documents()),
        "mcp" => messages(),
        "pairs" => maps(),
        "proof" => proofs(),
        "receipt" => texts(receipts()),
        _ => panic!("no seeds for {door}"),
    }
}

/// The vectors' credentials, without those that are large only to be too large.
fn credentials() -> impl Iterator<Item = String> {
    vectors::passports().into_iter().map(|vector| vector.credential).filter(|text| text.len() < 30_000)
}

/// What the scenarios send to MCP servers, and what of it the door knows the tools of.
fn messages() -> Vec<Vec<u8>> {
    let mcp = &scenario::load()["mcp"];
    let sent = mcp.cases.iter().filter_map(|case| case.request.rpc.clone()).filter(|text| text.len() < 1000);
    let known = |text: String| {
        ["open", "closed"].map(|tool| text.replace("search_flights", tool)).into_iter().chain([text.clone()])
    };
    let all: BTreeSet<_> = sent.flat_map(known).map(String::into_bytes).collect();
    all.into_iter().collect()
}

/// What the vectors of guardrails write.
fn guardrails() -> Vec<String> {
    let text = include_str!("../vectors/guardrails/keys.json");
    let vectors: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    vectors.into_iter().map(|vector| vector["rules"].to_string()).collect()
}

/// Drafts of catalogs, and an answer that nobody has signed.
fn catalogs() -> Vec<String> {
    let terms = r#"{"core:pricing:per_call_cents":5,"core:sla:uptime_basis_points":9990}"#;
    let names = r#""permission_key":"a:b","display_name":"A","description":"""#;
    let snapshot = format!(
        r#"{{"gate_id":"g","permissions":[{{{names},"constraints":{terms},"min_trust_level":1,"risk_level":"low"}}],"published_at":"2026-06-01T12:00:00.000Z","version":1}}"#
    );
    let [hash, key, signature] = ["0".repeat(64), base64::encode(&[0; 32]), base64::encode(&[0; 64])];
    let published = format!(
        r#"{{"catalog_snapshot":{snapshot},"content_hash":"{hash}","signature":"{signature}","public_key":"{key}"}}"#
    );
    vec![
        format!(r#"{{"permissions":[{{{names},"constraints":{terms}}}]}}"#),
        format!(r#"{{"permissions":[{{{names},"constraints":{{"core:pricing:model":"barter"}}}}]}}"#),
        format!(r#"{{"catalogs":[{published}],"services":[]}}"#),
        published,
        r#"{"catalogs":[],"services":[]}"#.into(),
    ]
}

/// Receipts of each form of proof, and what carries one.
fn receipts() -> Vec<String> {
    let [key, signature] = [base64::encode(&[0; 32]), base64::encode(&[0; 64])];
    let (hash, id) = ("0".repeat(64), base64::encode_url(&[0; 32]));
    let seal = base64::encode_url(&[0; 64]);
    let receipt = |form: &str, model: &str, quantity: u8, total: u8, duration: &str| {
        format!(
            concat!(
                r#"{{"action":"a:b","agent":{{"agent_id":"a","issuer_id":"i","passport_id":"p","public_key":"{key}"}},"#,
                r#""attestation_id":null,"catalog":{{"content_hash":"{hash}","version":1}},"#,
                r#""charge":{{"currency":"USD","fee_basis_points":250,"model":"{model}","platform_fee_cents":{fee},"#,
                r#""quantity":{quantity},"total_cents":{total},"unit_cents":5}},"duration_ms":{duration},"gate_id":"g","#,
                r#""issued_at":"2026-06-01T12:00:00.000Z","outcome":"success","proof":{{"base_sha256":"{hash}","#,
                r#""created":"2026-06-01T12:00:00.000Z","form":"{form}","nonce":"n","signature":"{signature}"}},"#,
                r#""receipt_id":"rcpt_00000000000000000000000000000000","request_payload_hash":null,"#,
                r#""response_payload_hash":"{hash}","signature":{{"algorithm":"EdDSA","key_id":"{id}","value":"{seal}"}},"#,
                r#""status":200,"typ":"consumption-attestation","version":"1.0"}}"#
            ),
            key = key,
            hash = hash,
            model = model,
            fee = u8::from(total > 0),
            quantity = quantity,
            total = total,
            duration = duration,
            form = form,
            signature = signature,
            id = id,
            seal = seal
        )
    };
    let minutes = receipt("rfc9421", "per_minute", 2, 10, "60001");
    vec![
        receipt("agent_pop", "per_call", 1, 5, "null"),
        receipt("agent_pop_jcs", "subscription", 1, 0, "null"),
        receipt("rfc9421", "usage", 1, 6, "null"),
        minutes.replace("60001", "60000"),
        minutes,
        r#"{"base":"\"@method\": GET","receipt":"{}"}"#.into(),
    ]
}

/// Badges and signatures as they stand, and as header and payload.
fn tokens() -> Vec<String> {
    let part = |token: &str, index: usize| {
        let text = base64::decode_url(token.split('.').nth(index)?)?;
        String::from_utf8(text).ok()
    };
    let mut seeds = Vec::new();
    for vector in vectors::badges().into_iter().chain(vectors::signatures()) {
        let token = vector.credential;
        if let (Some(header), Some(payload)) = (part(&token, 0), part(&token, 1)) {
            seeds.push(format!("{header}\n{payload}"));
        }
        seeds.push(token);
    }
    seeds
}

/// A record of each kind, what carries records, and texts of checkpoints.
fn attestations() -> Vec<Vec<u8>> {
    let hash = "A".repeat(43);
    let mut seeds: Vec<_> = RECORDS.iter().map(|draft| draft.replace('#', &hash)).collect();
    let root = base64::encode(&[0; 32]);
    for size in ["0", "9007199254740993", "07"] {
        seeds.push(format!("control.example/gate_flights\n{size}\n{root}\ntime 2026-06-01T12:00:00.000Z\n"));
    }
    seeds.push(format!("control.example/other\n1\n{root}\ntime 2026-06-01T12:00:00.000Z\n"));
    seeds.extend([
        r#"{"attestation_key_id":"k","lane":"BwcHBwcHBwcHBwcHBwcHBw"}"#.into(),
        format!(r#"{{"checkpoint":"note","next":1,"previous":"{}"}}"#, "0".repeat(64)),
        r#"{"dropped":1,"known_root":null,"known_size":0,"lane":"BwcHBwcHBwcHBwcHBwcHBw","waiting":9}"#
            .into(),
        format!(
            "{}\n{{}}\n",
            r#"{"dropped":1,"known_root":null,"known_size":0,"lane":"BwcHBwcHBwcHBwcHBwcHBw","waiting":9}"#
        ),
        format!(r#"{{"checkpoint":"note","consistency":["{hash}"],"first_index":1,"frontier":["{hash}"]}}"#),
        r#"{"complete":true,"export":"portcullis-attestations","first_index":0,"gate":"g","version":1}"#
            .into(),
        r#"{"checkpoint":"note"}"#.into(),
        format!(r#"{{"lane":"BwcHBwcHBwcHBwcHBwcHBw","previous":"{}"}}"#, "0".repeat(64)),
        format!(r#"{{"pruned":{{"from":0,"frontier":"3 {hash} {hash}","to":3}}}}"#),
        r#"{"checkpoint":"note","count":1,"keys":[]}"#.into(),
        format!("3 {hash} {hash}"),
    ]);
    let mut bytes: Vec<_> = seeds.into_iter().map(String::into_bytes).collect();
    bytes.push([&[2, 0, 4, 0, 6, 0], b"{}{}{}{}".as_slice()].concat());
    bytes
}

const RECORDS: [&str; 4] = [
    r##"{"access_mode":"credential","agent":{"agent_id":"a","agent_name":null,"issuer_id":"i","passport_id":"p","trust_tier":"L3"},"attestation_id":"att_00000000000000000000000000000000","chain_hash":"0000000000000000000000000000000000000000000000000000000000000000","decision":"allow","detail":null,"gate":{"gate_id":"g","gate_name":"é\n"},"guardrails_evaluated":[{"detail":"48/60","name":"core:rate:max_per_minute","result":"pass"}],"lane":"AAAAAAAAAAAAAAAAAAAAAA","mode":"enforce","reason_code":null,"request":{"action":"a:b","cost_cents":1250,"estimated_cost_usd":12.5,"method":"GET","path":"/","target_domain":null},"sequence_number":1,"signature":{"algorithm":"EdDSA","key_id":"#","value":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"timestamp":"2026-06-01T12:00:00.000Z","version":"1.0"}"##,
    r##"{"access_mode":"none","agent":null,"attestation_id":"att_ffffffffffffffffffffffffffffffff","chain_hash":"0000000000000000000000000000000000000000000000000000000000000000","decision":"gap","detail":null,"dropped":{"count":3,"first_at":"2026-06-01T12:00:00.000Z","last_at":"2026-06-01T12:00:00.000Z"},"gate":{"gate_id":"g","gate_name":null},"guardrails_evaluated":[],"lane":"AAAAAAAAAAAAAAAAAAAAAA","mode":"report","reason_code":null,"request":null,"sequence_number":2,"signature":{"algorithm":"EdDSA","key_id":"#","value":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"timestamp":"2026-06-01T12:00:00.000Z","version":"1.0"}"##,
    r##"{"access_mode":"anonymous","agent":null,"approval_request_id":"appr_1","attestation_id":"att_00000000000000000000000000000000","chain_hash":"0000000000000000000000000000000000000000000000000000000000000000","decision":"request_hold","detail":"why","gate":{"gate_id":"g","gate_name":null},"guardrails_evaluated":[],"hold":{"agent_key":"k","binding":"0000000000000000000000000000000000000000000000000000000000000000","expires_at":"2026-06-01T12:00:00.000Z","summary":"s"},"lane":"AAAAAAAAAAAAAAAAAAAAAA","mode":"enforce","reason_code":"approval_required","request":{"action":null,"cost_cents":0,"estimated_cost_usd":0,"method":"POST","path":"/x","target_domain":"d"},"sequence_number":9007199254740992,"signature":{"algorithm":"EdDSA","key_id":"#","value":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"timestamp":"2026-06-01T12:00:00.000Z","version":"1.0"}"##,
    r##"{"access_mode":"public","version":"1.0"}"##,
];

/// Documents as they stand, and as header and payload; and answers with them.
fn documents() -> Vec<String> {
    let mut seeds = Vec::new();
    for vector in vectors::live_documents() {
        let part = |index: usize| {
            let text = base64::decode_url(vector.token.split('.').nth(index)?)?;
            String::from_utf8(text).ok()
        };
        if let (Some(header), Some(payload)) = (part(0), part(1)) {
            seeds.push(format!("{header}\n{payload}"));
        }
    }
    seeds.push(vectors::live_documents().swap_remove(0).token);
    seeds.extend(vectors::live_documents().into_iter().find_map(|vector| vector.asked));
    seeds.push(r#"{"delta":"a","head":"b","snapshot":"c"}"#.into());
    seeds.push(r#"{"head":"b","reload":true}"#.into());
    seeds
}

const TEXTS: [&str; 7] = [
    "[0,-0,1.5,1e21,1e-7,5e-324,9007199254740992,1E9,0.1]",
    r#"{"\u20ac":"\ud83d\ude00","e\u0301":["\u00e9","\r\n\u0001\/"],"\ufb33":null,"":true}"#,
    r#"{"\ufb33":1,"\ud83d\ude00":2,"\\":"\\\"/\u001f"}"#,
    r#"{"a":1,"A":2}"#,
    "[1e20]",
    "{} {}",
    " [ { } , [ ] , false ] ",
];

/// Tokens, and pairs of header and payload; one with each header that there may be, or
/// that looks like it.
fn jwts() -> Vec<String> {
    const HEADER: &str = r#"{"alg":"EdDSA","typ":"passport+jwt"}"#;
    let payload = |credential: &str| {
        let whole: serde_json::Value = serde_json::from_str(credential).ok()?;
        Some(whole["passport_json"].to_string())
    };
    let first = credentials().next().expect("a vector");
    let with = |kid: &str| {
        let header = HEADER.replace('}', &format!(r#","kid":"{kid}"}}"#));
        format!("{header}\n{}", payload(&first).expect("an envelope"))
    };
    let kids = ["ik_1".into(), r"\q".into(), r"\u0041".into(), "\u{1}".into(), "k".repeat(1024)];
    let made = credentials().map(|credential| match payload(&credential) {
        Some(payload) => format!("{HEADER}\n{payload}"),
        None => credential,
    });
    made.chain(kids.iter().map(|kid: &String| with(kid))).collect()
}

fn configurations() -> Vec<String> {
    let scenarios = scenario::load();
    let gates = scenarios.values().map(|scenario| scenario::gate_configuration(scenario, "api.example"));
    let mut all: Vec<_> = gates.collect::<BTreeSet<_>>().into_iter().collect();
    all.extend([
        r#"{"gate":{"id":"g"},"profile":"L1","authorities":["a"],"routes":[{"path":"/","methods":["GET"],"public":true}]}"#.into(),
        r#"{"gate":{"id":"g"},"profile":"L2","authorities":["a"],"routes":[],"trust":{}}"#.into(),
        all[0].replace("flights", "flüge").replace('\n', ""),
    ]);
    all
}

/// Every depth under every root, and one byte that spoils something here and there.
fn recipes() -> Vec<Vec<u8>> {
    let plain = (0..3).flat_map(|root| (0..7).map(move |depth| vec![root, depth]));
    let spoilt = (2..24).map(|at| {
        let mut recipe = vec![0; 26];
        recipe[1] = 2;
        recipe[at] = 1;
        recipe
    });
    plain.chain(spoilt).collect()
}

fn heads() -> Vec<Vec<u8>> {
    let agent = |hop: usize| key(&format!("agent {hop}"));
    let own = self_issue(&agent(0), &draft("pp_root"));
    let delegated = delegate(&own, &agent(0), &agent(1).public_key(), &draft("pp_1")).expect("a delegation");
    let issued = |index: usize, id: &str| {
        let (issuer, owner) = &issuers()[index];
        let signer: SecretKey = key(owner);
        (issue(&signer, issuer, "agent_0", &agent(0).public_key(), &draft(id)), signer)
    };
    let (by_acme, acme) = issued(0, "pp_issued");
    let (by_tower, _) = issued(1, "pp_issued");
    let (revoked, _) = issued(0, "pp_root");
    let header = |signed: &Signed| format!("Agent-Passport: {}", signed.to_header());
    let bearer =
        |signed: &Signed, signer: &SecretKey| format!("authorization: Bearer {}", signed.to_jwt(signer));
    let cases = [
        ("GET", "/health?probe=1", vec![]),
        ("GET", "/flights", vec![]),
        ("GET", "/flights", vec![header(&own), "host: API.example".into()]),
        ("GET", "/%66lights?q=%2F", vec![header(&delegated)]),
        ("GET", "/flights", vec![bearer(&own, &agent(0))]),
        ("GET", "/flights", vec![bearer(&by_acme, &acme), header(&own)]),
        ("GET", "/flights", vec!["authorization: Bearer a.b.c".into()]),
        ("GET", "/fl%C3%BCge", vec![header(&by_tower)]),
        ("POST", "/bookings/a/b", vec![bearer(&by_acme, &acme), "content-length: 3".into()]),
        ("POST", "/bookings/a/b", vec![header(&own)]),
        ("POST", "/bookings/open/watch", vec![header(&by_acme)]),
        ("GET", "/bookings/open/watch", vec![header(&by_acme)]),
        ("GET", "/bookings/open/x", vec![header(&by_acme)]),
        ("GET", "/bookings/open/x", vec![]),
        (
            "GET",
            "/socket",
            vec!["connection: keep-alive, Upgrade".into(), "upgrade: websocket".into(), header(&own)],
        ),
        ("GET", "/flights", vec!["connection: upgrade".into(), header(&own)]),
        ("DELETE", "/bookings/open/x", vec![]),
        ("GET", "/bookings/../flights", vec![header(&by_acme)]),
        ("GET", "/bookings/%2e/flights", vec![header(&by_acme)]),
        ("GET", "/bookings//x", vec![header(&by_acme)]),
        ("GET", "/bookings/a%2fx", vec![header(&by_acme)]),
        ("GET", "/bookings/a%3Bx", vec![header(&by_acme)]),
        ("GET", "/flights", vec![header(&own), "host: other.example".into()]),
        ("GET", "/flights", vec![header(&revoked)]),
        ("GET", "/flights", vec![header(&own), header(&own)]),
        ("CONNECT", "*", vec!["host: other".into()]),
    ];
    let text = |(method, path, headers): &(&str, &str, Vec<String>)| {
        format!("{method}\napi.example\n{path}\n{}", headers.join("\n")).into_bytes()
    };
    cases.iter().map(text).collect()
}

fn draft(id: &str) -> Draft {
    Draft {
        passport_id: id.into(),
        agent_name: None,
        permissions: ["flights:search", "flights:book"].map(|key| (key.into(), Default::default())).into(),
        issued_at: NOW.plus_millis(-3_600_000),
        expires_at: NOW.plus_millis(3_600_000),
        delegation_authority: true,
    }
}

/// The heads as hosts hand them to the plugin, and one cut off.
fn maps() -> Vec<Vec<u8>> {
    let mut all: Vec<_> = heads().iter().map(|head| map(&RequestText::read(head))).collect();
    let mut cut = all[0].clone();
    cut.pop();
    all.extend([cut, Vec::new(), vec![0; 4], vec![0xff; 16]]);
    all
}

fn map(head: &RequestText) -> Vec<u8> {
    let mut pairs: Vec<(&[u8], &[u8])> =
        vec![(b":method", &head.method), (b":authority", &head.authority), (b":path", &head.path)];
    pairs.extend(head.headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())));
    encoded(&pairs)
}

/// Requests with proofs in every form, without one, and with what a gate asks for.
fn proofs() -> Vec<Vec<u8>> {
    let nonce = "AAAAAAAAAAAAAAAAAAAAAA";
    let whole = ProofDraft {
        method: "POST",
        authority: "API.example:443",
        path: "/flights",
        query: Some("a=b"),
        credential: ("agent-passport", ":e30=:"),
        body: Some(b"{}"),
        key_id: "agent_0",
        created: NOW,
        expires: Some(NOW.plus_millis(60_000)),
        nonce,
    };
    let bare = ProofDraft {
        method: "GET",
        authority: "[::1]:80",
        path: "",
        query: None,
        body: None,
        expires: None,
        ..whole
    };
    let text = |draft: &ProofDraft<'_>, change: &dyn Fn(String) -> String| {
        let query = draft.query.map(|query| format!("?{query}")).unwrap_or_default();
        let mut text = format!(
            "{}\n{}\n{}{query}\nagent-passport: {}",
            draft.method, draft.authority, draft.path, draft.credential.1
        );
        for (name, value) in draft.sign(&key("agent 0")) {
            text.push_str(&format!("\n{name}: {}", change(value)));
        }
        text
    };
    let same = |value| value;
    let sha512 =
        "sha-512=:z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==:";
    let other_digest = text(&whole, &|value| {
        if value.starts_with("sha-256") { format!("{value}, {sha512}") } else { value }
    });
    let beside = text(&bare, &|value| match value.strip_prefix("agent=:") {
        Some(_) => format!("proxy=:AAAA:;a=?1, {value}"),
        None => format!(
            "proxy=(\"date\";sf \"@query-param\";name=\"a\");keyid=\"\\\"\\\\\";x=1.5;y=tok/en;z, {value}"
        ),
    });
    let split = text(&bare, &|value| value) + "\nsignature-input: x=()\nsignature: x=::";
    let seeds = [
        text(&whole, &same),
        text(&bare, &same),
        other_digest,
        beside,
        split,
        text(&whole, &|value| value.replace("ed25519", "rsa-pss-sha512")),
        text(&whole, &|value| value.replace("agent=", "sig1=")),
        text(&bare, &|value| value.replace("(\"", "( \"").replace(";created", "; created")),
        text(&whole, &|value| format!("{value}, {value}")),
        text(&ProofDraft { created: NOW.plus_millis(-400_000), expires: None, ..whole }, &same),
        text(&ProofDraft { nonce: "short", ..bare }, &same),
        "GET\na\n/\nagent-passport: x".into(),
        format!("agent=(\"@method\");created;nonce=\"{nonce}\";tag=\"agent-proof\""),
    ];
    seeds.into_iter().map(String::into_bytes).collect()
}
