//! The edge to the proxy: every call to it is made here (proxy-wasm ABI 0.2.1, and two
//! functions of WASI preview 1). A host may answer anything; what it should not have
//! answered is a [`HostFault`], never a panic, which is why the SDK's own calls, which
//! do panic, are not used.

use crate::allocator;
use crate::fault::{HostFault, Place, Problem};
use crate::pairs;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ptr;
use portcullis_core::UnixTime;

/// Which headers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Map {
    RequestHeaders = 0,
    RequestTrailers = 1,
    ResponseHeaders = 2,
    CallResponseHeaders = 6,
}

/// The levels of `proxy_log` that are used.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    Info = 2,
    Warn = 3,
    Critical = 5,
}

// The ABI's numbers of the buffers, of the kinds of metrics and of the stream that are used.
const HTTP_REQUEST_BODY: u32 = 0;
const HTTP_CALL_RESPONSE_BODY: u32 = 4;
const PLUGIN_CONFIGURATION: u32 = 7;
const COUNTER: u32 = 0;
const GAUGE: u32 = 1;
const REQUEST_STREAM: u32 = 0;

/// All headers of a map, in the ABI's serialized form, for [`pairs::decode`].
pub(crate) fn headers(map: Map) -> Result<Vec<u8>, HostFault> {
    const CALL: Place = Place::GetHeaderMapPairs;
    // SAFETY: the host writes to both places and keeps neither.
    buffer(CALL, |data, size| unsafe { abi::proxy_get_header_map_pairs(map as u32, data, size) })
}

/// Takes every header of this name out of a map.
pub(crate) fn remove_header(map: Map, name: &[u8]) -> Result<(), HostFault> {
    // SAFETY: the host reads the name during the call.
    let status = unsafe { abi::proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) };
    check(Place::RemoveHeaderMapValue, status)
}

/// Makes a request header have this value, and no other.
pub(crate) fn set_request_header(name: &str, value: &str) -> Result<(), HostFault> {
    let map = Map::RequestHeaders as u32;
    // SAFETY: the host reads name and value during the call.
    let status = unsafe {
        abi::proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    };
    check(Place::ReplaceHeaderMapValue, status)
}

/// Adds a header to the request, beside those of its name.
pub(crate) fn add_request_header(name: &str, value: &str) -> Result<(), HostFault> {
    add_header(Map::RequestHeaders, name, value)
}

/// Adds a header to the response.
pub(crate) fn add_response_header(name: &str, value: &str) -> Result<(), HostFault> {
    add_header(Map::ResponseHeaders, name, value)
}

fn add_header(map: Map, name: &str, value: &str) -> Result<(), HostFault> {
    let map = map as u32;
    // SAFETY: the host reads name and value during the call.
    let status = unsafe {
        abi::proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    };
    check(Place::AddHeaderMapValue, status)
}

/// Answers the client in the upstream's stead. `details` is for the proxy's own log.
pub(crate) fn reply(
    status: u32,
    details: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<(), HostFault> {
    // Leaves it to the host to derive a gRPC status from the HTTP status.
    const GRPC_STATUS_UNSET: i32 = -1;
    let headers = pairs::encode(headers);
    // SAFETY: the host reads all of them during the call.
    let status = unsafe {
        abi::proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            GRPC_STATUS_UNSET,
        )
    };
    check(Place::SendLocalResponse, status)
}

/// The host's clock.
pub(crate) fn now() -> Result<UnixTime, HostFault> {
    const CALL: Place = Place::GetCurrentTime;
    let mut nanoseconds = 0;
    // SAFETY: the host writes the time there during the call.
    check(CALL, unsafe { abi::proxy_get_current_time_nanoseconds(&mut nanoseconds) })?;
    match i64::try_from(nanoseconds / 1_000_000) {
        Ok(millis) if millis > 0 => Ok(UnixTime::from_millis(millis)),
        _ => Err(HostFault::new(CALL, Problem::NoTime)),
    }
}

/// The plugin's configuration, at most `size` bytes of it.
pub(crate) fn configuration(size: usize) -> Result<Vec<u8>, HostFault> {
    bytes(PLUGIN_CONFIGURATION, 0, size)
}

