//! Upgrades of a gate in real Envoy under load: the plugin's file replaced, its configuration
//! changed, keys rotated, workers that trap, and Envoy itself taken over by another. Each client
//! knows the answer that it must get, and all that was decided is in the record.

use crate::live_records;
use crate::live_stand;
use crate::live_stand::{GATE, LiveStand, Wishes, agent, counter_of, given};
use crate::steady;
use crate::steady::{Ask, Told, under_load};
use crate::trapping::{Moment, Trap, trapping};
use portcullis_core::modei::{Draft, Issuer, RootKind, Signed, issue, self_agent_id, self_issue};
use portcullis_core::{ProofDraft, SecretKey, UnixTime, base64, json as strict};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use xtask::ecds::{Discovered, Outcome};
use xtask::envoy::{Envoy, HotRestart};
use xtask::envoy_config::{Addresses, EnvoyConfig};
use xtask::http::{Connection, Request, exchange};
use xtask::live_gate::{self, KEY_VARIABLE};
use xtask::net;
use xtask::workspace::Workspace;

#[test]
fn a_plugin_is_replaced_its_configuration_changed_and_workers_trap_and_no_decision_is_wrong() {
    let stand = stand("upgrades-ecds", "L1", &["ik_1"]);
    let scene = Scene::new(&stand);
    let (envoy, mut gate) = discovered(&stand, "upgrades-ecds-b", &given("PORTCULLIS_WASM"));
    let before = stand.upstream.served();
    let config = stand.enrolled.config.clone();
    let told = scene.under_load(envoy.listen, "/steady/ecds-", |load| {
        load.pass(200);
        // Other code, so that Envoy starts other VMs beside those that run.
        gate.set_plugin(&copy(&stand)).unwrap();
        assert_eq!(gate.publish_to(&envoy, &config).unwrap(), Outcome::Taken);
        load.pass(200);
        // The same code, another configuration; and one that is refused.
        for bytes in [1 << 20, 2 << 20] {
            let mut config: Value = serde_json::from_str(&config).unwrap();
            config["cache_bytes"] = json!(bytes);
            assert_eq!(gate.publish_to(&envoy, &config.to_string()).unwrap(), Outcome::Taken);
            assert_eq!(gate.publish_to(&envoy, "{}").unwrap(), Outcome::Refused);
            load.pass(100);
        }
        // An issuer's key is followed by another, in the service.
        let [former, latter] = ["ik_1", "ik_2"].map(|key| issued(key).to_header());
        assert_eq!(scene.ask(&envoy, &former), 200);
        assert_eq!(scene.ask(&envoy, &latter), 401);
        stand.configure(&["ik_1", "ik_2"]);
        scene.wait_for(&envoy, &latter, 200);
        assert_eq!(scene.ask(&envoy, &former), 200);
        stand.configure(&["ik_2"]);
        scene.wait_for(&envoy, &former, 401);
        assert_eq!(scene.ask(&envoy, &latter), 200);
        load.pass(100);
    });
    assert!(told.undecided.is_empty() && told.unanswered.is_empty(), "{:?}", told.undecided);
    scene.check(&told, "/steady/ecds-", stand.upstream.served() - before - scene.asides());

    // Workers that trap refuse, and what they have decided is not lost.
    let told = scene.under_load(envoy.listen, "/steady/trap-", |load| {
        load.may_fail(true);
        let trap = Trap { function: "proxy_on_request_headers", moment: Moment::After, nth: 60 };
        let file = stand.folder.path().join("trapping.wasm");
        std::fs::write(&file, trapping(&std::fs::read(given("PORTCULLIS_WASM")).unwrap(), trap)).unwrap();
        gate.set_plugin(&file).unwrap();
        assert_eq!(gate.publish_to(&envoy, &config).unwrap(), Outcome::Taken);
        let reloads = counter_of(&envoy, "vm_reload_success");
        let began = Instant::now();
        while counter_of(&envoy, "vm_reload_success") < reloads + 4 {
            assert!(began.elapsed() < DEADLINE, "{}", envoy.log_tail());
            std::thread::sleep(Duration::from_millis(50));
        }
        gate.set_plugin(&given("PORTCULLIS_WASM")).unwrap();
        assert_eq!(gate.publish_to(&envoy, &config).unwrap(), Outcome::Taken);
        load.pass(20);
        load.may_fail(false);
        load.pass(200);
    });
    assert!(!told.undecided.is_empty());
    scene.check(&told, "/steady/trap-", 0);
    assert!(envoy.runs().unwrap());
}

