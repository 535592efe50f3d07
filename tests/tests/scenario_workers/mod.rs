//! Workers on the harness that scenarios are played on.

use portcullis_core::UnixTime;
use portcullis_harness::{Host, HostProfile, Outcome, Plugin, Request, Response, StartError, Vm};
use portcullis_tests::scenario::{Answer, Arrived, Gate, Person, Sent};
use std::sync::LazyLock;
use std::time::Duration;

pub const AUTHORITY: &str = "127.0.0.1:10000";

pub static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| {
    let path = std::env::var_os("PORTCULLIS_WASM")
        .expect("PORTCULLIS_WASM names the plugin: run `cargo xtask test`");
    Plugin::from_file(path).expect("the plugin compiles")
});

/// Two workers that take requests in turn.
pub struct Workers {
    host: Host,
    vms: [Vm; 2],
    next: usize,
    /// The peer's address, as this host tells it.
    source: &'static str,
}

impl Workers {
    pub fn start(host: Host, source: &'static str) -> Result<Self, StartError> {
        let vms = [host.start()?, host.start()?];
        Ok(Workers { host, vms, next: 0, source })
    }
}

/// A host of this kind, with the plugin, at this time.
pub fn host(profile: HostProfile, configuration: &str, now: UnixTime) -> Host {
    let host = Host::new(&PLUGIN, profile).configuration(configuration);
    host.set_now(Duration::from_millis(u64::try_from(now.as_millis()).expect("after 1970")));
    host
}

impl Gate for Workers {
    const IS_ENVOY: bool = false;

    fn authority(&self) -> String {
        AUTHORITY.into()
    }

    fn wait(&mut self, seconds: u64) -> bool {
        self.host.advance(Duration::from_secs(seconds));
        true
    }

    fn answer(&mut self, _: &str, _: Person) -> bool {
        false
    }

    fn send(&mut self, sent: &Sent) -> Answer {
        self.next = (self.next + 1) % self.vms.len();
        let request = request(sent).property("source.address", self.source);
        answer_of(sent, &self.vms[self.next].request(request))
    }
}

pub fn request(sent: &Sent) -> Request {
    let mut request = Request::new(&sent.method, sent.path.clone());
    if let Some(authority) = &sent.authority {
        request = request.authority(authority.as_bytes());
    }
    for (name, value) in &sent.headers {
        request = request.header(name.as_bytes(), value.clone());
    }
    if let Some(body) = &sent.body {
        request = request.body(body.clone());
    }
    if let Some(chunks) = &sent.chunks {
        request = chunks.iter().fold(request.chunked(), |request, chunk| request.chunk(chunk.clone()));
    }
    for (name, value) in &sent.trailers {
        request = request.trailer(name.as_bytes(), value.clone());
    }
    request.answered_with(asked_for(sent))
}

/// What the upstream answers, where a request asks it for something.
fn asked_for(sent: &Sent) -> Response {
    let asked = |wanted: &'static str| {
        let values = sent.headers.iter().filter(move |(name, _)| name == wanted);
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    let status = asked("x-echo-status").next().map_or(200, |status| status.parse().expect("a status"));
    asked("x-echo-header").fold(Response::new(status).body("ok"), |response, header| {
        let (name, value) = header.split_once('=').expect("NAME=VALUE");
        response.header(name, value)
    })
}

pub fn answer_of(sent: &Sent, outcome: &Outcome) -> Answer {
    assert!(outcome.trap.is_none(), "{sent:?} trapped: {:?}", outcome.trap);
    assert!(!outcome.held, "{sent:?} hangs");
    answer(outcome)
}

fn answer(outcome: &Outcome) -> Answer {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs = |headers: &portcullis_harness::Headers| {
        headers.iter().map(|(name, value)| (text(name), text(value))).collect()
    };
    Answer {
        status: outcome.status(),
        headers: outcome.reply.as_ref().map(|reply| pairs(&reply.headers)).unwrap_or_default(),
        body: outcome.reply_text().to_string(),
        upstream: outcome.upstream.as_ref().map(|arrived| Arrived {
            path: arrived.path.clone(),
            headers: pairs(&arrived.headers),
            body: text(&arrived.body),
        }),
    }
}