/// Asks to be called back so often, in milliseconds.
pub(crate) fn set_tick_period(millis: u32) -> Result<(), HostFault> {
    // SAFETY: a number only.
    check(Place::SetTickPeriod, unsafe { abi::proxy_set_tick_period_milliseconds(millis) })
}

/// Makes an HTTP call; its answer comes with this token, to the root context in most hosts.
/// It is given up after `deadline_ms`.
pub(crate) fn http_call(
    cluster: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    deadline_ms: u32,
) -> Result<u32, HostFault> {
    let (headers, trailers) = (pairs::encode(headers), pairs::encode(&[]));
    let mut token = 0;
    // SAFETY: the host reads all of them and writes the token during the call.
    let status = unsafe {
        abi::proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            deadline_ms,
            &mut token,
        )
    };
    check(Place::HttpCall, status).map(|()| token)
}

/// Makes calls from here on be about this context, until the callback ends.
pub(crate) fn set_effective_context(id: u32) -> Result<(), HostFault> {
    // SAFETY: a number only.
    check(Place::SetEffectiveContext, unsafe { abi::proxy_set_effective_context(id) })
}

/// Lets a paused request go on.
pub(crate) fn resume_request() -> Result<(), HostFault> {
    // SAFETY: a number only.
    check(Place::ContinueStream, unsafe { abi::proxy_continue_stream(REQUEST_STREAM) })
}

/// The answer to an HTTP call, in its callback, which told of `size` bytes of body: its
/// status, 0 where there is none, and its body.
pub(crate) fn call_answer(size: usize) -> Result<(u16, Vec<u8>), HostFault> {
    let mut map = headers(Map::CallResponseHeaders)?;
    let status = pairs::decode(&mut map).ok().and_then(|headers| {
        let (_, value) = headers.into_iter().find(|(name, _)| *name == b":status")?;
        u16::try_from(core::str::from_utf8(value).ok()?.parse::<u64>().ok()?).ok()
    });
    let body = if size == 0 { Vec::new() } else { bytes(HTTP_CALL_RESPONSE_BODY, 0, size)? };
    if body.len() != size {
        return Err(HostFault::new(Place::GetBufferBytes, Problem::OtherPartOfTheAnswer));
    }
    Ok((status.unwrap_or_default(), body))
}

/// A part of the request's body as far as it has come.
pub(crate) fn body(start: usize, size: usize) -> Result<Vec<u8>, HostFault> {
    bytes(HTTP_REQUEST_BODY, start, size)
}

fn bytes(source: u32, start: usize, max_size: usize) -> Result<Vec<u8>, HostFault> {
    // SAFETY: the host writes to both places and keeps neither.
    buffer(Place::GetBufferBytes, |data, size| unsafe {
        abi::proxy_get_buffer_bytes(source, start, max_size, data, size)
    })
}

/// Writes a line to the host's log. A log that fails must not change a decision.
pub(crate) fn log(level: Level, message: &str) {
    // SAFETY: the host reads the message during the call.
    let _ = unsafe { abi::proxy_log(level as u32, message.as_ptr(), message.len()) };
}

/// Makes a counter, or finds the one of this name, and answers its id.
pub(crate) fn define_counter(name: &str) -> Result<u32, HostFault> {
    define_metric(COUNTER, name)
}

/// Makes a gauge, or finds the one of this name, and answers its id.
pub(crate) fn define_gauge(name: &str) -> Result<u32, HostFault> {
    define_metric(GAUGE, name)
}

fn define_metric(kind: u32, name: &str) -> Result<u32, HostFault> {
    let mut id = 0;
    // SAFETY: the host reads the name and writes the id during the call.
    let status = unsafe { abi::proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id) };
    check(Place::DefineMetric, status).map(|()| id)
}

/// Adds to a counter. A counter that fails must not change a decision.
pub(crate) fn increment(counter: u32, by: i64) {
    // SAFETY: numbers only.
    let _ = unsafe { abi::proxy_increment_metric(counter, by) };
}