#[test]
fn an_envoy_takes_over_from_another_under_load_and_no_decision_is_wrong_and_no_record_lost() {
    let stand = stand("upgrades-hot", "L1", &["ik_1"]);
    let scene = Scene::new(&stand);
    // Longer than any request here takes, and the service to take all records: fewer than it takes on
    // a busy machine come in a second.
    let mut restart = HotRestart::new(Duration::from_secs(3), Duration::from_secs(30));
    steady::REST_MS.store(25, Ordering::Relaxed);
    let [listen, admin] = net::free().unwrap();
    let addresses = Addresses { listen, admin, upstream: stand.upstream.address };
    let mut start = |plugin: &Path, key: &str| {
        let config = config(&stand, plugin);
        let (workspace, program) = (Workspace::find().unwrap(), given("PORTCULLIS_ENVOY"));
        let environment = [(KEY_VARIABLE, key)];
        Envoy::start_restartable(
            &workspace,
            &program,
            "upgrades-hot-b",
            config,
            &addresses,
            2,
            &environment,
            &mut restart,
        )
        .unwrap()
    };
    let mut envoy = start(&given("PORTCULLIS_WASM"), &stand.enrolled.key);
    live_gate::wait_until_open(&envoy).unwrap();
    let before = stand.upstream.served();
    let next_key = rotated(&stand);
    let told = scene.under_load(listen, "/steady/hot-", |load| {
        load.pass(100);
        // A new plugin, and a new key of the gate, which only a new process's environment brings.
        // Until that has trust material it refuses, as any that begins.
        load.may_fail(true);
        let next = start(&copy(&stand), &next_key);
        live_gate::wait_until_open(&next).unwrap();
        load.pass(20);
        load.may_fail(false);
        let began = Instant::now();
        while envoy.runs().unwrap() {
            assert!(began.elapsed() < DEADLINE, "the former Envoy goes on");
            std::thread::sleep(Duration::from_millis(50));
        }
        envoy = next;
        load.pass(200);
    });
    println!("{} answers; {:?}; unanswered: {:?}", told.seen.len(), told.counts, told.unanswered);
    assert!(told.undecided.is_empty(), "{:?}", told.undecided);
    let records = scene.check(&told, "/steady/hot-", stand.upstream.served() - before);
    let lanes = lanes(&records);
    assert!(lanes.len() >= 2, "each process has a lane: {}", lanes.len());
}

