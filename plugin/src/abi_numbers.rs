//! The ABI's numbers are those that the official SDK has.

use crate::callbacks::Action;
use crate::{host, shared};
use proxy_wasm::types::{self, BufferType, LogLevel, MapType, MetricType, Status};

#[test]
fn what_a_callback_answers_has_the_sdks_numbers() {
    assert_eq!(Action::Continue as u32, types::Action::Continue as u32);
    assert_eq!(Action::Pause as u32, types::Action::Pause as u32);
}

#[test]
fn maps_and_buffers_have_the_sdks_numbers() {
    assert_eq!(host::Map::RequestHeaders as u32, MapType::HttpRequestHeaders as u32);
    assert_eq!(host::Map::RequestTrailers as u32, MapType::HttpRequestTrailers as u32);
    assert_eq!(host::Map::CallResponseHeaders as u32, MapType::HttpCallResponseHeaders as u32);
    assert_eq!(host::HTTP_REQUEST_BODY, BufferType::HttpRequestBody as u32);
    assert_eq!(host::HTTP_CALL_RESPONSE_BODY, BufferType::HttpCallResponseBody as u32);
    assert_eq!(host::PLUGIN_CONFIGURATION, BufferType::PluginConfiguration as u32);
}

#[test]
fn levels_metrics_and_statuses_have_the_sdks_numbers() {
    assert_eq!(host::Level::Info as u32, LogLevel::Info as u32);
    assert_eq!(host::Level::Warn as u32, LogLevel::Warn as u32);
    assert_eq!(host::Level::Critical as u32, LogLevel::Critical as u32);
    assert_eq!(host::COUNTER, MetricType::Counter as u32);
    assert_eq!(shared::NOT_FOUND, Status::NotFound as u32);
    assert_eq!(shared::CAS_MISMATCH, Status::CasMismatch as u32);
}
