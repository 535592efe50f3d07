//! A plugin made with the official SDK, which is not ours: what it gets from a host is
//! what the SDK's authors take a host to do. The tests run it on the harness and in Envoy.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use std::time::Duration;

#[allow(unsafe_code, reason = "the SDK's macro exports a function")]
mod entry {
    proxy_wasm::main! {{
        proxy_wasm::set_log_level(super::LogLevel::Info);
        proxy_wasm::set_root_context(|_| Box::<super::Root>::default());
    }}
}

/// Reads a word from its configuration, and calls out at each tick.
#[derive(Default)]
struct Root {
    word: String,
}

impl Context for Root {
    fn on_http_call_response(&mut self, _: u32, headers: usize, size: usize, _: usize) {
        let body = self.get_http_call_response_body(0, size).unwrap_or_default();
        let told = format!("{headers} headers, {}", String::from_utf8_lossy(&body));
        // A failure leaves what was told before.
        let _ = self.set_shared_data("told", Some(told.as_bytes()), None);
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let word = self.get_plugin_configuration().and_then(|bytes| String::from_utf8(bytes).ok());
        self.word = word.unwrap_or_default();
        self.set_tick_period(Duration::from_millis(100));
        !self.word.is_empty()
    }

    fn on_tick(&mut self) {
        let headers = vec![(":method", "GET"), (":path", "/told"), (":authority", "upstream")];
        // A host that has no such cluster says so, and the next tick tries again.
        let _ = self.dispatch_http_call("upstream", headers, None, vec![], Duration::from_secs(1));
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request { word: self.word.clone() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// Answers `/word` itself, holds what has a body, and marks what goes on.
struct Request {
    word: String,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, ends: bool) -> Action {
        if self.get_http_request_header(":path").as_deref() == Some("/word") {
            self.send_http_response(418, vec![("x-word", &self.word)], Some(self.word.as_bytes()));
            return Action::Pause;
        }
        self.set_http_request_header("x-secret", None);
        self.set_http_request_header("x-word", Some(&self.word));
        if ends { Action::Continue } else { Action::Pause }
    }

    fn on_http_request_body(&mut self, size: usize, ends: bool) -> Action {
        if !ends {
            return Action::Pause;
        }
        let body = self.get_http_request_body(0, size).unwrap_or_default();
        self.set_http_request_header("x-body-length", Some(&body.len().to_string()));
        Action::Continue
    }
}