/// Makes a gauge show a number. One that fails must not change a decision.
pub(crate) fn record(gauge: u32, value: u64) {
    // SAFETY: numbers only.
    let _ = unsafe { abi::proxy_record_metric(gauge, value) };
}

/// Makes the host keep a text under a name, for as long as it knows of the request: what its
/// access log can show.
pub(crate) fn set_property(name: &str, value: &str) -> Result<(), HostFault> {
    // SAFETY: the host reads name and value during the call.
    let status = unsafe { abi::proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    check(Place::SetProperty, status)
}

/// Writes a value that all workers of the proxy share, if nobody changed it meanwhile
/// as told by `cas`.
///
/// # Errors
/// Status 8 (`CasMismatch`) among others. What `cas` 0 means differs between hosts.
pub(crate) fn set_shared(key: &str, value: &[u8], cas: u32) -> Result<(), HostFault> {
    // SAFETY: the host reads key and value during the call.
    let status =
        unsafe { abi::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) };
    check(Place::SetSharedData, status)
}

/// Reads a value that all workers of the proxy share, and the CAS by which to change it.
pub(crate) fn shared(key: &str) -> Result<(Vec<u8>, u32), HostFault> {
    let mut cas = 0;
    // SAFETY: the host reads the key during the call, writes to all three places and
    // keeps none.
    let value = buffer(Place::GetSharedData, |data, size| unsafe {
        abi::proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &mut cas)
    })?;
    Ok((value, cas))
}

/// A property of the request or of the host; `path` has a zero byte between its parts.
pub(crate) fn property(path: &[u8]) -> Result<Vec<u8>, HostFault> {
    // SAFETY: the host reads the path during the call, writes to both places and keeps none.
    buffer(Place::GetProperty, |data, size| unsafe {
        abi::proxy_get_property(path.as_ptr(), path.len(), data, size)
    })
}

/// Whether an upstream was chosen for the request. Where none was, the proxy answers it itself.
/// A host that does not tell is taken to have chosen one.
pub(crate) fn has_upstream() -> bool {
    const NOT_FOUND: u32 = 1;
    match property(b"upstream\0address") {
        Ok(address) => !address.is_empty(),
        Err(fault) => fault.status() != Some(NOT_FOUND),
    }
}

/// Fills `bytes` with randomness.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), HostFault> {
    // SAFETY: the host writes as many bytes as there are.
    check(Place::RandomGet, unsafe { abi::random_get(bytes.as_mut_ptr(), bytes.len()) })
}

/// An environment variable; `None` where there is none, or where the environment is not
/// UTF-8.
pub(crate) fn variable(name: &str) -> Result<Option<String>, HostFault> {
    // Sixteen times what a proxy's process has on Linux: its host tells a size to believe.
    const MOST: usize = 32 * 1024 * 1024;
    let (mut count, mut size) = (0, 0);
    // SAFETY: the host writes to both places during the call.
    check(Place::EnvironSizesGet, unsafe { abi::environ_sizes_get(&mut count, &mut size) })?;
    if count > MOST / 4 || size > MOST {
        return Err(HostFault::new(Place::EnvironSizesGet, Problem::TooLargeAnEnvironment));
    }
    let (mut places, mut bytes) = (vec![0_usize; count], vec![0_u8; size]);
    // SAFETY: the host writes as much as it has just told, which both have room for.
    check(Place::EnvironGet, unsafe { abi::environ_get(places.as_mut_ptr(), bytes.as_mut_ptr()) })?;
    let variables = core::str::from_utf8(&bytes).unwrap_or_default().split('\0');
    let value = variables.filter_map(|pair| pair.split_once('=')).find(|(one, _)| *one == name);
    Ok(value.map(|(_, value)| String::from(value)))
}

/// How many environment variables there are.
pub(crate) fn environment() -> Result<usize, HostFault> {
    let (mut count, mut size) = (0, 0);
    // SAFETY: the host writes to both places during the call.
    check(Place::EnvironSizesGet, unsafe { abi::environ_sizes_get(&mut count, &mut size) }).map(|()| count)
}

