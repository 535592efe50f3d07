//! The nonce authority in the plugin, on the harness: a request waits for the word of the
//! control service, and passes by a signed answer to its own question alone.

use crate::common::{NOW, key};
use crate::service::{GATE, Service};
use portcullis_core::capiscio::sign_request;
use portcullis_core::json::Object;
use portcullis_core::live::{NonceDecision, NonceQuestion};
use portcullis_core::{GateConfiguration, PublicKey, UnixTime, base64, sha256};
use portcullis_harness::{
    Fault, Headers, Host, HostProfile, HttpCall, Outcome, Plugin, Request, Response, Status, StreamId, Vm,
};
use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| {
    let path =
        std::env::var_os("PORTCULLIS_WASM").expect("PORTCULLIS_WASM is not set: run `cargo xtask test`");
    Plugin::from_file(path).expect("the plugin compiles")
});

const BODY: &[u8] = b"window seat";

fn config(more: &str) -> String {
    format!(
        r#"{{"gate":{{"id":"{GATE}"}},"profile":"L1","attest":{{"policy":"off"}},"authorities":["127.0.0.1:10000"],
        "routes":[{{"path":"/bookings","methods":["POST"],"action":"a"}},
                  {{"path":"/twice","methods":["POST"],"action":"a","simpleguard_repeats":"same_second"}},
                  {{"path":"/watched","methods":["POST"],"action":"a","mode":"report"}},
                  {{"path":"/public","methods":["GET"],"public":true}}],
        "trust":{{"simpleguard_agents":[{{"key_id":"k","public_key":"{}","actions":["a"]}}]}}{more}}}"#,
        base64::encode(&key(7).public_key())
    )
}

/// A proxy of one worker that has taken up what there is.
struct Proxy {
    host: Host,
    worker: Vm,
}

impl Proxy {
    fn ready() -> Self {
        Self::with(r#","nonce_authority":true"#)
    }

    fn with(more: &str) -> Self {
        let public = base64::encode(&key(9).public_key());
        let configuration = format!(
            r#"{{"gate":{{"id":"{GATE}"}},"service":{{"cluster":"control","authority":"control.internal",
                "keys":[{{"key_id":"k1","public_key":"{public}"}}]}}}}"#
        );
        let host = Host::new(&PLUGIN, HostProfile::envoy())
            .configuration(configuration)
            .environment("PORTCULLIS_GATE_KEY", &base64::encode(&[3; 32]))
            .clusters(&["control"]);
        host.set_now(Duration::from_millis(u64::try_from(NOW.as_millis()).unwrap()));
        let worker = host.start().unwrap();
        let mut proxy = Proxy { host, worker };
        let service = Service::new(config(more));
        for _ in 0..5 {
            proxy.host.advance(Duration::from_millis(200));
            proxy.worker.tick().unwrap();
            for _ in 0..100 {
                let Some(call) = proxy.worker.http_calls().into_iter().next() else { break };
                proxy.worker.answer_http_call(call.token, news(&service, &call, proxy.now())).unwrap();
            }
        }
        proxy
    }

    fn now(&self) -> UnixTime {
        UnixTime::from_millis(i64::try_from(self.host.now().as_millis()).unwrap())
    }

    /// Sends a request that must then wait; answers what it asks.
    fn begin(&mut self, request: Request) -> Asked {
        let before = self.tokens();
        let outcome = self.worker.request(request);
        assert!(outcome.trap.is_none(), "{:?}", outcome.trap);
        assert!(outcome.held && outcome.upstream.is_none(), "it did not wait: {}", told(&outcome));
        let call = self.worker.http_calls().into_iter().find(|call| !before.contains(&call.token)).unwrap();
        assert_eq!(call.upstream, "control");
        assert_eq!(call.timeout, Duration::from_secs(1));
        assert_eq!(call.headers.get(":method").as_deref(), Some("POST"));
        assert_eq!(call.headers.get(":path").unwrap(), format!("/gate/v1/gates/{GATE}/nonces"));
        let question = NonceQuestion::read(&call.body).unwrap();
        Asked { stream: outcome.stream, token: call.token, question, call }
    }

    fn tokens(&self) -> BTreeSet<u32> {
        self.worker.http_calls().iter().map(|call| call.token).collect()
    }

    /// Answers a question so, or not at all, and goes on with its request.
    fn end(&mut self, asked: &Asked, answer: Option<Response>) -> Outcome {
        match answer {
            Some(answer) => self.worker.answer_http_call(asked.token, answer).unwrap(),
            None => self.worker.fail_http_call(asked.token).unwrap(),
        }
        self.worker.resume(asked.stream)
    }

    /// As the service decides.
    fn decide(&mut self, asked: &Asked, decision: NonceDecision) -> Outcome {
        let answer = asked.question.answer(GATE, decision, self.now(), &key(9), "k1");
        self.end(asked, Some(document(&answer)))
    }

    fn counted(&self, name: &str) -> u64 {
        self.host.metric(&format!("portcullis_decisions.{name}")).unwrap()
    }
}

