//! Small plugins, written as WebAssembly text around a common frame.
#![allow(dead_code, reason = "each test file uses its part")]

use portcullis_harness::{Host, HostProfile, Plugin, Vm};

/// The frame: imports, a memory of two pages, an allocator that only grows.
const FRAME: &str = r#"
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $tick_every (param i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_buffer_bytes" (func $set_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $switch (param i32) (result i32)))
  (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_shared_data" (func $share_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $share_set (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_register_shared_queue" (func $queue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_http_call"
    (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (global $free (mut i32) (i32.const 65536))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $free))
    (global.set $free (i32.add (global.get $free) (local.get $size)))
    (local.get $at))
  ;; logs the bytes that a call returned at the places 0 (address) and 4 (length)
  (func $log_returned (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4)))))
"#;

/// Compiles a plugin from its callbacks, see [`wasm`].
pub(crate) fn plugin(callbacks: &str) -> Plugin {
    Plugin::from_bytes(&wasm(callbacks)).expect("the probe compiles")
}

/// A plugin's binary, from its callbacks. In them, `{text}` stands for the
/// address and length of that text in the plugin's memory, and `(on NAME …)`
/// for an exported callback, see [`SIGNATURES`].
pub(crate) fn wasm(callbacks: &str) -> Vec<u8> {
    let mut texts = String::new();
    let mut code = String::new();
    let mut next = 1024;
    let mut rest = callbacks;
    while let Some((before, after)) = rest.split_once('{') {
        let (text, after) = after.split_once('}').expect("a text ends with }");
        code.push_str(before);
        // `\00` is one byte.
        let length = text.len() - 2 * text.matches('\\').count();
        code.push_str(&format!("(i32.const {next}) (i32.const {length})"));
        texts.push_str(&format!("(data (i32.const {next}) \"{}\")\n", text.replace('"', "\\22")));
        next += length + 8;
        rest = after;
    }
    code.push_str(rest);
    for (short, long) in SIGNATURES {
        code = code.replace(&format!("(on {short}"), long);
    }
    let module = format!("(module {FRAME} {code} {texts})");
    wat::parse_str(&module).unwrap_or_else(|error| panic!("{error}\n{module}"))
}

/// `(on request_headers …)` is short for the exported function.
const SIGNATURES: [(&str, &str); 11] = [
    (
        "configure",
        r#"(func (export "proxy_on_configure") (param $context i32) (param $size i32) (result i32)"#,
    ),
    (
        "request_headers",
        r#"(func (export "proxy_on_request_headers") (param $stream i32) (param $count i32) (param $end i32) (result i32)"#,
    ),
    (
        "request_body",
        r#"(func (export "proxy_on_request_body") (param $stream i32) (param $size i32) (param $end i32) (result i32)"#,
    ),
    (
        "request_trailers",
        r#"(func (export "proxy_on_request_trailers") (param $stream i32) (param $count i32) (result i32)"#,
    ),
    (
        "response_headers",
        r#"(func (export "proxy_on_response_headers") (param $stream i32) (param $count i32) (param $end i32) (result i32)"#,
    ),
    (
        "response_body",
        r#"(func (export "proxy_on_response_body") (param $stream i32) (param $size i32) (param $end i32) (result i32)"#,
    ),
    ("log", r#"(func (export "proxy_on_log") (param $stream i32)"#),
    ("done", r#"(func (export "proxy_on_done") (param $stream i32) (result i32)"#),
    ("tick", r#"(func (export "proxy_on_tick") (param $context i32)"#),
    ("queue_ready", r#"(func (export "proxy_on_queue_ready") (param $context i32) (param $token i32)"#),
    (
        "http_response",
        r#"(func (export "proxy_on_http_call_response") (param $context i32) (param $token i32) (param $headers i32) (param $body i32) (param $trailers i32)"#,
    ),
];

/// One VM of a host with this profile, its trace beginning after the start.
pub(crate) fn started(profile: HostProfile, callbacks: &str) -> (Host, Vm) {
    let host = Host::new(&plugin(callbacks), profile);
    let mut vm = host.start().expect("the probe starts");
    vm.clear_trace();
    (host, vm)
}