fn check(call: Place, status: u32) -> Result<(), HostFault> {
    if status == 0 { Ok(()) } else { Err(HostFault::answered(call, status)) }
}

/// Makes a call that returns data, and takes the data over.
fn buffer(call: Place, make: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, HostFault> {
    let mut data = ptr::null_mut();
    let mut size = 0;
    allocator::forget();
    check(call, make(&mut data, &mut size))?;
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    match allocator::taken(data) {
        // SAFETY: the memory at `data` was allocated during this call, with this
        // capacity and a vector's alignment, by our allocator at the host's demand, and
        // nobody else owns it: the allocator names each allocation once. The host filled
        // it; memory of a VM is initialized even where the host wrote nothing.
        Some(capacity) if size <= capacity => Ok(unsafe { Vec::from_raw_parts(data, size, capacity) }),
        _ => Err(HostFault::new(call, Problem::ForeignMemory)),
    }
}

/// The imports. Statuses are plain numbers here: an enum of the known ones would make
/// any other undefined behaviour.
mod abi {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub(super) fn proxy_add_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_continue_stream(stream: u32) -> u32;
        pub(super) fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
        pub(super) fn proxy_get_buffer_bytes(
            buffer: u32,
            start: usize,
            max_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_current_time_nanoseconds(nanoseconds: *mut u64) -> u32;
        pub(super) fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub(super) fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_shared_data(
            key: *const u8,
            key_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
            cas: *mut u32,
        ) -> u32;
        pub(super) fn proxy_http_call(
            upstream: *const u8,
            upstream_size: usize,
            headers: *const u8,
            headers_size: usize,
            body: *const u8,
            body_size: usize,
            trailers: *const u8,
            trailers_size: usize,
            timeout: u32,
            token: *mut u32,
        ) -> u32;
        pub(super) fn proxy_increment_metric(id: u32, offset: i64) -> u32;
        pub(super) fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
        pub(super) fn proxy_record_metric(id: u32, value: u64) -> u32;
        pub(super) fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
        pub(super) fn proxy_replace_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_size: usize,
            body: *const u8,
            body_size: usize,
            headers: *const u8,
            headers_size: usize,
            grpc_status: i32,
        ) -> u32;
        pub(super) fn proxy_set_effective_context(id: u32) -> u32;
        pub(super) fn proxy_set_property(
            name: *const u8,
            name_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
        pub(super) fn proxy_set_shared_data(
            key: *const u8,
            key_size: usize,
            value: *const u8,
            value_size: usize,
            cas: u32,
        ) -> u32;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub(super) fn environ_get(places: *mut usize, bytes: *mut u8) -> u32;
        pub(super) fn environ_sizes_get(count: *mut usize, size: *mut usize) -> u32;
        pub(super) fn random_get(buffer: *mut u8, size: usize) -> u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, StreamType};

    #[test]
    fn our_numbers_of_maps_buffers_levels_and_metrics_are_the_sdks() {
        for (ours, theirs) in [
            (Map::RequestHeaders as u32, MapType::HttpRequestHeaders as u32),
            (Map::RequestTrailers as u32, MapType::HttpRequestTrailers as u32),
            (Map::ResponseHeaders as u32, MapType::HttpResponseHeaders as u32),
            (Map::CallResponseHeaders as u32, MapType::HttpCallResponseHeaders as u32),
            (HTTP_REQUEST_BODY, BufferType::HttpRequestBody as u32),
            (HTTP_CALL_RESPONSE_BODY, BufferType::HttpCallResponseBody as u32),
            (PLUGIN_CONFIGURATION, BufferType::PluginConfiguration as u32),
            (Level::Info as u32, LogLevel::Info as u32),
            (Level::Warn as u32, LogLevel::Warn as u32),
            (Level::Critical as u32, LogLevel::Critical as u32),
            (COUNTER, MetricType::Counter as u32),
            (GAUGE, MetricType::Gauge as u32),
            (REQUEST_STREAM, StreamType::HttpRequest as u32),
        ] {
            assert_eq!(ours, theirs);
        }
    }
}
