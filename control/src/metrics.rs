//! What is measured of the service, for Prometheus. All labels are of closed sets: routes
//! as they are written, methods, classes of status, and gates that exist.

use crate::App;
use crate::settings::COMMIT;
use crate::spend::Tally;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The content type of what [`Metrics::text`] makes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is measured.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
    push_seconds: Histogram,
    connections: Family<ConnectionLabels, Gauge>,
    trust_number: Gauge,
    nonces: Family<AnswerLabels, Counter>,
    nonces_kept: Family<GateLabels, Gauge>,
    spend: Family<AnswerLabels, Counter>,
    spend_accounts: Family<GateLabels, Gauge>,
    records: Family<DecisionLabels, Counter>,
    batches_refused: Family<CodeLabels, Counter>,
    receipts: Counter,
    settlements: Family<OutcomeLabels, Counter>,
    receipts_excluded: Family<CodeLabels, Counter>,
    records_waiting: Family<GateLabels, Gauge>,
    records_dropped: Family<GateLabels, Counter>,
    waiting: Mutex<HashMap<(String, [u8; 16]), Waiting>>,
    gates_connected: Gauge,
    snapshot_age: Family<GateLabels, Gauge<f64, AtomicU64>>,
    gate_number: Family<GateLabels, Gauge>,
    seen: Mutex<HashMap<String, Seen>>,
}

/// What a gate last said of itself.
#[derive(Clone, Copy)]
struct Seen {
    number: u64,
    head_age: Duration,
    at: Instant,
}

/// What a lane of a gate last said of itself.
#[derive(Clone, Copy)]
struct Waiting {
    records: u64,
    at: Instant,
}

/// A lane that has brought nothing for so long has nothing that waits, or does not reach
/// this instance.
const WAITED: Duration = Duration::from_secs(120);

/// A gate asks at least every 30 seconds, the longest that it may wait; half of that again
/// may be the network's.
const CONNECTED: Duration = Duration::from_secs(45);

