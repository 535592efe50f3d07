//! Live trust material in the plugin: several workers of one proxy, a control service that
//! answers, lies, falls silent and comes back, and a clock that only tests move.

use crate::common::{NOW, key};
use crate::service;
use crate::service::{FINGERPRINTS, GATE, Service};
use portcullis_core::capiscio::{BadgeDraft, BadgeIssuer, Level, did_of_key};
use portcullis_core::live::{Head, TrustResponse};
use portcullis_core::modei::{Draft, self_issue};
use portcullis_core::{PublicKey, UnixTime, base64, sha256};
use portcullis_harness::{Fault, Host, HostProfile, HttpCall, Plugin, Request, Response, Status, Vm};
use std::sync::LazyLock;
use std::time::Duration;

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| {
    let path =
        std::env::var_os("PORTCULLIS_WASM").expect("PORTCULLIS_WASM is not set: run `cargo xtask test`");
    Plugin::from_file(path).expect("the plugin compiles")
});

const CONFIG: &str = r#"{"gate":{"id":"gate_test"},"profile":"L1","attest":{"policy":"off"},"authorities":["127.0.0.1:10000"],
    "routes":[{"path":"/flights","methods":["GET"],"action":"flights:search"},
              {"path":"/public","methods":["GET"],"public":true}],
    "trust":{"self_issued":{"actions":["flights:*"]}}}"#;

const TICK: Duration = Duration::from_millis(200);

/// A proxy's workers, and the service that they ask.
struct Proxy {
    host: Host,
    workers: Vec<Vm>,
    service: Service,
}

fn host() -> Host {
    let pinned = [("k1", 9), ("k2", 8)]
        .map(|(id, name)| {
            let public = base64::encode(&key(name).public_key());
            format!(r#"{{"key_id":"{id}","public_key":"{public}"}}"#)
        })
        .join(",");
    let configuration = format!(
        r#"{{"gate":{{"id":"{GATE}"}},"service":{{"cluster":"control","authority":"control.internal",
            "keys":[{pinned}],"max_age_seconds":600}}}}"#
    );
    let host = Host::new(&PLUGIN, HostProfile::envoy())
        .configuration(configuration)
        .environment("PORTCULLIS_GATE_KEY", &base64::encode(&[3; 32]))
        .clusters(&["control"]);
    host.set_now(Duration::from_millis(u64::try_from(NOW.as_millis()).unwrap()));
    host
}

impl Proxy {
    fn new(workers: usize) -> Self {
        Self::of(workers, CONFIG.into())
    }

    fn of(workers: usize, config: String) -> Self {
        let host = host();
        let workers = (0..workers).map(|_| host.start().unwrap()).collect();
        let mut service = Service::new(config);
        // Three pages of two.
        for one in 1..=5 {
            service.change(one << 60, true);
        }
        Proxy { host, workers, service }
    }

    /// Workers that have taken up what there is.
    fn ready(workers: usize) -> Self {
        let mut proxy = Self::new(workers);
        proxy.run(Duration::from_secs(1));
        for worker in &mut proxy.workers {
            assert_eq!(ask(worker), "ok");
        }
        proxy
    }

    fn now(&self) -> UnixTime {
        UnixTime::from_millis(i64::try_from(self.host.now().as_millis()).unwrap())
    }

    /// Moves the clock by one tick and ticks every worker; the service stays silent.
    fn tick(&mut self) {
        self.host.advance(TICK);
        for worker in &mut self.workers {
            worker.tick().unwrap();
        }
    }

    /// Lets time go by, while the service answers.
    fn run(&mut self, time: Duration) {
        self.run_with(time, |proxy, call| Some(proxy.answer(call)));
    }

    /// Lets time go by, while calls are answered so, or fail.
    fn run_with(&mut self, time: Duration, answer: impl Fn(&Self, &HttpCall) -> Option<Response>) {
        for _ in 0..time.as_millis() / TICK.as_millis() {
            self.tick();
            assert!(self.calls().len() <= 1, "{} calls at once", self.calls().len());
            // Pages follow on each other at once; 100 is more than any test has.
            for _ in 0..100 {
                let Some((at, call)) = self.calls().into_iter().next() else { break };
                let answer = answer(self, &call);
                let worker = self.workers.get_mut(at).unwrap();
                match answer {
                    Some(response) => worker.answer_http_call(call.token, response).unwrap(),
                    None => worker.fail_http_call(call.token).unwrap(),
                }
            }
        }
    }