/// A proof that one process has let through is let through by no other, whichever of them it meets.
#[test]
fn what_was_used_before_an_envoy_took_over_is_refused_after_it() {
    let stand = stand_with("upgrades-replay", "L2", &["ik_1"], true);
    let mut restart = HotRestart::new(Duration::from_secs(300), Duration::from_secs(300));
    let [listen, admin] = net::free().unwrap();
    let addresses = Addresses { listen, admin, upstream: stand.upstream.address };
    let mut start = || {
        let config = config(&stand, &given("PORTCULLIS_WASM"));
        let (workspace, program) = (Workspace::find().unwrap(), given("PORTCULLIS_ENVOY"));
        let environment = [(KEY_VARIABLE, stand.enrolled.key.as_str())];
        let envoy = Envoy::start_restartable(
            &workspace,
            &program,
            "upgrades-replay-b",
            config,
            &addresses,
            2,
            &environment,
            &mut restart,
        )
        .unwrap();
        live_gate::wait_until_open(&envoy).unwrap();
        next_second();
        envoy
    };
    let authority = stand.envoy.listen.to_string();
    let proof = |number: usize| proven(&authority, "/steady/x", number, None).to_bytes(&authority, false);
    let once = |bytes: &[u8]| answer(&exchange(listen, bytes).unwrap());
    // The nonce authority has a second for its answer, which a busy machine may need.
    let mut numbers = 0..;
    let mut passed = |send: &mut dyn FnMut(&[u8]) -> (u16, String)| {
        for number in numbers.by_ref().take(20) {
            let bytes = proof(number);
            match send(&bytes) {
                (200, _) => return bytes,
                told => assert_eq!(told.1, "nonce_authority_unavailable"),
            }
        }
        panic!("the nonce authority never answers");
    };
    let parent = start();
    let used = passed(&mut |bytes| once(bytes));
    let unused = proof(10_000);
    assert_eq!(once(&used), (401, "request_replayed".to_owned()));
    // On this one requests come to the parent as long as that lives.
    let mut kept = Connection::open(listen).unwrap();
    let mut at_parent = |bytes: &[u8]| answer(&kept.exchange(bytes).unwrap().unwrap());
    passed(&mut at_parent);

    let child = start();
    assert!(parent.runs().unwrap() && child.runs().unwrap());
    assert_eq!(once(&used), (401, "proof_predates_gate".to_owned()));
    // Of one that nobody has seen it cannot be known, so its agent signs again.
    assert_eq!(once(&unused), (401, "proof_predates_gate".to_owned()));
    let fresh = passed(&mut |bytes| once(bytes));
    assert_eq!(once(&fresh), (401, "request_replayed".to_owned()));
    // The other way round the nonce authority says it: the parent knows nothing of the child.
    let (status, reason) = at_parent(&fresh);
    assert_ne!(status, 200);
    assert!(["request_replayed", "nonce_authority_unavailable"].contains(&reason.as_str()), "{reason}");
}

/// The older layout and the present one differ in nothing but their names here.
#[test]
fn two_layouts_side_by_side_do_not_corrupt_each_other() {
    let stand = stand("upgrades-layouts", "L1", &["ik_1"]);
    let scene = Scene::new(&stand);
    let older = older(&stand);
    let [listen, admin, second] = net::free().unwrap();
    let addresses = Addresses { listen, admin, upstream: stand.upstream.address };
    let config = config(&stand, &older).at(&addresses).unwrap().with_second_plugin(second, &older).unwrap();
    let folder = stand.folder.path().join("layouts");
    let (config, mut gate) = config.with_discovered_gate(&folder).unwrap();
    gate.publish(&stand.enrolled.config).unwrap();
    let (workspace, program) = (Workspace::find().unwrap(), given("PORTCULLIS_ENVOY"));
    let environment = [(KEY_VARIABLE, stand.enrolled.key.as_str())];
    let name = "upgrades-layouts-b";
    let envoy = Envoy::start_with(&workspace, &program, name, config, &addresses, 2, &environment).unwrap();
    live_gate::wait_until_open(&envoy).unwrap();
    // One of its two listeners is given the newer one, and the other goes on with the older.
    gate.set_plugin(&given("PORTCULLIS_WASM")).unwrap();
    assert_eq!(gate.publish_to(&envoy, &stand.enrolled.config).unwrap(), Outcome::Taken);
    live_gate::wait_until_open(&envoy).unwrap();
    let newer = envoy.listen;
    let before = stand.upstream.served();
    let authority = stand.envoy.listen.to_string();
    let of = |to, prefix| {
        let (scene, authority) = (&scene, &authority);
        // What needs a memory is refused by one of the two, which is another test's.
        move || {
            let script = |number: usize, path: &str| scene.plain(number, path);
            under_load((authority, to, prefix), &script, |load| load.pass(1000))
        }
    };
    let (at_newer, at_older) = std::thread::scope(|scope| {
        let newer = scope.spawn(of(newer, "/steady/newer-"));
        let older = scope.spawn(of(second, "/steady/older-"));
        (newer.join().unwrap(), older.join().unwrap())
    });
    assert!(at_newer.seen.len() > 800 && at_older.seen.len() > 800);
    let served = stand.upstream.served() - before;
    assert_eq!(usize::try_from(served).unwrap(), at_newer.allowed() + at_older.allowed());
    scene.check(&at_newer, "/steady/newer-", at_newer.allowed() as u64);
    let records = scene.check(&at_older, "/steady/older-", at_older.allowed() as u64);
    let lanes_of = |prefix: &str| -> BTreeSet<&str> {
        let of =
            records.iter().filter(|record| record["request"]["path"].as_str().unwrap().starts_with(prefix));
        of.map(|record| record["lane"].as_str().unwrap()).collect()
    };
    let (newer, older) = (lanes_of("/steady/newer-"), lanes_of("/steady/older-"));
    assert!(newer.len() == 1 && older.len() == 1 && newer != older, "{newer:?} {older:?}");
}