struct Asked {
    stream: StreamId,
    token: u32,
    question: NonceQuestion,
    call: HttpCall,
}

fn news(service: &Service, call: &HttpCall, now: UnixTime) -> Response {
    let target = call.headers.get(":path").unwrap().into_owned();
    let member = |name: &str| {
        let pairs = target.split_once('?').unwrap().1.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(one, _)| *one == name).map(|(_, value)| value.to_owned()).next()
    };
    if let Some(from) = member("from") {
        let page = service.page(u64::from_str_radix(&from, 16).unwrap());
        return Response::new(200).body(page.sign(&key(9), "k1"));
    }
    let number = |name: &str| member(name).unwrap().parse().unwrap();
    let mut response = service.answer(number("snapshot"), number("revocations"), now);
    let mut head = service.head(now);
    head.echo = member("random").unwrap();
    response.head = head.sign(&key(9), "k1");
    Response::new(200).header("content-type", "application/json").body(response.to_json())
}

fn document(token: &str) -> Response {
    Response::new(200).header("content-type", "application/jose").body(token)
}

/// A signature that was never made before.
fn signature(body: Option<&[u8]>) -> String {
    static NUMBER: AtomicI32 = AtomicI32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    sign_request(&key(7), "k", Object::from([("n", number.into())]), body, NOW)
}

/// A request with a body, as it comes in parts, or without.
fn request(path: &str, signature: &str, body: Option<&[u8]>) -> Request {
    let request = Request::post(path, "").header("x-capiscio-jws", signature);
    let request = request.header("x-gate-agent-id", "root");
    match body {
        Some(body) => {
            let (first, rest) = body.split_at(body.len() / 2);
            request.chunked().chunk(first).chunk(rest)
        }
        None => request,
    }
}

fn fresh(body: Option<&[u8]>) -> Request {
    request("/bookings", &signature(body), body)
}

/// `ok`, or the reason of a refusal, or `held`.
fn told(outcome: &Outcome) -> String {
    if outcome.held {
        return "held".to_owned();
    }
    if outcome.admitted() {
        return "ok".to_owned();
    }
    let body: serde_json::Value = serde_json::from_str(&outcome.reply_text()).unwrap_or_default();
    body.pointer("/reason_code").and_then(|code| code.as_str()).unwrap_or("none").to_owned()
}

#[test]
fn a_request_that_is_new_passes_as_any_other_with_and_without_a_body() {
    let mut proxy = Proxy::ready();
    for body in [None, Some(BODY)] {
        let asked = proxy.begin(fresh(body));
        let outcome = proxy.decide(&asked, NonceDecision::New);
        assert_eq!(told(&outcome), "ok");
        let arrived = outcome.upstream.as_ref().unwrap();
        assert!(arrived.complete);
        assert_eq!(arrived.body, body.unwrap_or_default());
        assert_eq!(outcome.upstream_header("x-gate-agent-id").as_deref(), Some("k"), "who asked");
        assert!(!arrived.headers.has("x-capiscio-jws"), "the credential stays behind");
    }
    assert_eq!(proxy.counted("allow.ok"), 2);
}

