//! Traces of requests, sent by OTLP where the environment names a receiver. What can be set is what
//! OpenTelemetry's own variables set.
//!
//! The caller says where in a trace its request stands (W3C Trace Context). That decides nothing
//! here but where the request is shown, and whether, by the usual sampler: who must not choose
//! that is kept out by `OTEL_TRACES_SAMPLER`.

use anyhow::{Context, Result};
use axum::http::{HeaderMap, Method};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Key, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

/// What sends traces.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// By the environment; `None` unless `OTEL_EXPORTER_OTLP_ENDPOINT` or
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` names a receiver.
    ///
    /// # Errors
    /// The variables ask for what cannot be done, as another protocol than `http/protobuf`.
    pub fn from_environment() -> Result<Option<Self>> {
        let endpoints = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_disabled = std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value == "true");
        if is_disabled || !endpoints.into_iter().any(is_set) {
            return Ok(None);
        }
        let unusable = "traces cannot be sent as the environment asks (OTEL_EXPORTER_OTLP_…)";
        let exporter = SpanExporter::builder().with_http().build().context(unusable)?;
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
        Ok(Some(Traces(provider)))
    }

    /// What takes spans to it from the log's subscriber.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        let spans = Targets::new().with_target(module_path!(), LevelFilter::TRACE);
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(NAME))
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(spans)
    }

    /// Sends what has not been sent yet. Waits for the receiver, five seconds at most.
    pub fn end(self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!("the last traces were not sent: {error}");
        }
    }
}

/// The span of a request, nothing where none are sent. Of what a request says it has its method
/// alone: paths and headers carry what must not be shown.
pub fn span(method: &Method, route: Option<&str>, headers: &HeaderMap) -> Span {
    let route = route.unwrap_or_default();
    let name = format!("{method} {route}");
    // No log asks for this level, so that its lines stay as short as they are.
    let span = tracing::trace_span!(
        "request",
        otel.name = name.trim_end(),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = %method,
        http.route = route,
        http.response.status_code = field::Empty,
        portcullis.request_id = field::Empty,
    );
    if !span.is_disabled() && headers.contains_key("traceparent") {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Fails only where nothing sends traces.
        let _ = span.set_parent(parent);
    }
    span
}

/// Says in a request's span what became of it.
pub fn answered(span: &Span, id: &str, status: u16) {
    span.record("portcullis.request_id", id);
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// Who sends, unless the environment has another name.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let named = Resource::builder().with_attribute(version);
    let name = Resource::builder().build().get(&Key::from_static_str("service.name"));
    let has_name = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    if has_name { named.build() } else { named.with_service_name(NAME).build() }
}

const NAME: &str = "portcullis-control";