/// The older one has used nonces, has a request under way, and records that nobody took yet.
#[test]
fn a_newer_layout_takes_no_nonce_of_the_older_one_and_delivers_what_that_has_left() {
    let stand = stand("upgrades-swap", "L2", &["ik_1"]);
    let (envoy, mut gate) = discovered(&stand, "upgrades-swap-b", &older(&stand));
    let authority = stand.envoy.listen.to_string();
    next_second();
    let ask = |bytes: &[u8]| exchange(envoy.listen, bytes).unwrap();
    let proofs: Vec<_> = (0..40)
        .map(|number| proven(&authority, "/steady/swap", number, None).to_bytes(&authority, true))
        .collect();
    // From here on nothing of the older one is delivered.
    stand.line.set(live_stand::Fault::Failing);
    let mut seen = live_records::Seen::new();
    for proof in &proofs {
        let passed = ask(proof);
        assert_eq!(passed.status, 200);
        let saw: Value = serde_json::from_slice(&passed.body).unwrap();
        let headers = saw["headers"].as_array().unwrap();
        let id = headers.iter().find(|pair| pair[0] == "x-gate-attestation-id").unwrap()[1].as_str().unwrap();
        seen.insert(id.to_owned(), "allow".to_owned());
    }
    // Its head is judged by the older one, which holds its body back until it is whole.
    let held = proven(&authority, "/steady/swap", 50, Some(b"window seat"));
    let held = held.to_bytes(&authority, true);
    let copy = held.clone();
    let (head, rest) = held.split_at(held.len() - 4);
    let mut stream = std::net::TcpStream::connect(envoy.listen).unwrap();
    std::io::Write::write_all(&mut stream, head).unwrap();
    std::thread::sleep(Duration::from_millis(200));

    gate.set_plugin(&given("PORTCULLIS_WASM")).unwrap();
    assert_eq!(gate.publish_to(&envoy, &stand.enrolled.config).unwrap(), Outcome::Taken);
    stand.line.set(live_stand::Fault::None);
    live_gate::wait_until_open(&envoy).unwrap();
    // The older one has lost its memory: what it holds is refused, and so is its copy here.
    std::io::Write::write_all(&mut stream, rest).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut bytes = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("host_fault"), "{text}");
    assert_eq!(answer(&ask(&copy)), (401, "proof_predates_gate".to_owned()));
    for proof in &proofs {
        assert_eq!(answer(&ask(proof)), (401, "proof_predates_gate".to_owned()));
    }
    next_second();
    let fresh = proven(&authority, "/steady/swap", 60, None).to_bytes(&authority, true);
    assert_eq!(answer(&ask(&fresh)), (200, String::new()));
    assert_eq!(answer(&ask(&fresh)), (401, "request_replayed".to_owned()));
    // No VM of the older one is left.
    let records = stand.wait_for_records(&seen);
    lanes(&records);
    let (code, words) = stand.audit(&stand.export());
    assert_eq!(code, Some(0), "{words}");

    // There is no way back within a process, and Envoy goes on with what it has.
    gate.set_plugin(&older(&stand)).unwrap();
    assert_eq!(gate.publish_to(&envoy, &stand.enrolled.config).unwrap(), Outcome::Refused);
    let log = std::fs::read_to_string(&envoy.log).unwrap();
    assert!(log.contains("start the proxy anew"), "{}", envoy.log_tail());
    let fresh = proven(&authority, "/steady/swap", 61, None).to_bytes(&authority, true);
    assert_eq!(answer(&ask(&fresh)), (200, String::new()));
}

/// Some hundred times what any of it takes where nothing else is done.
const DEADLINE: Duration = Duration::from_secs(300);

