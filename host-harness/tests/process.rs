//! What VMs share, what the test decides (time, randomness, faults), and what
//! happens to a plugin that misbehaves.

use std::time::Duration;

use crate::probe::{plugin, started};
use portcullis_harness::{
    Fault, Host, HostProfile, Origin, Plugin, Request, StartError, Status, TrapKind, Vm,
};

/// On every request: reads the shared value `k`, its CAS to place 8. Then
/// writes `v` with the CAS that the header `cas` asks for: `0` or `1` as they
/// are, anything else the CAS just read.
const SHARE: &str = r#"(on request_headers
    (local $cas i32)
    (drop (call $share_get {k} (i32.const 0) (i32.const 4) (i32.const 8)))
    (local.set $cas (i32.load (i32.const 8)))
    (drop (call $get (i32.const 0) {cas} (i32.const 0) (i32.const 4)))
    (if (i32.eq (i32.load8_u (i32.load (i32.const 0))) (i32.const 48)) (then (local.set $cas (i32.const 0))))
    (if (i32.eq (i32.load8_u (i32.load (i32.const 0))) (i32.const 49)) (then (local.set $cas (i32.const 1))))
    (drop (call $share_set {k} {v} (local.get $cas)))
    (i32.const 0))"#;

/// What the write answered.
fn write(vm: &mut Vm, cas: &str) -> String {
    vm.clear_trace();
    vm.request(Request::get("/").header("cas", cas));
    let line = vm.trace().calls_of("proxy_set_shared_data")[0];
    line.rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn on_envoy_cas_zero_overwrites_and_a_cas_on_a_missing_key_creates_it() {
    let (host, mut one) = started(HostProfile::envoy(), SHARE);
    let mut two = host.start().unwrap();

    assert_eq!(write(&mut one, "1"), "Ok", "a CAS on a missing key creates it");
    assert_eq!(host.shared_data("k").unwrap(), b"v");
    assert_eq!(write(&mut two, "0"), "Ok", "zero overwrites blindly");
    assert_eq!(write(&mut one, "read"), "Ok", "the CAS just read");
    assert_eq!(write(&mut one, "1"), "CasMismatch", "an old one");
}

#[test]
fn on_nginx_cas_zero_inserts_if_absent_and_a_cas_on_a_missing_key_mismatches() {
    let (host, mut one) = started(HostProfile::nginx(), SHARE);
    let mut two = host.start().unwrap();

    assert_eq!(write(&mut one, "1"), "CasMismatch", "there is nothing to compare with");
    assert_eq!(write(&mut one, "0"), "Ok", "zero inserts");
    assert_eq!(write(&mut two, "0"), "CasMismatch", "but only once");
    assert_eq!(write(&mut two, "read"), "Ok", "the CAS just read");
    assert_eq!(host.shared_keys(), ["k"]);
}

#[test]
fn another_vm_can_take_its_turn_between_a_read_and_the_write_that_follows() {
    let (host, mut one) = started(HostProfile::envoy(), SHARE);
    let mut two = host.start().unwrap();
    host.set_shared_data("k", "first");
    host.before("proxy_set_shared_data", 1, move || assert_eq!(write(&mut two, "read"), "Ok"));

    assert_eq!(write(&mut one, "read"), "CasMismatch");
    assert_eq!(write(&mut one, "read"), "Ok", "it was for one call only");
}

#[test]
fn a_stub_of_shared_data_says_ok_and_keeps_nothing() {
    let (host, mut vm) = started(HostProfile::fastedge(), SHARE);
    assert_eq!(write(&mut vm, "0"), "Ok");
    assert_eq!(host.shared_data("k"), None);
}

#[test]
fn a_queue_carries_items_from_one_vm_to_the_one_that_listens() {
    let (host, mut listener) = started(
        HostProfile::envoy(),
        r#"(on configure (drop (call $queue {jobs} (i32.const 8))) (i32.const 1))
           (on request_headers (drop (call $enqueue (i32.const 1) {job})) (i32.const 0))
           (on queue_ready
             (drop (call $dequeue (local.get $token) (i32.const 0) (i32.const 4)))
             (call $log_returned))"#,
    );
    listener.request(Request::get("/"));
    listener.request(Request::get("/"));
    assert_eq!(host.queue("jobs").unwrap().len(), 2);

    assert_eq!(listener.deliver_queue_events().unwrap(), 2);
    assert_eq!(listener.logs().filter(|(_, line)| *line == "job").count(), 2);
    assert_eq!(listener.deliver_queue_events().unwrap(), 0);
    assert!(host.queue("jobs").unwrap().is_empty());
}

#[test]
fn a_fault_answers_any_status_and_the_call_is_not_performed() {
    let (host, mut vm) = started(
        HostProfile::envoy(),
        "(on request_headers (drop (call $add (i32.const 0) {x-a} {1})) (i32.const 0))",
    );
    for status in Status::ALL.into_iter().chain([Status(4711)]) {
        host.clear_faults();
        host.inject(Fault::status("proxy_add_header_map_value", status));
        vm.clear_trace();

        let outcome = vm.request(Request::get("/"));

        assert!(!outcome.upstream.unwrap().headers.has("x-a"));
        let expected =
            format!(r#"proxy_add_header_map_value(RequestHeaders, "x-a", "1") = {status} (fault)"#);
        assert_eq!(vm.trace().calls(), [expected]);
    }
    host.clear_faults();
    assert_eq!(vm.request(Request::get("/")).upstream_header("x-a").unwrap(), "1");
}

#[test]
fn a_fault_can_wait_for_the_nth_call() {
    let (host, mut vm) = started(
        HostProfile::envoy(),
        "(on request_headers (drop (call $add (i32.const 0) {x-a} {1})) (i32.const 0))",
    );
    host.inject(Fault::status("proxy_add_header_map_value", Status::OK).nth(2));
    let reached: Vec<_> =
        (0..3).map(|_| vm.request(Request::get("/")).upstream_header("x-a").is_some()).collect();
    assert_eq!(reached, [true, false, true]);
}

/// Logs whatever `proxy_get_header_map_pairs` returned.
const PAIRS: &str = r#"(on request_headers
    (drop (call $pairs (i32.const 0) (i32.const 0) (i32.const 4)))
    (call $log_returned)
    (i32.const 0))"#;

#[test]
fn a_fault_can_return_garbage_data() {
    let (host, mut vm) = started(HostProfile::envoy(), PAIRS);
    host.inject(Fault::data("proxy_get_header_map_pairs", "garbage"));
    vm.request(Request::get("/"));
    assert_eq!(
        vm.trace().calls(),
        [
            r#"proxy_get_header_map_pairs(RequestHeaders) = Ok "garbage" (fault)"#,
            r#"proxy_log(info, "garbage") = Ok"#,
        ]
    );
}

#[test]
fn a_fault_can_return_an_address_outside_the_guests_memory() {
    let (host, mut vm) = started(HostProfile::envoy(), PAIRS);
    host.inject(Fault::pointer("proxy_get_header_map_pairs", u32::MAX, 9));
    vm.request(Request::get("/"));
    assert_eq!(vm.trace().calls()[1], "proxy_log(info) = InvalidMemoryAccess");
}

#[test]
fn bad_pointers_of_the_guest_are_answered_and_harm_nothing() {
    let (_, mut vm) = started(
        HostProfile::envoy(),
        r#"(on request_headers
             (drop (call $log (i32.const 2) (i32.const -8) (i32.const 16)))
             (drop (call $get (i32.const 0) (i32.const 131071) (i32.const 2) (i32.const 0) (i32.const 4)))
             (drop (call $get (i32.const 0) {:path} (i32.const -2) (i32.const 4)))
             (drop (call $now (i32.const 131069)))
             (drop (call $random (i32.const 131071) (i32.const 2)))
             (drop (call $random (i32.const 0) (i32.const -1)))
             (drop (call $write (i32.const 1) (i32.const 131068) (i32.const 1) (i32.const 0)))
             (drop (call $reply (i32.const 403) {} {} {\ff\ff\ff\ff} (i32.const -1)))
             (drop (call $get (i32.const 99) {x} (i32.const 0) (i32.const 4)))
             (drop (call $buffer (i32.const 0) (i32.const -1) (i32.const 2) (i32.const 0) (i32.const 4)))
             (i32.const 0))"#,
    );
    let outcome = vm.request(Request::get("/"));
    assert_eq!(outcome.status(), 200);
    let answers: Vec<_> = vm.trace().calls().iter().map(|line| line.split(" = ").nth(1).unwrap()).collect();
    assert_eq!(
        answers,
        [
            "InvalidMemoryAccess",
            "InvalidMemoryAccess",
            "InvalidMemoryAccess",
            "InvalidMemoryAccess",
            "errno 21",
            "errno 29",
            "errno 21",
            "BadArgument",
            "BadArgument",
            "BadArgument",
        ]
    );
}