#[test]
fn a_question_carries_its_requests_place_in_a_trace_and_nothing_malformed() {
    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut proxy = Proxy::ready();
    let longer = format!("{GOOD}-00");
    let of_two = [GOOD, GOOD];
    let cases: [(&[&str], Option<&str>); 4] =
        [(&[], None), (&[GOOD], Some(GOOD)), (&[&longer], None), (&of_two, None)];
    for body in [None, Some(BODY)] {
        for (sent, carried) in cases {
            let request =
                sent.iter().fold(fresh(body), |request, value| request.header("traceparent", *value));
            let asked = proxy.begin(request);
            assert_eq!(asked.call.headers.get("traceparent").as_deref(), carried, "{sent:?}");
            let outcome = proxy.decide(&asked, NonceDecision::New);
            assert_eq!(told(&outcome), "ok");
            let arrived = outcome.upstream_header("traceparent");
            assert_eq!(arrived.as_deref(), sent.first().copied(), "the upstream has it as it came");
        }
    }
}

#[test]
fn a_body_with_trailers_waits_too_and_its_trailers_are_cleaned() {
    let mut proxy = Proxy::ready();
    let sent = fresh(Some(BODY)).trailer("x-gate-agent-id", "root").trailer("x-sum", "1");
    let asked = proxy.begin(sent);
    let outcome = proxy.decide(&asked, NonceDecision::New);
    let arrived = outcome.upstream.as_ref().unwrap();
    assert_eq!((arrived.body.as_slice(), arrived.complete), (BODY, true));
    assert!(arrived.trailers.has("x-sum") && !arrived.trailers.has("x-gate-agent-id"));
}

#[test]
fn a_request_that_was_seen_is_refused_as_replayed() {
    let mut proxy = Proxy::ready();
    for body in [None, Some(BODY)] {
        let asked = proxy.begin(fresh(body));
        let outcome = proxy.decide(&asked, NonceDecision::Seen);
        assert_eq!((told(&outcome).as_str(), outcome.status()), ("request_replayed", 401));
        assert!(outcome.upstream.is_none());
    }
    assert_eq!(proxy.counted("block.request_replayed"), 2);
}

#[test]
fn the_question_is_about_the_key_and_the_signature_and_is_signed_by_the_gate() {
    let mut proxy = Proxy::ready();
    let signature = signature(None);
    let asked = proxy.begin(request("/bookings", &signature, None));
    assert_eq!(asked.question.key, sha256(&key(7).public_key()));
    let end = asked.question.until.as_millis() - NOW.as_millis();
    assert!((60_000..=180_000).contains(&end) && end % 1000 == 0, "{end}");
    let header = |name: &str| asked.call.headers.get(name).unwrap().into_owned();
    let input = header("signature-input");
    let params = input.strip_prefix("gate=").unwrap();
    let digest = header("content-digest");
    assert_eq!(digest, format!("sha-256=:{}:", base64::encode(&sha256(&asked.call.body))));
    let base = format!(
        "\"@method\": POST\n\"@authority\": control.internal\n\"@path\": {}\n\"@query\": ?\n\
         \"content-digest\": {digest}\n\"@signature-params\": {params}",
        header(":path")
    );
    let signed = header("signature");
    let signed = signed.strip_prefix("gate=:").and_then(|text| text.strip_suffix(':')).unwrap();
    let signed = base64::decode(signed).unwrap().try_into().unwrap();
    assert!(PublicKey::from_bytes(&key(3).public_key()).unwrap().verify(base.as_bytes(), &signed));
    // The same at another proxy is the same question, but for its random.
    let mut other = Proxy::ready();
    let again = other.begin(request("/bookings", &signature, None));
    assert_eq!((again.question.key, again.question.nonce), (asked.question.key, asked.question.nonce));
    let another = proxy.begin(fresh(None));
    assert_ne!(another.question.nonce, asked.question.nonce);
    assert_ne!(another.question.random, asked.question.random);
}