/// The issuer's key of this id.
fn issuer_key(id: &str) -> SecretKey {
    agent(if id == "ik_1" { 81 } else { 82 })
}

/// A gate of this profile that trusts one issuer, by these of its keys.
fn gate(profile: &str, authority: &str, keys: &[&str], nonce_authority: bool) -> Value {
    let keys: Vec<_> = keys
        .iter()
        .map(|id| json!({"key_id": id, "public_key": base64::encode(&issuer_key(id).public_key())}))
        .collect();
    let issuer = json!({
        "id": "issuer:acme", "type": "platform", "tier": 3, "domain_verified": true,
        "actions": ["flights:*"], "keys": keys,
    });
    let mut trust = json!({"issuers": [issuer]});
    if profile == "L1" {
        trust["self_issued"] = json!({"actions": ["flights:*"]});
    }
    json!({
        "gate": {"id": GATE, "name": "Flights"}, "profile": profile, "authorities": [authority],
        "routes": [{"path_prefix": "/steady/", "methods": ["GET", "POST"], "action": "flights:search"}],
        "trust": trust, "attest": {"policy": "required"}, "nonce_authority": nonce_authority,
    })
}

fn stand(name: &str, profile: &str, keys: &[&str]) -> LiveStand {
    stand_with(name, profile, keys, false)
}

fn stand_with(name: &str, profile: &str, keys: &[&str], nonce_authority: bool) -> LiveStand {
    let gate = |authority: &str| gate(profile, authority, keys, nonce_authority).to_string();
    LiveStand::start(name, &Wishes { gate: Some(&gate), ..Wishes::default() })
}

impl LiveStand {
    /// Gives the gate, of profile L1, these keys of the issuer.
    fn configure(&self, keys: &[&str]) {
        let mut config = gate("L1", &self.envoy.listen.to_string(), keys, false);
        let members = config.as_object_mut().unwrap();
        members.remove("gate");
        members.remove("profile");
        self.call("PUT", &format!("/api/v1/gates/{GATE}/config"), &config);
    }
}

/// A further Envoy's configuration for the gate, with this plugin.
fn config(stand: &LiveStand, plugin: &Path) -> EnvoyConfig {
    EnvoyConfig::shipped(&Workspace::find().unwrap())
        .and_then(|shipped| shipped.with_plugin(plugin))
        .and_then(|shipped| shipped.with_gate(&stand.enrolled.config))
        .and_then(|shipped| shipped.with_control(stand.line.address))
        .unwrap()
}

/// An Envoy that takes the gate from a file, and that file.
fn discovered(stand: &LiveStand, name: &str, plugin: &Path) -> (Envoy, Discovered) {
    let [listen, admin] = net::free().unwrap();
    let addresses = Addresses { listen, admin, upstream: stand.upstream.address };
    let config = config(stand, plugin).at(&addresses).unwrap().with_request_timeout("600s").unwrap();
    let (config, mut gate) = config.with_discovered_gate(&stand.folder.path().join(name)).unwrap();
    gate.publish(&stand.enrolled.config).unwrap();
    let (workspace, program) = (Workspace::find().unwrap(), given("PORTCULLIS_ENVOY"));
    let environment = [(KEY_VARIABLE, stand.enrolled.key.as_str())];
    let envoy = Envoy::start_with(&workspace, &program, name, config, &addresses, 2, &environment).unwrap();
    live_gate::wait_until_open(&envoy).unwrap();
    (envoy, gate)
}

/// The plugin as another file with other bytes that does the same.
fn copy(stand: &LiveStand) -> PathBuf {
    let mut bytes = std::fs::read(given("PORTCULLIS_WASM")).unwrap();
    // A custom section, of the name `v` and no more.
    bytes.extend_from_slice(&[0, 2, 1, b'v']);
    let file = stand.folder.path().join("copy.wasm");
    std::fs::write(&file, bytes).unwrap();
    file
}