/// Traps on `/t…`, loops on `/l…`, exits on `/e…`, reaches out on `/o…`, recurses on `/r…`.
const MISBEHAVE: &str = r#"(func $recurse (call $recurse) (call $recurse))
    (on request_headers
      (local $wish i32)
      (drop (call $get (i32.const 0) {:path} (i32.const 0) (i32.const 4)))
      (local.set $wish (i32.load8_u (i32.add (i32.load (i32.const 0)) (i32.const 1))))
      (if (i32.eq (local.get $wish) (i32.const 116)) (then unreachable))
      (if (i32.eq (local.get $wish) (i32.const 108)) (then (loop $for_ever (br $for_ever))))
      (if (i32.eq (local.get $wish) (i32.const 101)) (then (call $exit (i32.const 7))))
      (if (i32.eq (local.get $wish) (i32.const 111)) (then (drop (i32.load (i32.const -4)))))
      (if (i32.eq (local.get $wish) (i32.const 114)) (then (call $recurse)))
      (i32.const 0))"#;

#[test]
fn a_trap_is_reported_and_kills_the_vm_and_a_new_one_serves() {
    let (host, mut vm) = started(HostProfile::envoy(), MISBEHAVE);

    let outcome = vm.request(Request::get("/trap"));
    assert_eq!((outcome.status(), outcome.reply.as_ref().unwrap().origin), (503, Origin::Host));
    assert!(outcome.untouched());
    let trap = outcome.trap.unwrap();
    assert_eq!((trap.callback, trap.kind), ("proxy_on_request_headers", TrapKind::Unreachable));
    assert_eq!(vm.trap(), Some(&trap));

    let later = vm.request(Request::get("/"));
    assert_eq!((later.status(), later.untouched(), later.trap), (503, true, None));
    vm.tick().unwrap();
    assert_eq!(vm.trace().lines().last().unwrap(), "< trap: Unreachable", "nothing ran since");

    assert_eq!(host.start().unwrap().request(Request::get("/")).status(), 200);
}