#[test]
fn what_is_no_signed_answer_to_the_question_refuses() {
    let of = |asked: &Asked| asked.question.clone();
    let sign = |question: NonceQuestion, gate: &str, at: i64, signer: u8, id: &str| {
        question.answer(gate, NonceDecision::New, NOW.plus_millis(1000 + at), &key(signer), id)
    };
    type Make<'m> = Box<dyn Fn(&Asked) -> Option<Response> + 'm>;
    let token = |make: &'static dyn Fn(&Asked) -> NonceQuestion| -> Make<'_> {
        Box::new(move |asked| Some(document(&sign(make(asked), GATE, 0, 9, "k1"))))
    };
    let lies: Vec<(&str, Make<'_>)> = vec![
        ("no answer in time", Box::new(|_| None)),
        ("500", Box::new(|_| Some(Response::new(500).body("{}")))),
        (
            "503 with a good answer",
            Box::new(|asked| {
                let good = sign(of(asked), GATE, 0, 9, "k1");
                Some(Response::new(503).body(good))
            }),
        ),
        ("200 without a body", Box::new(|_| Some(Response::new(200)))),
        ("garbage", Box::new(|_| Some(document("<html>")))),
        ("unsigned", Box::new(|_| Some(document(r#"{"decision":"new"}"#)))),
        (
            "half of it",
            Box::new(|asked| {
                let good = sign(of(asked), GATE, 0, 9, "k1");
                Some(document(good.get(..good.len() / 2).unwrap()))
            }),
        ),
        ("another gate's", Box::new(|asked| Some(document(&sign(of(asked), "gate_other", 0, 9, "k1"))))),
        ("by another key", Box::new(|asked| Some(document(&sign(of(asked), GATE, 0, 8, "k1"))))),
        ("by a key that is not pinned", Box::new(|asked| Some(document(&sign(of(asked), GATE, 0, 8, "k2"))))),
        ("of long ago", Box::new(|asked| Some(document(&sign(of(asked), GATE, -61_000, 9, "k1"))))),
        ("of the future", Box::new(|asked| Some(document(&sign(of(asked), GATE, 61_000, 9, "k1"))))),
        ("about another nonce", token(&|asked| NonceQuestion { nonce: [1; 32], ..asked.question.clone() })),
        ("about another agent", token(&|asked| NonceQuestion { key: [1; 32], ..asked.question.clone() })),
        (
            "to an earlier question",
            token(&|asked| NonceQuestion { random: [1; 16], ..asked.question.clone() }),
        ),
    ];
    for (lie, make) in &lies {
        for body in [None, Some(BODY)] {
            let mut proxy = Proxy::ready();
            let sent = signature(body);
            let asked = proxy.begin(request("/bookings", &sent, body));
            let answer = make(&asked);
            let outcome = proxy.end(&asked, answer);
            assert_eq!(told(&outcome), "nonce_authority_unavailable", "{lie}");
            assert_eq!(outcome.status(), 503, "{lie}");
            assert!(outcome.upstream.is_none(), "{lie}");
            // A good answer that comes after all wakes nobody, and nothing passes anew.
            let late = asked.question.answer(GATE, NonceDecision::New, proxy.now(), &key(9), "k1");
            let late = proxy.end(&asked, Some(document(&late)));
            assert!(late.upstream.is_none() && late.reply.is_none(), "{lie}");
            assert_eq!(told(&proxy.worker.request(request("/bookings", &sent, body))), "request_replayed");
        }
    }
}

#[test]
fn a_service_that_cannot_be_called_refuses_at_once() {
    for (call, reason) in
        [("proxy_http_call", "nonce_authority_unavailable"), ("random_get", "nonce_authority_unavailable")]
    {
        let mut proxy = Proxy::ready();
        proxy.host.inject(Fault::status(call, Status::INTERNAL_FAILURE));
        let outcome = proxy.worker.request(fresh(Some(BODY)));
        assert_eq!(told(&outcome), reason, "{call}");
        assert!(outcome.upstream.is_none());
    }
}

#[test]
fn a_stream_that_closes_while_it_waits_leaves_nothing_behind() {
    let mut proxy = Proxy::ready();
    let gone = proxy.begin(fresh(Some(BODY)));
    let kept = proxy.begin(fresh(Some(BODY)));
    proxy.worker.close(gone.stream).unwrap();
    let outcome = proxy.decide(&gone, NonceDecision::New);
    assert!(outcome.upstream.is_none() && outcome.trap.is_none());
    let waiting = proxy.worker.resume(kept.stream);
    assert!(waiting.held && waiting.upstream.is_none(), "another's answer let it through");
    assert_eq!(told(&proxy.decide(&kept, NonceDecision::New)), "ok");
}

#[test]
fn one_worker_never_lets_two_through() {
    let mut proxy = Proxy::ready();
    for body in [None, Some(BODY)] {
        let sent = signature(body);
        let asked = proxy.begin(request("/bookings", &sent, body));
        // While the first waits, the second is known here.
        let second = proxy.worker.request(request("/bookings", &sent, body));
        assert_eq!(told(&second), "request_replayed");
        assert_eq!(told(&proxy.decide(&asked, NonceDecision::New)), "ok");
        assert_eq!(told(&proxy.worker.request(request("/bookings", &sent, body))), "request_replayed");
        // The same answer again finds nobody who waits.
        assert!(proxy.decide(&asked, NonceDecision::New).upstream.is_none());
    }
}

#[test]
fn answers_reach_the_requests_that_asked_whatever_their_order() {
    let mut proxy = Proxy::ready();
    let [first, second, third] = [Some(BODY), None, Some(BODY)].map(|body| proxy.begin(fresh(body)));
    assert_eq!(told(&proxy.decide(&third, NonceDecision::Seen)), "request_replayed");
    assert_eq!(told(&proxy.decide(&first, NonceDecision::New)), "ok");
    // The answer of another question, by this one's call.
    let crossed = first.question.answer(GATE, NonceDecision::New, proxy.now(), &key(9), "k1");
    assert_eq!(told(&proxy.end(&second, Some(document(&crossed)))), "nonce_authority_unavailable");
}

#[test]
fn with_an_authority_nothing_passes_twice_even_where_routes_allow_it() {
    let mut proxy = Proxy::ready();
    let sent = signature(Some(BODY));
    let asked = proxy.begin(request("/twice", &sent, Some(BODY)));
    assert_eq!(told(&proxy.decide(&asked, NonceDecision::Seen)), "request_replayed");
    // Within the same second; it was refused here, so that this is no repetition of ours.
    let asked = proxy.begin(request("/twice", &sent, Some(BODY)));
    assert_eq!(told(&proxy.decide(&asked, NonceDecision::Seen)), "request_replayed");
}

#[test]
fn a_gate_that_only_reports_lets_through_without_an_identity() {
    let mut proxy = Proxy::ready();
    let asked = proxy.begin(request("/watched", &signature(Some(BODY)), Some(BODY)));
    let outcome = proxy.decide(&asked, NonceDecision::Seen);
    assert_eq!(told(&outcome), "ok");
    assert_eq!(outcome.upstream.as_ref().unwrap().body, BODY);
    assert!(outcome.upstream_header("x-gate-agent-id").is_none());
    let asked = proxy.begin(request("/watched", &signature(None), None));
    assert_eq!(told(&proxy.end(&asked, None)), "ok");
    proxy.host.inject(Fault::status("proxy_http_call", Status::INTERNAL_FAILURE));
    assert_eq!(told(&proxy.worker.request(request("/watched", &signature(None), None))), "ok");
    assert_eq!(proxy.counted("report.request_replayed"), 1);
    assert_eq!(proxy.counted("report.nonce_authority_unavailable"), 2);
    assert_eq!(proxy.counted("allow.ok"), 0);
}

#[test]
fn who_uses_nothing_up_waits_for_nobody_and_gates_without_an_authority_ask_none() {
    let mut proxy = Proxy::ready();
    assert_eq!(told(&proxy.worker.request(Request::get("/public"))), "ok");
    let refused = proxy.worker.request(request("/bookings", &signature(Some(b"other")), Some(BODY)));
    assert_eq!(told(&refused), "body_digest_mismatch");
    assert!(proxy.tokens().is_empty(), "a refused request was asked about");
    let mut proxy = Proxy::with("");
    assert_eq!(told(&proxy.worker.request(fresh(Some(BODY)))), "ok");
}

#[test]
fn callbacks_that_no_good_host_makes_do_not_let_a_waiting_request_through() {
    let head = || {
        let mut headers = Headers::default();
        let sent = signature(None);
        for (name, value) in [
            (":method", "POST"),
            (":authority", "127.0.0.1:10000"),
            (":path", "/bookings"),
            (":scheme", "http"),
            ("x-capiscio-jws", sent.as_str()),
        ] {
            headers.add(name, value);
        }
        headers
    };
    type Misuse = fn(&mut Vm, StreamId, Headers) -> bool;
    let misuses: [(&str, Misuse); 3] = [
        ("headers again", |vm, stream, head| vm.request_headers(stream, head, true).passed.headers.is_some()),
        ("a body", |vm, stream, _| !vm.request_body(stream, BODY, true).passed.body.is_empty()),
        ("trailers", |vm, stream, _| {
            vm.request_trailers(stream, Headers::default()).passed.trailers.is_some()
        }),
    ];
    for (name, misuse) in misuses {
        let mut proxy = Proxy::ready();
        let stream = proxy.worker.open().unwrap();
        let step = proxy.worker.request_headers(stream, head(), true);
        assert!(step.passed.headers.is_none() && step.reply.is_none(), "{name}: it does not wait");
        let call = proxy.worker.http_calls().into_iter().next().unwrap();
        assert!(!misuse(&mut proxy.worker, stream, head()), "{name}");
        let question = NonceQuestion::read(&call.body).unwrap();
        let answer = question.answer(GATE, NonceDecision::New, proxy.now(), &key(9), "k1");
        proxy.worker.answer_http_call(call.token, document(&answer)).unwrap();
        let outcome = proxy.worker.resume(stream);
        assert!(outcome.upstream.is_none(), "{name}: it passed");
        assert_eq!(told(&outcome), "host_fault", "{name}");
    }
}

#[test]
fn each_call_may_fail_while_an_answer_is_taken_and_nothing_passes_half() {
    let name = |import: String| import.rsplit('.').next().unwrap_or_default().to_owned();
    let calls: Vec<String> =
        PLUGIN.imports().into_iter().map(name).filter(|name| name != "proc_exit").collect();
    for call in calls {
        for status in [Status::INTERNAL_FAILURE, Status::NOT_FOUND, Status(u32::MAX)] {
            for decision in [NonceDecision::New, NonceDecision::Seen] {
                let mut proxy = Proxy::ready();
                let asked = proxy.begin(fresh(Some(BODY)));
                proxy.host.inject(Fault::status(&call, status));
                let outcome = proxy.decide(&asked, decision);
                assert!(outcome.trap.is_none(), "{call}: {:?}", outcome.trap);
                match outcome.upstream {
                    None => {}
                    Some(arrived) => {
                        assert_eq!(decision, NonceDecision::New, "{call} answers {status:?}");
                        assert!(arrived.complete && arrived.body == BODY, "{call} answers {status:?}");
                        assert!(!arrived.headers.has("x-capiscio-jws"), "{call} answers {status:?}");
                        let identity = arrived.headers.get("x-gate-agent-id");
                        assert_eq!(identity.as_deref(), Some("k"), "{call} answers {status:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_gate_with_static_trust_material_has_nobody_to_ask() {
    let text = config(r#","nonce_authority":true"#);
    let error = GateConfiguration::from_json(text.as_bytes()).unwrap_err();
    assert_eq!(error.path, "nonce_authority");
    let host = Host::new(&PLUGIN, HostProfile::envoy()).configuration(text);
    assert!(host.start().is_err());
    assert!(GateConfiguration::from_json(config(r#","nonce_authority":false"#).as_bytes()).is_ok());
    let wrong = GateConfiguration::from_json(config(r#","nonce_authority":"yes""#).as_bytes());
    assert_eq!(wrong.unwrap_err().path, "nonce_authority");
}