/// The plugin of the layout before, as far as that differs in names alone.
fn older(stand: &LiveStand) -> PathBuf {
    let mut bytes = std::fs::read(given("PORTCULLIS_WASM")).unwrap();
    for (from, to) in [(b"portcullis.1.", b"portcullis.0."), (b"portcullis.2.", b"portcullis.1.")] {
        let places: Vec<_> =
            bytes.windows(from.len()).enumerate().filter(|(_, at)| at == from).map(|(at, _)| at).collect();
        assert!(!places.is_empty(), "the plugin names its layout");
        for at in places {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    let file = stand.folder.path().join("older.wasm");
    std::fs::write(&file, bytes).unwrap();
    file
}

/// The gate's next key, which the service takes beside the present one.
fn rotated(stand: &LiveStand) -> String {
    let (present, next) =
        (stand.folder.path().join(format!("{GATE}.env")), stand.folder.path().join("next.env"));
    let output = Command::new(given("PORTCULLIS_CLI"))
        .args(["gate", "rotate", "--gate", GATE, "--service", &stand.service().url()])
        .arg("--env")
        .arg(&present)
        .arg("--out")
        .arg(&next)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let key = std::fs::read_to_string(&next).unwrap();
    key.trim().strip_prefix(KEY_VARIABLE).unwrap().strip_prefix('=').unwrap().to_owned()
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap())
}

/// Proofs tell whole seconds, and the one in which a gate began is partly before it.
fn next_second() {
    let second = now().as_millis() / 1000;
    while now().as_millis() / 1000 == second {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn draft(id: &str, action: &str) -> Draft {
    Draft {
        passport_id: id.to_owned(),
        agent_name: None,
        permissions: vec![(action.to_owned(), strict::Object::default())],
        issued_at: now(),
        expires_at: now().plus_millis(3_000_000),
        delegation_authority: false,
    }
}

/// A passport of the issuer, signed with this key, for the agent that signs requests here.
fn issued(key: &str) -> Signed {
    let by = Issuer { kind: RootKind::Platform, id: "issuer:acme".into(), key_id: key.into(), gate_id: None };
    let public_key = agent(1).public_key();
    issue(&issuer_key(key), &by, &self_agent_id(&public_key), &public_key, &draft("pp_1", "flights:search"))
}

/// A request with a passport of the issuer and a proof, whose nonce is this number.
fn proven(authority: &str, path: &str, number: usize, body: Option<&[u8]>) -> Request {
    proven_with((&agent(1), &issued("ik_1").to_header()), authority, path, number, body)
}

/// The same with this passport of this agent.
fn proven_with(
    (holder, credential): (&SecretKey, &str),
    authority: &str,
    path: &str,
    number: usize,
    body: Option<&[u8]>,
) -> Request {
    let method = if body.is_some() { "POST" } else { "GET" };
    let nonce = base64::encode_url(format!("nonce number {number:010}").as_bytes());
    let draft = ProofDraft {
        method,
        authority,
        path,
        query: None,
        credential: ("agent-passport", credential),
        body,
        key_id: &self_agent_id(&holder.public_key()),
        created: now(),
        expires: None,
        nonce: &nonce,
    };
    let mut request = Request::new(method, path);
    request.headers.push(("agent-passport".into(), credential.to_owned()));
    request.headers.extend(draft.sign(holder).into_iter().map(|(name, value)| (name.to_owned(), value)));
    request.body = body.unwrap_or_default().to_vec();
    request
}

fn answer(answer: &xtask::http::Response) -> (u16, String) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status, body["reason_code"].as_str().unwrap_or_default().to_owned())
}

/// What clients of the gate ask, and how it is looked after.
struct Scene<'s> {
    stand: &'s LiveStand,
    authority: String,
    good: String,
    forged: String,
    revoked: String,
    elsewhere: String,
    asides: AtomicU64,
}

impl<'s> Scene<'s> {
    fn new(stand: &'s LiveStand) -> Self {
        let holder = agent(5);
        let signed = |id: &str, action: &str| self_issue(&holder, &draft(id, action));
        let good = signed("pp_good", "flights:search");
        let forged = good.to_json().replace("pp_good", "pp_evil");
        let revoked = signed("pp_revoked", "flights:search");
        stand.revoke(&holder, &revoked);
        Scene {
            stand,
            authority: stand.envoy.listen.to_string(),
            good: good.to_header(),
            forged: format!(":{}:", base64::encode(forged.as_bytes())),
            revoked: revoked.to_header(),
            elsewhere: signed("pp_elsewhere", "trains:search").to_header(),
            asides: AtomicU64::new(0),
        }
    }