    /// The calls that wait, with the worker of each.
    fn calls(&self) -> Vec<(usize, HttpCall)> {
        let calls = |(at, vm): (usize, &Vm)| vm.http_calls().into_iter().map(move |call| (at, call));
        self.workers.iter().enumerate().flat_map(calls).collect()
    }

    /// What the service answers.
    fn answer(&self, call: &HttpCall) -> Response {
        let query = Query::of(call);
        match query.from {
            Some(from) => Response::new(200).body(self.service.page(from).sign(&key(9), "k1")),
            None => news(&self.response(&query, |_| ())),
        }
    }

    /// The documents of an answer to a call for what is new, its head changed so.
    fn response(&self, query: &Query, change: impl FnOnce(&mut Head)) -> TrustResponse {
        let mut response = self.service.answer(query.snapshot, query.revocations, self.now());
        let mut head = self.service.head(self.now());
        head.echo.clone_from(&query.random);
        change(&mut head);
        response.head = head.sign(&key(9), "k1");
        response
    }

    /// Lets time go by while heads are changed so: what a liar could send.
    fn run_with_heads(&mut self, time: Duration, change: impl Fn(&mut Head)) {
        self.run_with(time, |proxy, call| {
            let query = Query::of(call);
            Some(match query.from {
                Some(_) => proxy.answer(call),
                None => news(&proxy.response(&query, &change)),
            })
        });
    }

    fn counted(&self, event: &str) -> u64 {
        self.host.metric(&format!("portcullis_trust.{event}")).unwrap()
    }

    /// The issuer of the passport that tests ask with.
    fn issuer(&mut self) -> String {
        let outcome = self.workers.first_mut().unwrap().request(with_passport());
        outcome.upstream_header("x-gate-issuer").unwrap().into_owned()
    }

    /// Revokes the passport that tests ask with.
    fn revoke(&mut self) {
        let issuer = self.issuer();
        self.service.change(FINGERPRINTS.passport(&issuer, "pp_1"), true);
    }
}

struct Query {
    snapshot: u64,
    revocations: u64,
    random: String,
    from: Option<u64>,
}

impl Query {
    fn of(call: &HttpCall) -> Self {
        let target = call.headers.get(":path").unwrap().into_owned();
        let (_, query) = target.split_once('?').unwrap();
        let member = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(one, _)| *one == name).map(|(_, value)| value.to_owned())
        };
        let number = |name: &str| member(name).map_or(0, |text| text.parse().unwrap());
        Query {
            snapshot: number("snapshot"),
            revocations: number("revocations"),
            random: member("random").unwrap_or_default(),
            from: member("from").map(|text| u64::from_str_radix(&text, 16).unwrap()),
        }
    }
}

fn news(response: &TrustResponse) -> Response {
    Response::new(200).header("content-type", "application/json").body(response.to_json())
}

fn with_passport() -> Request {
    let draft = Draft {
        passport_id: "pp_1".into(),
        agent_name: None,
        permissions: vec![("flights:search".into(), Default::default())],
        issued_at: NOW.plus_millis(-1000),
        expires_at: NOW.plus_millis(86_400_000),
        delegation_authority: false,
    };
    Request::get("/flights").header("agent-passport", self_issue(&key(7), &draft).to_header())
}

/// What becomes of a good request: `ok`, or the reason.
fn ask(worker: &mut Vm) -> String {
    ask_for(worker, with_passport())
}

fn ask_for(worker: &mut Vm, request: Request) -> String {
    let outcome = worker.request(request);
    assert!(outcome.trap.is_none(), "{:?}", outcome.trap);
    if outcome.admitted() {
        return "ok".to_owned();
    }
    let body: serde_json::Value = serde_json::from_str(&outcome.reply_text()).unwrap();
    body.pointer("/reason_code").and_then(|code| code.as_str()).unwrap().to_owned()
}