#[test]
fn an_endless_loop_is_stopped() {
    let host = Host::new(&plugin(MISBEHAVE), HostProfile::envoy()).fuel_per_callback(1_000_000);
    let outcome = host.start().unwrap().request(Request::get("/loop"));
    assert_eq!((outcome.status(), outcome.trap.unwrap().kind), (503, TrapKind::OutOfFuel));
}

#[test]
fn every_way_to_die_has_its_name() {
    let (host, _) = started(HostProfile::nginx(), MISBEHAVE);
    for (path, kind) in [
        ("/exit", TrapKind::Exit(7)),
        ("/out of bounds", TrapKind::OutOfBounds),
        ("/recurse", TrapKind::StackOverflow),
    ] {
        let outcome = host.start().unwrap().request(Request::get(path));
        assert_eq!((outcome.status(), outcome.trap.unwrap().kind), (500, kind), "{path}");
    }
}

#[test]
fn a_vms_memory_ends_at_its_limit() {
    let grow = "(on request_headers (memory.grow (i32.const 100)))";
    let host = Host::new(&plugin(grow), HostProfile::envoy()).memory_limit(1024 * 1024);
    let mut vm = host.start().unwrap();
    // -1, which is not Continue, since the memory did not grow.
    assert!(vm.request(Request::get("/")).held);
    assert_eq!(vm.memory_size(), 2 * 65536);
}

/// Asks for the time both ways, on every tick, and for a random number.
const ASK: &str = r#"(on configure (drop (call $tick_every (i32.const 1500))) (i32.const 1))
    (on tick
      (drop (call $now (i32.const 16)))
      (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 24)))
      (if (i64.ne (i64.load (i32.const 16)) (i64.load (i32.const 24))) (then unreachable))
      (drop (call $random (i32.const 32) (i32.const 16)))
      (drop (call $log (i32.const 2) (i32.const 16) (i32.const 8)))
      (drop (call $log (i32.const 2) (i32.const 32) (i32.const 16))))"#;

#[test]
fn the_clock_stands_still_until_it_is_moved() {
    let (host, mut vm) = started(HostProfile::envoy(), ASK);
    assert_eq!(vm.tick_period(), Some(Duration::from_millis(1500)));
    let mut told = |host: &Host| {
        vm.clear_trace();
        vm.tick().unwrap();
        let answer = vm.trace().calls_of("proxy_get_current_time_nanoseconds")[0].to_owned();
        assert_eq!(answer, format!("proxy_get_current_time_nanoseconds() = Ok {}", host.now().as_nanos()));
        host.now()
    };
    assert_eq!(told(&host), Host::START);
    assert_eq!(told(&host), Host::START);
    host.advance(Duration::from_secs(61));
    assert_eq!(told(&host), Host::START + Duration::from_secs(61));
    host.set_now(Duration::from_secs(1));
    assert_eq!(told(&host), Duration::from_secs(1));
}