    /// What is decided by what stands in the request.
    fn plain(&self, number: usize, path: &str) -> Ask {
        let (credential, status, reason) = match number % 8 {
            0 => (None, 401, "credential_missing"),
            1 => (Some(&self.forged), 401, "signature_invalid"),
            2 => (Some(&self.revoked), 401, "passport_revoked"),
            3 => (Some(&self.elsewhere), 403, "permission_denied"),
            4 => {
                let mut request = Request::new("DELETE", path);
                request.headers.push(("agent-passport".into(), self.good.clone()));
                return Ask { request, status: 403, reason: "route_unknown" };
            }
            _ => (Some(&self.good), 200, ""),
        };
        let mut request = Request::new("GET", path);
        request.headers.extend(credential.map(|header| ("agent-passport".to_owned(), header.clone())));
        Ask { request, status, reason }
    }

    /// The same, and requests with a nonce that is used once, some with a body that is held.
    fn script(&self, number: usize, path: &str) -> Ask {
        if !number.is_multiple_of(5) {
            return self.plain(number, path);
        }
        // Unlike any other client's.
        let nonce = path.bytes().fold(number, |sum, byte| sum.wrapping_mul(31) + usize::from(byte));
        let body = number.is_multiple_of(2).then_some(&b"window seat"[..]);
        let holder = (&agent(5), self.good.as_str());
        let request = proven_with(holder, &self.authority, path, nonce % 10_000_000_000, body);
        Ask { request, status: 200, reason: "" }
    }

    fn under_load(&self, to: SocketAddr, prefix: &str, act: impl FnOnce(&steady::Load<'_>)) -> Told {
        let script = |number: usize, path: &str| self.script(number, path);
        under_load((&self.authority, to, prefix), &script, act)
    }

    /// The status that a passport gets.
    fn ask(&self, envoy: &Envoy, credential: &str) -> u16 {
        let mut request = Request::new("GET", "/steady/aside");
        request.headers.push(("agent-passport".into(), credential.to_owned()));
        let status = exchange(envoy.listen, &request.to_bytes(&self.authority, true)).unwrap().status;
        self.asides.fetch_add(u64::from(status == 200), Ordering::Relaxed);
        status
    }

    /// Asks until it gets this one, twenty times in a row, by both workers that is.
    fn wait_for(&self, envoy: &Envoy, credential: &str, status: u16) {
        let (began, mut in_a_row) = (Instant::now(), 0);
        while in_a_row < 20 {
            assert!(began.elapsed() < DEADLINE, "not {status}; {}", envoy.log_tail());
            let told = self.ask(envoy, credential);
            in_a_row = if told == status { in_a_row + 1 } else { 0 };
        }
    }

    /// How many have passed of those that clients did not ask.
    fn asides(&self) -> u64 {
        self.asides.load(Ordering::Relaxed)
    }

    /// Fails unless all that clients were told is right, and in the record; all records.
    fn check(&self, told: &Told, prefix: &str, served: u64) -> Vec<Value> {
        println!("{prefix}: {} answers: {:?}", told.seen.len(), told.counts);
        assert!(told.wrong.is_empty(), "{} wrong: {:#?}", told.wrong.len(), told.wrong.first());
        let records = self.stand.wait_for_records_and(&told.seen, DEADLINE, || ());
        told.check(&records, prefix, served);
        lanes(&records);
        let (code, words) = self.stand.audit(&self.stand.export());
        assert_eq!(code, Some(0), "{words}");
        records
    }
}

/// The numbers of each lane, which have no gaps.
fn lanes(records: &[Value]) -> BTreeMap<&str, Vec<u64>> {
    let mut lanes: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for record in records {
        let number = record["sequence_number"].as_u64().unwrap();
        lanes.entry(record["lane"].as_str().unwrap()).or_default().push(number);
    }
    for (lane, numbers) in &lanes {
        assert!(numbers.iter().copied().eq(1..=u64::try_from(numbers.len()).unwrap()), "{lane}");
    }
    lanes
}