/// Gates that are remembered between two looks at which exist; ten times what one instance
/// is measured with.
const MOST_SEEN: usize = 10_000;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RouteLabels {
    route: String,
    method: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct GateLabels {
    gate: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ConnectionLabels {
    state: ConnectionState,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct AnswerLabels {
    answer: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct DecisionLabels {
    decision: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct CodeLabels {
    code: &'static str,
}

#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
#[expect(non_camel_case_types, reason = "the names are the labels")]
enum ConnectionState {
    idle,
    used,
}

impl Metrics {
    /// Nothing measured yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("portcullis");
        // From a millisecond to the long polls of gates.
        let seconds = || Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]);
        let metrics = Metrics {
            requests: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            push_seconds: Histogram::new([0.005, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 3.0, 10.0]),
            connections: Family::default(),
            trust_number: Gauge::default(),
            nonces: Family::default(),
            nonces_kept: Family::default(),
            spend: Family::default(),
            spend_accounts: Family::default(),
            records: Family::default(),
            batches_refused: Family::default(),
            receipts: Counter::default(),
            settlements: Family::default(),
            receipts_excluded: Family::default(),
            records_waiting: Family::default(),
            records_dropped: Family::default(),
            waiting: Mutex::default(),
            gates_connected: Gauge::default(),
            snapshot_age: Family::default(),
            gate_number: Family::default(),
            seen: Mutex::default(),
            registry: Mutex::default(),
        };
        registry.register("requests", "Requests that were answered", metrics.requests.clone());
        registry.register("receipts", "Receipts that were stored", metrics.receipts.clone());
        registry.register("settlements", "Settlements that came to their end", metrics.settlements.clone());
        registry.register(
            "receipts_excluded",
            "Receipts that settlements left out, by what is wrong with them",
            metrics.receipts_excluded.clone(),
        );
        registry.register("request_seconds", "How long answers took", metrics.seconds.clone());
        registry.register(
            "push_latency_seconds",
            "From a change to the answer that told a waiting gate of it",
            metrics.push_seconds.clone(),
        );
        registry.register("database_connections", "Connections to the database", metrics.connections.clone());
        registry.register(
            "trust_number",
            "The newest change that this instance knows of",
            metrics.trust_number.clone(),
        );
        registry.register("nonces", "Questions of gates about nonces", metrics.nonces.clone());
        registry.register(
            "nonces_kept",
            "Nonces of a gate that are kept, as this instance counts them",
            metrics.nonces_kept.clone(),
        );
        registry.register("spend_leases", "Leases of spending that gates asked for", metrics.spend.clone());
        registry.register(
            "spend_accounts",
            "Accounts of a gate whose spending is kept, as this instance counts them",
            metrics.spend_accounts.clone(),
        );
        registry.register("records", "Records that were taken, by decision", metrics.records.clone());
        registry.register(
            "record_batches_refused",
            "Batches of records that were refused, by code",
            metrics.batches_refused.clone(),
        );
        registry.register(
            "records_waiting",
            "Records that still waited in a gate's proxies when these last brought some to this instance",
            metrics.records_waiting.clone(),
        );
        registry.register(
            "records_dropped",
            "Decisions that a gate said it could not record",
            metrics.records_dropped.clone(),
        );
        registry.register(
            "gates_connected",
            "Gates that asked this instance within 45 seconds",
            metrics.gates_connected.clone(),
        );
        registry.register(
            "gate_snapshot_age_seconds",
            "How old the trust material is that a gate judges by",
            metrics.snapshot_age.clone(),
        );
        registry.register(
            "gate_snapshot_number",
            "The number of a gate's snapshot",
            metrics.gate_number.clone(),
        );
        registry.register(
            "version",
            "The version of this instance, and the commit that it was made of",
            Info::new([("version", env!("CARGO_PKG_VERSION")), ("commit", COMMIT)]),
        );
        let started: Gauge = Gauge::default();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        started.set(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        registry.register("start_time_seconds", "When this instance started, in seconds since 1970", started);
        *metrics.registry() = registry;
        metrics.begin_at_zero();
        metrics
    }

    /// Makes what operators are alarmed by be there with its zero: that something went from nothing
    /// to one, Prometheus does not take for growth.
    fn begin_at_zero(&self) {
        for answer in ["new", "refused", "seen"] {
            self.nonces.get_or_create(&AnswerLabels { answer }).inc_by(0);
        }
        for answer in ["exhausted", "full", "granted", "refused"] {
            self.spend.get_or_create(&AnswerLabels { answer }).inc_by(0);
        }
        for outcome in ["done", "failed"] {
            self.settlements.get_or_create(&OutcomeLabels { outcome }).inc_by(0);
        }
        for code in ["lane_conflict", "lane_gap", "lane_unknown", "log_forked"] {
            self.batches_refused.get_or_create(&CodeLabels { code }).inc_by(0);
        }
        for code in ["charge_wrong", "key_unknown", "proof_invalid", "signature_invalid"] {
            self.receipts_excluded.get_or_create(&CodeLabels { code }).inc_by(0);
        }
    }

    /// Counts an answer. `route` is the route's template; `None` where there is no route.
    pub fn served(&self, route: Option<&str>, method: &axum::http::Method, status: u16, took: Duration) {
        let route = route.unwrap_or("none").to_owned();
        let method = name_of(method);
        self.seconds.get_or_create(&RouteLabels { route: route.clone(), method }).observe(took.as_secs_f64());
        let status = match status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&RequestLabels { route, method, status }).inc();
    }

    /// A gate, known by its signature, has asked: it has the snapshot of this number, and
    /// the head that it judges by is so old.
    pub fn gate_seen(&self, gate: &str, number: u64, head_age: Duration) {
        let mut seen = self.seen();
        if seen.len() >= MOST_SEEN && !seen.contains_key(gate) {
            seen.retain(|_, seen| seen.at.elapsed() < CONNECTED);
        }
        // Where that leaves no room, a gate that is not shown is better than one that is lost.
        if seen.len() < MOST_SEEN || seen.contains_key(gate) {
            seen.insert(gate.to_owned(), Seen { number, head_age, at: Instant::now() });
        }
    }

    /// A waiting gate was told of a change so long after it.
    pub fn pushed(&self, latency: Duration) {
        self.push_seconds.observe(latency.as_secs_f64());
    }

    /// A gate has asked about a nonce; `None` where it got no decision.
    pub fn nonce_asked(&self, decision: Option<&'static str>) {
        self.nonces.get_or_create(&AnswerLabels { answer: decision.unwrap_or("refused") }).inc();
    }

    /// A gate has asked about spending; `None` where it got no answer.
    pub fn spend_asked(&self, tally: Option<Tally>) {
        let count = |answer, number| {
            if number > 0 {
                self.spend.get_or_create(&AnswerLabels { answer }).inc_by(number);
            }
        };
        let Some(tally) = tally else { return count("refused", 1) };
        count("granted", tally.granted);
        count("exhausted", tally.exhausted);
        count("full", tally.full);
    }

    /// A gate has brought a batch, in this lane: so many records still wait there, and so many
    /// decisions were newly told to have none.
    pub fn batch_taken(
        &self,
        gate: &str,
        lane: [u8; 16],
        decisions: &[&'static str],
        waiting: u64,
        dropped: u64,
    ) {
        for decision in decisions {
            self.recorded(decision);
        }
        self.records_dropped.get_or_create(&GateLabels { gate: gate.to_owned() }).inc_by(dropped);
        let mut lanes = self.lanes();
        lanes.retain(|_, lane| lane.at.elapsed() < WAITED);
        // As with gates: one that is not shown is better than memory without end.
        if lanes.len() < MOST_SEEN {
            lanes.insert((gate.to_owned(), lane), Waiting { records: waiting, at: Instant::now() });
        }
    }

    /// A record was taken.
    pub fn recorded(&self, decision: &'static str) {
        self.records.get_or_create(&DecisionLabels { decision }).inc();
    }

    /// A batch was refused with this code.
    pub fn batch_refused(&self, code: &'static str) {
        self.batches_refused.get_or_create(&CodeLabels { code }).inc();
    }

    /// So many receipts were stored.
    pub fn receipts_taken(&self, count: usize) {
        self.receipts.inc_by(count as u64);
    }

    /// A settlement came to its end: `done` or `failed`.
    pub fn settled(&self, outcome: &'static str) {
        self.settlements.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// So many receipts were left out of a settlement, for this reason.
    pub fn receipts_excluded(&self, code: &'static str, count: u64) {
        self.receipts_excluded.get_or_create(&CodeLabels { code }).inc_by(count);
    }

    /// All of it, in the text format of OpenMetrics.
    ///
    /// # Errors
    /// It cannot be written, which does not happen into memory.
    pub fn text(&self, app: &App) -> Result<String, fmt::Error> {
        // Held from the first gauge on, so that two readers do not mix.
        let registry = self.registry();
        let (all, idle) = (app.db.pool().size(), app.db.pool().num_idle());
        let idle = i64::try_from(idle).unwrap_or(i64::MAX);
        self.connections.get_or_create(&ConnectionLabels { state: ConnectionState::idle }).set(idle);
        let used = i64::from(all).saturating_sub(idle).max(0);
        self.connections.get_or_create(&ConnectionLabels { state: ConnectionState::used }).set(used);
        let state = app.trust.state();
        self.trust_number.set(state.number);
        self.nonces_kept.clear();
        for (gate, count) in app.nonces.kept() {
            self.nonces_kept
                .get_or_create(&GateLabels { gate })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.spend_accounts.clear();
        for (gate, count) in app.spend.kept() {
            self.spend_accounts
                .get_or_create(&GateLabels { gate })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.show_waiting();
        let mut seen = self.seen();
        seen.retain(|gate, _| state.gates.contains_key(gate));
        self.show_gates(&seen);
        drop(seen);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }

    fn show_waiting(&self) {
        self.records_waiting.clear();
        let mut lanes = self.lanes();
        lanes.retain(|_, lane| lane.at.elapsed() < WAITED);
        for ((gate, _), lane) in lanes.iter() {
            let records = i64::try_from(lane.records).unwrap_or(i64::MAX);
            self.records_waiting.get_or_create(&GateLabels { gate: gate.clone() }).inc_by(records);
        }
    }

    fn show_gates(&self, seen: &HashMap<String, Seen>) {
        self.snapshot_age.clear();
        self.gate_number.clear();
        let mut connected = 0_i64;
        for (gate, seen) in seen {
            let since = seen.at.elapsed();
            if since < CONNECTED {
                connected = connected.saturating_add(1);
            }
            let labels = GateLabels { gate: gate.clone() };
            self.snapshot_age.get_or_create(&labels).set(seen.head_age.saturating_add(since).as_secs_f64());
            self.gate_number.get_or_create(&labels).set(i64::try_from(seen.number).unwrap_or(i64::MAX));
        }
        self.gates_connected.set(connected);
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<(String, [u8; 16]), Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The method, if it is one that is served; callers may make up others.
fn name_of(method: &axum::http::Method) -> &'static str {
    ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("other")
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(metrics: &Metrics) -> String {
        metrics.show_gates(&metrics.seen().clone());
        let mut text = String::new();
        let written = encode(&mut text, &metrics.registry());
        assert!(written.is_ok());
        text
    }

    #[test]
    fn a_gates_age_is_shown_and_a_push_is_counted() {
        let metrics = Metrics::new();
        metrics.gate_seen("gate_1", 7, Duration::from_secs(100));
        metrics.pushed(Duration::from_millis(20));
        let text = encoded(&metrics);
        assert!(text.contains("portcullis_gates_connected 1"), "{text}");
        assert!(text.contains("portcullis_gate_snapshot_age_seconds{gate=\"gate_1\"} 100."), "{text}");
        assert!(text.contains("portcullis_gate_snapshot_number{gate=\"gate_1\"} 7"), "{text}");
        assert!(text.contains("portcullis_push_latency_seconds_count 1"), "{text}");
    }

    #[test]
    fn gates_beyond_the_bound_are_not_remembered() {
        let metrics = Metrics::new();
        for index in 0..=MOST_SEEN {
            metrics.gate_seen(&format!("gate_{index}"), 1, Duration::ZERO);
        }
        assert_eq!(metrics.seen().len(), MOST_SEEN);
    }
}
