/// How one kind of host behaves where hosts differ, as measured on the hosts
/// named. Start from one of them and change single fields:
///
/// ```
/// use portcullis_harness::HostProfile;
/// let small = HostProfile { held_body_limit: 1024, ..HostProfile::envoy() };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostProfile {
    /// How the authority reaches the plugin.
    pub authority: AuthorityView,
    /// How a request's body reaches the plugin.
    pub body_delivery: BodyDelivery,
    /// What `proxy_set_shared_data` makes of its CAS argument.
    pub cas_rules: CasRules,
    /// Configuration arrives with a NUL byte behind it.
    pub configuration_nul_terminated: bool,
    /// `:path` arrives percent-decoded and with dot segments resolved. The
    /// upstream, and the property `request.path`, get the raw one.
    pub decodes_path: bool,
    /// Headers whose name contains `_` are dropped before the plugin.
    pub drops_underscore_names: bool,
    /// Whether a VM sees the process's environment.
    pub environment: bool,
    /// `end_of_stream` is never true at the request's headers.
    pub end_of_stream_never_at_headers: bool,
    /// `connection` and what it nominates, `keep-alive`, `proxy-connection` and
    /// `transfer-encoding` are taken out before the plugin.
    pub hop_headers_removed: bool,
    /// What a pause at the headers does to the body.
    pub header_pause: HeaderPause,
    /// Once the headers' callback said Continue, the header map can no longer
    /// be read or changed (until the log callback, where it can be read).
    pub headers_close_after_continue: bool,
    /// How many body bytes are held for a paused stream, in bytes; more are
    /// answered with 413.
    pub held_body_limit: usize,
    /// A false answer from `proxy_on_configure` or `proxy_on_vm_start` is ignored.
    pub ignores_refused_configuration: bool,
    /// Request headers of these names that come more than once reach the plugin
    /// as one, their values joined by commas.
    pub joined_duplicates: &'static [&'static str],
    /// Of headers of these names in a plugin's reply, the client gets the last only.
    pub last_of_reply_only: &'static [&'static str],
    /// Header names are lower case in the map, however they were sent.
    pub lower_cases_names: bool,
    /// The host has the metrics calls; without them a plugin that imports them cannot load.
    pub metrics: bool,
    /// Properties of the host's own, with which a plugin can tell it from others.
    pub own_properties: &'static [(&'static str, &'static str)],
    /// Removing or replacing a request header changes what the upstream gets.
    /// Where false, the entries stay on the wire although the plugin no longer sees them.
    pub removal_reaches_upstream: bool,
    /// Pseudo-headers (`:method`, `:path`, `:authority`, `:scheme`) are in the map.
    pub request_pseudo_headers: bool,
    /// A body above this size, in bytes, lies on disk: its size is told, its bytes cannot be read.
    pub spools_bodies_above: Option<usize>,
    /// The upstream gets the headers as soon as they are released; otherwise
    /// only with the whole request.
    pub streams_to_upstream: bool,
    /// Request headers of these names the host leaves out itself (nginx: `proxy_set_header NAME ""`),
    /// but for those that a plugin has removed, where removal does not reach the upstream.
    pub upstream_lacks: &'static [&'static str],
    /// The status of the reply to a request in which the plugin trapped.
    pub trap_status: u16,
}

/// Where the authority that the client sent is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityView {
    /// In `:authority`, as sent; there is no `host` header.
    Pseudo,
    /// `:authority` is the server's own configured name; what the client sent is the `host` header.
    ServerName(String),
}

/// How the body's callbacks come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyDelivery {
    /// One callback per chunk, and a last one with `end_of_stream`; while
    /// paused, the buffer grows.
    Chunks,
    /// One callback with the whole body and `end_of_stream`; none at all for an empty body.
    Whole,
}

/// The rules of compare-and-swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CasRules {
    /// `cas = 0` overwrites blindly; a non-zero CAS on a missing key creates it; nothing is ever deleted.
    Envoy,
    /// `cas = 0` inserts if absent; a non-zero CAS on a missing key mismatches; a null value deletes.
    Nginx,
    /// Every write answers Ok and nothing is kept.
    Stub,
}