#[test]
fn randomness_is_the_same_for_a_seed_and_differs_between_vms_and_seeds() {
    /// The bytes drawn, as the plugin logged them.
    fn drawn(host: &Host) -> String {
        let mut vm = host.start().unwrap();
        vm.tick().unwrap();
        vm.logs().last().unwrap().1.to_owned()
    }
    let plugin = plugin(ASK);
    let host = |seed| Host::new(&plugin, HostProfile::envoy()).seed(seed);
    let (one, same, other) = (host(1), host(1), host(2));
    let first = drawn(&one);
    assert_eq!(first, drawn(&same));
    assert_ne!(first, drawn(&other));
    assert_ne!(first, drawn(&one), "a second VM of the same host");
}

#[test]
fn the_environment_reaches_the_plugin() {
    let host = Host::new(
        &plugin(
            r#"(on configure
                 (drop (call $env_sizes (i32.const 0) (i32.const 4)))
                 (drop (call $env (i32.const 16) (i32.const 64)))
                 (drop (call $log (i32.const 2) (i32.load (i32.const 20)) (i32.sub (i32.load (i32.const 4)) (i32.const 4))))
                 (i32.eq (i32.load (i32.const 0)) (i32.const 2)))"#,
        ),
        HostProfile::envoy(),
    )
    .environment("A", "1")
    .environment("GATE_KEY", "secret");
    let vm = host.start().unwrap();
    assert_eq!(vm.logs().next().unwrap().1, "GATE_KEY=secret\0");
}

/// Logs its configuration, then answers whether its first byte is `y`.
const PICKY: &str = r#"(on configure
    (drop (call $buffer (i32.const 7) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
    (call $log_returned)
    (i32.eq (i32.load8_u (i32.load (i32.const 0))) (i32.const 121)))"#;

#[test]
fn a_refused_configuration_is_an_error_that_holds_what_the_plugin_said() {
    let host = Host::new(&plugin(PICKY), HostProfile::envoy());
    assert!(host.clone().configuration("yes").start().is_ok());
    let error = host.configuration("no").start().err().unwrap();
    assert!(matches!(error, StartError::Refused { callback: "proxy_on_configure", .. }));
    assert_eq!(error.log_text(), "info: no\n");
}

#[test]
fn a_lacking_host_ignores_the_refusal_and_adds_a_nul() {
    let host = Host::new(&plugin(PICKY), HostProfile::fastedge()).configuration("no");
    assert_eq!(host.start().unwrap().logs().next().unwrap().1, "no\0");
}

#[test]
fn what_a_host_does_not_have_is_named_when_the_plugin_does_not_link() {
    let metrics = wat::parse_str(
        r#"(module (import "env" "proxy_get_metric" (func (param i32 i32) (result i32)))
             (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))"#,
    );
    let plugin = Plugin::from_bytes(&metrics.unwrap()).unwrap();
    assert_eq!(plugin.imports(), ["env.proxy_get_metric"]);
    assert!(Host::new(&plugin, HostProfile::envoy()).start().is_ok());
    let error = Host::new(&plugin, HostProfile::fastedge()).start().err().unwrap();
    assert!(error.to_string().contains("proxy_get_metric"), "{error}");
}

#[test]
fn a_file_that_is_no_plugin_is_an_error() {
    assert!(Plugin::from_bytes(b"not wasm").err().unwrap().to_string().contains("not a WebAssembly module"));
    let nothing = Plugin::from_bytes(&wat::parse_str("(module)").unwrap()).unwrap();
    let error = Host::new(&nothing, HostProfile::envoy()).start().err().unwrap();
    assert_eq!(error.to_string(), "the plugin cannot be linked: it exports no memory");
}

#[test]
fn a_vm_forgets_its_streams_and_its_oldest_trace_lines() {
    let host = Host::new(&plugin("(on request_headers (i32.const 0))"), HostProfile::envoy()).trace_limit(3);
    let mut vm = host.start().unwrap();
    for _ in 0..100 {
        assert_eq!(vm.request(Request::get("/")).status(), 200);
    }
    assert_eq!(vm.trace().lines().count(), 3);
    assert!(vm.trace().dropped() > 100);
}
