//! The budgets of the embedded gate, each with where its number comes from.

use std::time::Duration;

/// A request's head, in bytes: Envoy's default (`max_request_headers_kb: 60`),
/// so that what this gate takes, Envoy takes too.
pub(super) const REQUEST_HEAD: usize = 60 * 1024;

/// What is read from a connection before its head is complete, in bytes: the
/// largest head, and as much again at most, for the parser stops only between reads.
pub(super) const READ_BUFFER: usize = 64 * 1024;

/// A body held for a paused request, in bytes: Envoy's default
/// `per_connection_buffer_limit_bytes`.
pub(super) const HELD_BODY: usize = 1024 * 1024;

/// Open connections per worker: with their head buffers and held bodies they
/// stay below 300 MiB at worst.
pub(super) const CONNECTIONS: usize = 256;

/// Threads; more than any machine on which one tries the gate has processors.
pub(super) const MOST_WORKERS: i64 = 64;

/// From a connection's opening, or a keep-alive connection's last response, to
/// the end of the next head. Slower clients hold a connection for nothing.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(15);

/// Between two pieces of a body, from client or upstream: half of Envoy's
/// default stream idle timeout would be minutes; people who try a gate wait less.
pub(super) const BODY_PIECE_TIME: Duration = Duration::from_secs(30);

/// To connect to the upstream: it is near.
pub(super) const CONNECT_TIME: Duration = Duration::from_secs(5);

/// From a request's release to the head of the upstream's response: Envoy's
/// default route timeout.
pub(super) const RESPONSE_TIME: Duration = Duration::from_secs(15);

/// Idle connections kept open to the upstream, per worker.
pub(super) const IDLE_UPSTREAM_CONNECTIONS: usize = 32;

/// Chunks of a request's body on their way from the plugin to the upstream: one
/// being written, one waiting.
pub(super) const BODY_PIECES_UNDER_WAY: usize = 2;

/// Between a VM's death and the start of the next one, so that a request that
/// kills VMs cannot keep a worker busy with starting them. Meanwhile: 503.
pub(super) const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// How often a worker looks whether its plugin wants ticks by now, and the
/// shortest period it grants.
pub(super) const TICK_CHECK: Duration = Duration::from_secs(1);
/// See [`TICK_CHECK`].
pub(super) const SHORTEST_TICK: Duration = Duration::from_millis(10);

/// For connections that are under way when the gate is told to stop.
pub(super) const GRACE: Duration = Duration::from_secs(10);