/// What happens when the plugin pauses in the headers' callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderPause {
    /// The headers are held and the body's callbacks come.
    Hold,
    /// The pause is ignored: the request goes on.
    Ignored,
    /// Everything stops: the body's callbacks do not come until the stream is continued.
    StopAll,
}

impl HostProfile {
    /// Envoy 1.40 with `allow_on_headers_stop_iteration: true`, as the deployments set it.
    pub fn envoy() -> Self {
        Self {
            authority: AuthorityView::Pseudo,
            body_delivery: BodyDelivery::Chunks,
            cas_rules: CasRules::Envoy,
            configuration_nul_terminated: false,
            decodes_path: false,
            drops_underscore_names: false,
            environment: true,
            end_of_stream_never_at_headers: false,
            hop_headers_removed: true,
            header_pause: HeaderPause::Hold,
            headers_close_after_continue: true,
            // per_connection_buffer_limit_bytes, its default
            held_body_limit: 1024 * 1024,
            ignores_refused_configuration: false,
            joined_duplicates: &["accept", "authorization", "content-type"],
            last_of_reply_only: &[],
            lower_cases_names: true,
            metrics: true,
            own_properties: &[],
            removal_reaches_upstream: true,
            request_pseudo_headers: true,
            spools_bodies_above: None,
            streams_to_upstream: true,
            upstream_lacks: &[],
            trap_status: 503,
        }
    }

    /// Envoy 1.40 as it is without `allow_on_headers_stop_iteration`.
    pub fn envoy_default() -> Self {
        Self { header_pause: HeaderPause::StopAll, ..Self::envoy() }
    }

    /// nginx 1.27.4 with ngx_wasm_module after 0.6.0 (commit 3bed278), with nothing else set. Measured
    /// there with a plugin that tries each call, but for what says that it was read: in the module's
    /// source, at 0.6.0 and before, and in nginx's.
    pub fn nginx() -> Self {
        Self {
            authority: AuthorityView::ServerName("gate.internal:10000".to_owned()),
            body_delivery: BodyDelivery::Whole,
            cas_rules: CasRules::Nginx,
            configuration_nul_terminated: false,
            decodes_path: true,
            drops_underscore_names: true,
            // Read: `environ_sizes_get` answers none, `src/wasm/wasi/ngx_wasi_preview1_host.c`.
            environment: false,
            end_of_stream_never_at_headers: true,
            hop_headers_removed: false,
            header_pause: HeaderPause::StopAll,
            headers_close_after_continue: false,
            // client_max_body_size, its default
            held_body_limit: 1024 * 1024,
            ignores_refused_configuration: false,
            joined_duplicates: &[],
            last_of_reply_only: &["www-authenticate"],
            lower_cases_names: false,
            metrics: true,
            // Read: variables of nginx are properties, `docs/PROXY_WASM.md`.
            own_properties: &[("ngx.nginx_version", "1.27.4")],
            removal_reaches_upstream: false,
            request_pseudo_headers: true,
            // client_body_buffer_size, its default on 64-bit machines
            spools_bodies_above: Some(16 * 1024),
            streams_to_upstream: false,
            upstream_lacks: &[],
            trap_status: 500,
        }
    }

    /// nginx as docs/nginx.md has it set: bodies stay in memory, and the headers that carry
    /// credentials are left out. Read in nginx's `ngx_http_proxy_module.c`: headers are left out by
    /// their hash, which the module has cleared in those that a plugin removed.
    pub fn nginx_as_documented() -> Self {
        Self {
            spools_bodies_above: None,
            upstream_lacks: &["agent-passport", "authorization", "x-capiscio-badge", "x-capiscio-jws"],
            ..Self::nginx()
        }
    }

    /// G-Core's FastEdge test host: a host that lacks much. Its habit of a new
    /// instance for every callback is not played.
    pub fn fastedge() -> Self {
        Self {
            cas_rules: CasRules::Stub,
            configuration_nul_terminated: true,
            header_pause: HeaderPause::Ignored,
            ignores_refused_configuration: true,
            metrics: false,
            request_pseudo_headers: false,
            ..Self::envoy()
        }
    }
}