fn all(proxy: &mut Proxy) -> Vec<String> {
    proxy.workers.iter_mut().map(ask).collect()
}

/// What becomes of a request that nobody signs, at each worker: its age is all that counts.
fn all_public(proxy: &mut Proxy) -> Vec<String> {
    proxy.workers.iter_mut().map(|worker| ask_for(worker, Request::get("/public"))).collect()
}

/// A gate of this profile, that trusts one registry.
fn config_of(profile: &str) -> String {
    let public = base64::encode(&key(20).public_key());
    let trust = format!(
        r#""badge_issuers":[{{"id":"{REGISTRY}","tier":3,"actions":["*"],"keys":[{{"key_id":"r1","public_key":"{public}"}}]}}],"self_issued""#
    );
    CONFIG
        .replace(r#""profile":"L1""#, &format!(r#""profile":"{profile}""#))
        .replace(r#""self_issued""#, &trust)
}

const REGISTRY: &str = "https://registry.example";

/// A badge that gates of any profile take: of level 3 and IAL 1.
fn with_badge() -> Request {
    let draft = BadgeDraft {
        id: "550e8400-e29b-41d4-a716-446655440000".into(),
        audience: Vec::new(),
        issued_at: NOW.plus_millis(-1000),
        expires_at: NOW.plus_millis(3_599_000),
        domain: Some("agents.example".into()),
    };
    let by = BadgeIssuer { origin: REGISTRY.into(), key_id: "r1".into() };
    let holder = key(22).public_key();
    let did = did_of_key(&holder);
    let method = format!("{did}#{}", did.trim_start_matches("did:key:"));
    let badge =
        draft.sign(&key(20), &by, &did, &holder, Level::OrganizationValidated, Some(&method)).unwrap();
    Request::get("/flights").header("x-capiscio-badge", badge)
}

/// What a request above L1 whose credential is good still lacks: a proof, which is judged after all that is judged here.
const GOOD: &str = "proof_missing";

#[test]
fn a_static_configuration_makes_no_call_and_asks_for_no_tick() {
    let host = Host::new(&PLUGIN, HostProfile::envoy()).configuration(CONFIG).clusters(&["control"]);
    host.set_now(Duration::from_millis(u64::try_from(NOW.as_millis()).unwrap()));
    let mut worker = host.start().unwrap();
    assert_eq!(worker.tick_period(), None);
    worker.tick().unwrap();
    assert_eq!(ask(&mut worker), "ok");
    assert!(worker.trace().calls_of("proxy_http_call").is_empty());
    assert!(host.shared_keys().iter().all(|name| !name.contains("trust")));
}

#[test]
fn until_trust_material_has_come_everything_is_refused() {
    let mut proxy = Proxy::new(1);
    let worker = proxy.workers.first_mut().unwrap();
    assert_eq!(ask(worker), "trust_material_missing");
    let outcome = worker.request(Request::get("/public"));
    assert_eq!(outcome.status(), 503);
    assert!(outcome.reply_text().contains("trust_material_missing"));
}

#[test]
fn a_first_load_fetches_all_pages_and_serves_every_worker() {
    let mut proxy = Proxy::new(3);
    proxy.tick();
    let calls = proxy.calls();
    let [(_, call)] = calls.as_slice() else { panic!("not one call: {calls:?}") };
    assert_eq!(call.upstream, "control");
    assert_eq!(call.timeout, Duration::from_secs(10));
    proxy.run(Duration::from_secs(1));
    assert_eq!(all(&mut proxy), ["ok", "ok", "ok"]);
    assert_eq!(proxy.counted("lease_taken"), 1);
}

#[test]
fn calls_are_signed_by_the_gates_key() {
    let mut proxy = Proxy::new(1);
    proxy.tick();
    let (_, call) = proxy.calls().into_iter().next().unwrap();
    let header = |name: &str| call.headers.get(name).unwrap().into_owned();
    let target = header(":path");
    let (path, query) = target.split_once('?').unwrap();
    let input = header("signature-input");
    let params = input.strip_prefix("gate=").unwrap();
    let public = key(3).public_key();
    assert!(params.contains(&format!("keyid=\"{}\"", base64::encode_url(&sha256(&public)))));
    assert!(params.contains(&format!("created={};", proxy.now().as_millis() / 1000)));
    let base = format!(
        "\"@method\": GET\n\"@authority\": control.internal\n\"@path\": {path}\n\"@query\": ?{query}\n\
         \"@signature-params\": {params}"
    );
    let signature = header("signature");
    let signature = signature.strip_prefix("gate=:").and_then(|text| text.strip_suffix(':')).unwrap();
    let signature = base64::decode(signature).unwrap().try_into().unwrap();
    assert!(PublicKey::from_bytes(&public).unwrap().verify(base.as_bytes(), &signature));
    let secret = base64::encode(&[3; 32]);
    assert!(proxy.workers.iter().all(|worker| worker.logs().all(|(_, line)| !line.contains(&secret))));
}

#[test]
fn what_is_revoked_is_refused_by_every_worker_within_a_second() {
    let mut proxy = Proxy::ready(3);
    proxy.revoke();
    proxy.run(Duration::from_millis(1200));
    assert_eq!(all(&mut proxy), ["passport_revoked"; 3]);
}

#[test]
fn a_head_alone_keeps_the_material_fresh() {
    let mut proxy = Proxy::ready(2);
    proxy.run(Duration::from_secs(700));
    assert_eq!(all(&mut proxy), ["ok"; 2]);
}

#[test]
fn while_the_service_is_down_the_last_good_serves_until_it_is_stale_and_then_nobody_passes() {
    let mut proxy = Proxy::ready(2);
    proxy.run_with(Duration::from_secs(590), |_, _| None);
    assert_eq!(all(&mut proxy), ["ok"; 2]);
    assert!(proxy.counted("call_failed") > 10);
    // Backing off: with 15 s between them, and some shorter ones at first.
    assert!(proxy.counted("call_failed") < 120, "{}", proxy.counted("call_failed"));
    proxy.run_with(Duration::from_secs(15), |_, _| Some(Response::new(500).body("no")));
    assert_eq!(all(&mut proxy), ["trust_material_stale"; 2]);
    proxy.run(Duration::from_secs(31));
    assert_eq!(all(&mut proxy), ["ok"; 2]);
    let complaints = proxy.workers.iter().flat_map(Vm::logs).filter(|(_, line)| line.contains("not renewed"));
    assert!(complaints.count() <= 4, "logged with every poll");
}

#[test]
fn while_the_service_is_down_a_gate_of_l2_serves_for_300_s_and_one_of_l3_for_10_s() {
    for (profile, good, more) in [("L2", 295, 7), ("L3", 7, 5)] {
        let mut proxy = Proxy::of(2, config_of(profile));
        // As long as heads come it is fresh.
        for _ in 0..20 {
            proxy.run(Duration::from_secs(2));
            assert_eq!(all_public(&mut proxy), ["ok"; 2], "{profile}");
        }
        proxy.run_with(Duration::from_secs(good), |_, _| None);
        assert_eq!(all_public(&mut proxy), ["ok"; 2], "{profile}");
        proxy.run_with(Duration::from_secs(more), |_, _| None);
        assert_eq!(all_public(&mut proxy), ["trust_material_stale"; 2], "{profile}");
        proxy.run(Duration::from_secs(16));
        assert_eq!(all_public(&mut proxy), ["ok"; 2], "{profile}");
    }
}

#[test]
fn heads_that_are_repeated_keep_no_gate_of_l3_fresh() {
    let mut proxy = Proxy::of(2, config_of("L3"));
    proxy.run(Duration::from_secs(2));
    let recorded = proxy.now();
    proxy.run_with_heads(Duration::from_secs(6), |head| head.time = recorded);
    assert_eq!(all_public(&mut proxy), ["ok"; 2]);
    proxy.run_with_heads(Duration::from_secs(6), |head| head.time = recorded);
    assert_eq!(all_public(&mut proxy), ["trust_material_stale"; 2]);
}

#[test]
fn a_gate_that_becomes_one_of_l3_asks_for_fresh_material_from_then_on() {
    let mut proxy = Proxy::of(2, config_of("L1"));
    proxy.run(Duration::from_secs(2));
    proxy.run_with(Duration::from_secs(60), |_, _| None);
    assert_eq!(all_public(&mut proxy), ["ok"; 2]);
    proxy.service.configure(config_of("L3"));
    proxy.run(Duration::from_secs(20));
    assert_eq!(all_public(&mut proxy), ["ok"; 2]);
    proxy.run_with(Duration::from_secs(12), |_, _| None);
    assert_eq!(all_public(&mut proxy), ["trust_material_stale"; 2]);
}

#[test]
fn a_followed_registry_that_falls_silent_takes_its_badges_with_it_and_nobody_elses() {
    for (profile, seconds) in [("L2", 300), ("L3", 10)] {
        let mut proxy = Proxy::of(2, config_of(profile));
        proxy.service.followed = vec![(REGISTRY.into(), proxy.now())];
        let badges = |proxy: &mut Proxy| -> Vec<String> {
            proxy.workers.iter_mut().map(|worker| ask_for(worker, with_badge())).collect()
        };
        proxy.run(Duration::from_secs(seconds));
        assert_eq!(badges(&mut proxy), [GOOD; 2], "{profile}");
        proxy.run(Duration::from_secs(1));
        assert_eq!(badges(&mut proxy), ["REVOCATION_CHECK_FAILED"; 2], "{profile}");
        assert_eq!(all_public(&mut proxy), ["ok"; 2], "{profile}");
        proxy.service.followed = vec![(REGISTRY.into(), proxy.now())];
        proxy.run(Duration::from_secs(3));
        assert_eq!(badges(&mut proxy), [GOOD; 2], "{profile}");
    }
}

#[test]
fn a_call_that_the_host_forgets_does_not_end_all_asking() {
    let mut proxy = Proxy::ready(2);
    // The head that is shared by now is followed by a call that waits.
    for _ in 0..5 * 10 {
        proxy.tick();
        assert!(proxy.calls().len() <= 1);
    }
    for _ in 0..5 * 12 {
        proxy.tick();
    }
    let calls = proxy.calls();
    let [(_, lost), (at, call)] = calls.as_slice() else { panic!("{} calls", calls.len()) };
    proxy.revoke();
    let answers = [lost, call].map(|call| proxy.answer(call));
    let worker = proxy.workers.get_mut(*at).unwrap();
    let [late, answer] = answers;
    worker.answer_http_call(lost.token, late).unwrap();
    assert_eq!(ask(worker), "ok", "an answer that nobody waits for was taken");
    worker.answer_http_call(call.token, answer).unwrap();
    assert_eq!(ask(worker), "passport_revoked");
}

#[test]
fn garbage_and_half_sent_bodies_change_nothing() {
    let mut proxy = Proxy::ready(2);
    proxy.revoke();
    let spoilt: [fn(&str) -> String; 5] = [
        |_| String::new(),
        |_| "<html>".into(),
        |_| "{}".into(),
        |text| text.chars().take(text.len() / 2).collect(),
        |text| text.replace("eyJ", "eyK"),
    ];
    for spoil in spoilt {
        proxy.run_with(Duration::from_secs(20), |proxy, call| {
            let query = Query::of(call);
            Some(Response::new(200).body(spoil(&proxy.response(&query, |_| ()).to_json())))
        });
        assert_eq!(all(&mut proxy), ["ok"; 2]);
    }
    assert!(proxy.counted("unreadable") > 0);
    proxy.run(Duration::from_secs(31));
    assert_eq!(all(&mut proxy), ["passport_revoked"; 2]);
}

#[test]
fn heads_that_lie_are_counted_and_change_nothing() {
    type Lie = fn(&mut Head);
    let lies: [(&str, Lie); 5] = [
        ("wrong_gate", |head| head.gate = "gate_other".into()),
        ("wrong_echo", |head| head.echo = service::ECHO.into()),
        ("from_the_future", |head| head.time = head.time.plus_millis(61_000)),
        ("mismatch", |head| head.revocations.digest ^= 1),
        ("went_back", |head| {
            head.revocations.number = 3;
            head.number = 3;
        }),
    ];
    for (event, lie) in lies {
        let mut proxy = Proxy::ready(2);
        proxy.run_with_heads(Duration::from_secs(10), lie);
        assert!(proxy.counted(event) > 0, "{event}: {:?}", proxy.host.metrics());
        assert_eq!(all(&mut proxy), ["ok"; 2], "{event}");
        proxy.run(Duration::from_secs(31));
        assert_eq!(all(&mut proxy), ["ok"; 2], "{event}: it does not recover");
    }
}

#[test]
fn a_head_signed_by_another_key_is_refused_whatever_it_calls_itself() {
    for (name, id, event) in [(1, "k1", "signature"), (1, "k3", "unknown_key"), (9, "k2", "signature")] {
        let mut proxy = Proxy::new(2);
        proxy.run_with(Duration::from_secs(5), |proxy, call| {
            let query = Query::of(call);
            let mut response = proxy.response(&query, |_| ());
            let mut head = proxy.service.head(proxy.now());
            head.echo = query.random;
            response.head = head.sign(&key(name), id);
            Some(news(&response))
        });
        assert!(proxy.counted(event) > 0, "{event}");
        assert_eq!(all(&mut proxy), ["trust_material_missing"; 2]);
    }
}

#[test]
fn either_of_two_pinned_keys_may_sign() {
    let mut proxy = Proxy::ready(1);
    proxy.run_with(Duration::from_secs(5), |proxy, call| {
        let query = Query::of(call);
        let mut head = proxy.service.head(proxy.now());
        head.echo.clone_from(&query.random);
        let mut response = proxy.response(&query, |_| ());
        response.head = head.sign(&key(8), "k2");
        Some(news(&response))
    });
    assert_eq!(proxy.counted("signature") + proxy.counted("unknown_key"), 0);
    assert_eq!(all(&mut proxy), ["ok"]);
}

#[test]
fn an_old_head_is_no_answer_to_a_gate_that_has_just_started() {
    let mut first = Proxy::new(1);
    first.tick();
    let (_, call) = first.calls().into_iter().next().unwrap();
    let recorded = first.response(&Query::of(&call), |_| ());
    let mut second = Proxy::new(1);
    // Another process: its randomness is another.
    second.host = host().seed(99);
    second.workers = vec![second.host.start().unwrap()];
    second.run_with(Duration::from_secs(5), |_, _| Some(news(&recorded)));
    assert!(second.counted("wrong_echo") > 0);
    assert_eq!(all(&mut second), ["trust_material_missing"]);
}

#[test]
fn another_snapshot_than_the_heads_is_not_taken() {
    let mut proxy = Proxy::ready(2);
    let old = proxy.service.snapshot().token;
    proxy.service.configure(CONFIG.replace("/public", "/open"));
    proxy.run_with(Duration::from_secs(5), |proxy, call| {
        let mut response = proxy.response(&Query::of(call), |_| ());
        response.snapshot = response.snapshot.map(|_| old.clone());
        Some(news(&response))
    });
    assert!(proxy.counted("hash") > 0);
    for worker in &mut proxy.workers {
        assert_eq!(worker.request(Request::get("/public")).status(), 200);
        assert_eq!(worker.request(Request::get("/open")).status(), 403);
    }
    proxy.run(Duration::from_secs(31));
    for worker in &mut proxy.workers {
        assert_eq!(worker.request(Request::get("/public")).status(), 403);
        assert_eq!(worker.request(Request::get("/open")).status(), 200);
    }
}

#[test]
fn a_lease_holder_that_dies_is_followed_within_a_second() {
    let mut proxy = Proxy::ready(3);
    let before = proxy.counted("lease_taken");
    proxy.workers.remove(0);
    for _ in 0..5 {
        proxy.tick();
    }
    assert_eq!(proxy.counted("lease_taken"), before + 1);
    proxy.revoke();
    proxy.run(Duration::from_millis(1200));
    assert_eq!(all(&mut proxy), ["passport_revoked"; 2]);
}

#[test]
fn an_answer_to_a_worker_that_lost_the_lease_is_dropped() {
    let mut proxy = Proxy::ready(2);
    proxy.revoke();
    for _ in 0..10 {
        proxy.tick();
    }
    let (at, call) = proxy.calls().into_iter().next().unwrap();
    let answer = proxy.answer(&call);
    // The holder hangs for longer than its lease, and another worker takes over.
    proxy.host.advance(Duration::from_secs(1));
    let other = proxy.workers.get_mut(1 - at).unwrap();
    other.tick().unwrap();
    proxy.workers.get_mut(at).unwrap().answer_http_call(call.token, answer).unwrap();
    assert_eq!(all(&mut proxy), ["ok"; 2]);
}

#[test]
fn a_worker_that_starts_later_is_ready_at_once() {
    let mut proxy = Proxy::ready(1);
    proxy.revoke();
    proxy.run(Duration::from_millis(1200));
    let mut worker = proxy.host.start().unwrap();
    assert_eq!(ask(&mut worker), "passport_revoked");
    assert!(worker.http_calls().is_empty());
}

#[test]
fn many_changes_are_kept_in_bounded_room_and_reach_workers_old_and_new() {
    let mut proxy = Proxy::ready(2);
    let mut most = 0;
    for one in 0..120 {
        proxy.service.change((1 << 50) + one, true);
        proxy.run(Duration::from_millis(1200));
        most = most.max(proxy.host.shared_keys().len());
    }
    proxy.revoke();
    proxy.run(Duration::from_millis(1200));
    assert_eq!(all(&mut proxy), ["passport_revoked"; 2]);
    assert_eq!(ask(&mut proxy.host.start().unwrap()), "passport_revoked");
    assert!(most < 80, "{most} values are shared");
}

#[test]
fn what_was_shared_is_verified_again_by_whoever_takes_it_up() {
    let proxy = Proxy::ready(1);
    for name in proxy.host.shared_keys().iter().filter(|name| name.contains(".trust.")) {
        if [".echo", ".lease"].iter().any(|end| name.ends_with(end)) {
            continue;
        }
        let good = proxy.host.shared_data(name).unwrap();
        let mut bad = good.clone();
        let last = bad.len() - 1;
        *bad.get_mut(last).unwrap() ^= 1;
        proxy.host.set_shared_data(name, bad);
        let mut worker = proxy.host.start().unwrap();
        assert_eq!(ask(&mut worker), "trust_material_missing", "{name} was believed");
        proxy.host.set_shared_data(name, good);
        worker.tick().unwrap();
    }
}

#[test]
fn any_call_may_answer_any_status_while_trust_material_is_fetched() {
    let calls = PLUGIN.imports().into_iter().filter_map(|import| {
        let name = import.rsplit('.').next().unwrap().to_owned();
        // The clock is the test's own; the rest no worker calls while it ticks.
        let loops =
            ["http_call", "shared_data", "buffer_bytes", "header_map_pairs", "time_nano", "random_get"];
        loops.iter().any(|part| name.contains(part)).then_some(name)
    });
    for call in calls {
        // One proxy for all statuses of a call: each must leave it able to learn.
        let mut proxy = Proxy::ready(2);
        let issuer = proxy.issuer();
        let passport = FINGERPRINTS.passport(&issuer, "pp_1");
        for status in Status::ALL.into_iter().chain([Status(13), Status(255), Status(u32::MAX)]) {
            proxy.host.inject(Fault::status(&call, status));
            for _ in 0..15 {
                proxy.tick();
                for (at, waiting) in proxy.calls() {
                    let answer = proxy.answer(&waiting);
                    proxy.workers.get_mut(at).unwrap().answer_http_call(waiting.token, answer).unwrap();
                }
            }
            proxy.host.clear_faults();
            for (revoked, expected) in [(true, "passport_revoked"), (false, "ok")] {
                proxy.service.change(passport, revoked);
                // Within 40 s, whatever it was waiting for.
                let came = (0..40).any(|_| {
                    proxy.run(Duration::from_secs(1));
                    all(&mut proxy) == [expected; 2]
                });
                assert!(came, "{call} answered {status:?}: {:?}, not {expected}", all(&mut proxy));
            }
        }
    }
}
