//! A small plugin by the official SDK. Nothing of the gate is in it: it says what the SDK
//! expects of a host, so that the test host, Envoy and the gate's own edge can be compared.
//!
//! Its configuration is the name of a cluster to call with each tick, or empty.

#![expect(missing_docs, reason = "the SDK's macro exports a function")]

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType, Status};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::<Root>::default());
}}

/// What the last call of the root brought, shared with all workers.
const CALLED: &str = "reference.called";

/// How many requests were counted, shared with all workers.
const COUNTED: &str = "reference.counted";

#[derive(Default)]
struct Root {
    cluster: String,
    requests: Option<u32>,
}

impl Context for Root {
    fn on_http_call_response(&mut self, _: u32, headers: usize, body_size: usize, _: usize) {
        // A call that failed has no headers.
        let outcome = if headers == 0 {
            "failed".to_owned()
        } else {
            let status = self.get_http_call_response_header(":status").unwrap_or_default();
            let body = self.get_http_call_response_body(0, body_size).unwrap_or_default();
            format!("{status} {}", String::from_utf8_lossy(&body))
        };
        let _ = self.set_shared_data(CALLED, Some(outcome.as_bytes()), None);
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        self.cluster = String::from_utf8(configuration).unwrap_or_default();
        self.requests = hostcalls::define_metric(MetricType::Counter, "reference.requests").ok();
        self.set_tick_period(Duration::from_millis(100));
        true
    }

    fn on_tick(&mut self) {
        if self.cluster.is_empty() {
            return;
        }
        let headers = vec![(":method", "GET"), (":path", "/called"), (":authority", "reference.test")];
        let _ = self.dispatch_http_call(&self.cluster, headers, None, vec![], Duration::from_secs(1));
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { requests: self.requests }))
    }
}

struct Stream {
    requests: Option<u32>,
}

impl Stream {
    /// Adds one to the shared count, by compare-and-swap; whether it was written.
    fn count(&self) -> Result<(), Status> {
        let (value, cas) = self.get_shared_data(COUNTED);
        let count = value.and_then(|value| value.try_into().ok()).map_or(0, u32::from_le_bytes);
        self.set_shared_data(COUNTED, Some(&count.wrapping_add(1).to_le_bytes()), cas)
    }

    fn answer(&self, status: u32, body: &str) -> Action {
        self.send_http_response(status, vec![("x-reference", "answered")], Some(body.as_bytes()));
        Action::Pause
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, ends: bool) -> Action {
        if let Some(requests) = self.requests {
            let _ = hostcalls::increment_metric(requests, 1);
        }
        match self.get_http_request_header(":path").as_deref() {
            Some("/refused") => return self.answer(403, "refused by its path"),
            Some("/stale") => {
                // Written by a CAS that fits no more.
                let _ = self.count();
                let (value, cas) = self.get_shared_data(COUNTED);
                let _ = self.count();
                let late = self.set_shared_data(COUNTED, value.as_deref(), cas);
                return self.answer(409, &format!("{late:?}"));
            }
            Some("/called") => {
                let (value, _) = self.get_shared_data(CALLED);
                return self.answer(200, &String::from_utf8_lossy(&value.unwrap_or_default()));
            }
            _ => {}
        }
        self.set_http_request_header("x-set", Some("by the reference"));
        self.set_http_request_header("x-removed", None);
        if ends { Action::Continue } else { Action::Pause }
    }

    fn on_http_request_body(&mut self, size: usize, ends: bool) -> Action {
        if !ends {
            return Action::Pause;
        }
        let body = self.get_http_request_body(0, size).unwrap_or_default();
        if body.starts_with(b"refuse") {
            return self.answer(422, &format!("refused by its {} bytes", body.len()));
        }
        self.set_http_request_header("x-body-size", Some(&body.len().to_string()));
        Action::Continue
    }
}
