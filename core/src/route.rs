//! From path and method to what they amount to.

use crate::config::{McpTargetConfig, Mode, Repeats, RouteConfig, Spot};
use crate::mcp::Messages;
use crate::ordered::{Named, Names};
use crate::reason::Reason;
use crate::request::Method;
use crate::snapshot::is_authority;
use crate::trust::{ID_FORM, is_action, is_id};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The routes of a gate.
#[derive(Debug)]
pub struct Routes {
    exact: Named<Methods>,
    prefixes: Named<Methods>,
    actions: Names,
}

/// At most one route for each of seven methods.
type Methods = Vec<(Method, Arc<Route>)>;

/// What a request on one route amounts to.
#[derive(Clone, Debug)]
pub struct Route {
    access: Access,
    mode: Mode,
    keep_credential: bool,
    allow_upgrade: bool,
    repeats: Repeats,
    cost_cents: u64,
    target_domain: Option<String>,
    model: Option<String>,
    messages: Option<Arc<Messages>>,
    is_mcp: bool,
}

/// What a route asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// A credential that grants this action.
    Action(String),
    /// Nothing.
    Public,
}

impl Routes {
    /// The actions of all routes and messages.
    pub(crate) fn actions(&self) -> impl Iterator<Item = &str> {
        self.actions.iter().map(|(action, ())| action)
    }

    /// Whether a route or message has this action.
    pub(crate) fn has_action(&self, action: &str) -> bool {
        self.actions.contains(action)
    }

    pub(crate) fn checked(listed: &[RouteConfig], gate_mode: Mode, spot: &Spot<'_>) -> Self {
        // More than anybody writes by hand. Each worker keeps its own copy, and looks a path up in a
        // tree: `cargo xtask bench --only limits` says what both cost.
        const MAX_ROUTES: usize = 10_000;
        spot.check(!listed.is_empty(), "", "must have at least one route: what is not listed is refused");
        spot.check(listed.len() <= MAX_ROUTES, "", "has more than 10000 routes");
        let mut routes = Routes { exact: Named::new(), prefixes: Named::new(), actions: Names::new() };
        for (index, config) in listed.iter().enumerate() {
            routes.add(config, gate_mode, &spot.element(index));
        }
        routes
    }

    fn add(&mut self, config: &RouteConfig, gate_mode: Mode, spot: &Spot<'_>) {
        let known = match (&config.path, &config.path_prefix) {
            (Some(path), None) => {
                spot.check(is_plain_path(path), "path", PATH_FORM);
                self.exact.entry(path)
            }
            (None, Some(prefix)) => {
                let problem = "must end with `/`, and otherwise be a path in normal form";
                spot.check(is_plain_path(prefix) && prefix.ends_with('/'), "path_prefix", problem);
                self.prefixes.entry(prefix)
            }
            _ => None,
        };
        let Some(methods) = spot.known(known, "", "must have one of path and path_prefix") else { return };
        spot.check(!config.methods.is_empty(), "methods", "must name at least one method");
        let mut route = Route {
            access: Access::checked(config.action.as_deref(), config.public, spot),
            mode: config.mode.unwrap_or(gate_mode),
            keep_credential: config.keep_credential,
            allow_upgrade: config.allow_upgrade,
            repeats: config.simpleguard_repeats.unwrap_or_default(),
            cost_cents: config.cost_cents,
            target_domain: config.target_domain.clone(),
            model: config.model.clone(),
            messages: None,
            is_mcp: config.mcp.is_some(),
        };
        route.check_target(spot);
        route.note_action(&mut self.actions);
        if let Some(mcp) = &config.mcp {
            spot.check(!config.public, "", "must have an action where it has mcp");
            let messages = Messages::checked(mcp, &route, &mut self.actions, &spot.member("mcp"));
            route.messages = Some(Arc::new(messages));
        }
        let route = Arc::new(route);
        for name in &config.methods {
            let problem = "must be of GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS, in capitals";
            let Some(method) = spot.known(Method::from_name(name.as_bytes()), "methods", problem) else {
                return;
            };
            let may_be = !route.is_mcp || matches!(method, Method::Delete | Method::Get | Method::Post);
            spot.check(may_be, "methods", "must be of GET, POST and DELETE where there is mcp");
            let is_new = methods.iter().all(|(known, _)| *known != method);
            spot.check(is_new, "methods", "names a method that this path has already");
            methods.push((method, Arc::clone(&route)));
        }
    }

    /// The route of a decoded path. The most specific path decides, whatever methods it
    /// has: a broader route never answers for a method that a narrower one left out.
    ///
    /// # Errors
    /// `route_unknown`.
    pub(crate) fn find(&self, path: &str, method: Method) -> Result<&Arc<Route>, Reason> {
        // Prefixes end with a slash: the longest that fits ends at the last such slash.
        let prefixes = || path.rmatch_indices('/').filter_map(|(at, _)| path.get(..=at));
        let by_prefix = || prefixes().find_map(|prefix| self.prefixes.get(prefix));
        let methods = self.exact.get(path).or_else(by_prefix).ok_or(Reason::RouteUnknown)?;
        let route = methods.iter().find(|(known, _)| *known == method).map(|(_, route)| route);
        route.ok_or(Reason::RouteUnknown)
    }
}

impl Access {
    fn checked(action: Option<&str>, is_public: bool, spot: &Spot<'_>) -> Self {
        let problem = "must have either an action or `public: true`";
        spot.check(action.is_some() != is_public, "", problem);
        let Some(action) = action else { return Access::Public };
        let problem = "must be 1 to 256 printable ASCII characters without `*`";
        spot.check(is_action(action), "action", problem);
        Access::Action(action.into())
    }
}

impl Route {
    /// The route of a message that is sent on this one: what `target` leaves out is as here.
    pub(crate) fn of_message(&self, target: &McpTargetConfig, spot: &Spot<'_>) -> Self {
        let route = Route {
            access: Access::checked(target.action.as_deref(), target.public, spot),
            cost_cents: target.cost_cents.unwrap_or(self.cost_cents),
            target_domain: target.target_domain.clone().or_else(|| self.target_domain.clone()),
            model: target.model.clone().or_else(|| self.model.clone()),
            ..self.clone()
        };
        route.check_target(spot);
        route
    }

    fn check_target(&self, spot: &Spot<'_>) {
        let is_target = self.target_domain.as_deref().is_none_or(is_authority);
        spot.check(is_target, "target_domain", "must be a host, in lower case");
        spot.check(self.model.as_deref().is_none_or(is_id), "model", ID_FORM);
    }

    pub(crate) fn note_action(&self, actions: &mut Names) {
        if let Access::Action(action) = &self.access {
            actions.add(action);
        }
    }

    /// Whether those who ask here speak MCP, and are answered so.
    pub fn is_mcp(&self) -> bool {
        self.is_mcp
    }

    /// What the messages amount to that are sent here.
    pub(crate) fn messages(&self, method: Method) -> Option<&Messages> {
        self.messages.as_deref().filter(|_| method == Method::Post)
    }

    /// The action; empty where nothing is asked for.
    pub fn action(&self) -> &str {
        match &self.access {
            Access::Action(action) => action,
            Access::Public => "",
        }
    }

    /// What the route asks for.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Whether refusals block here.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the credential's header stays for the upstream.
    pub fn keeps_credential(&self) -> bool {
        self.keep_credential
    }

    /// What a request costs, in cents.
    pub fn cost_cents(&self) -> u64 {
        self.cost_cents
    }

    /// The host that a request on this route is for: the one that the route names, or else
    /// `authority` without its port.
    pub fn target_domain<'t>(&'t self, authority: &'t str) -> &'t str {
        let port = |(_, port): &(&str, &str)| port.bytes().all(|byte| byte.is_ascii_digit());
        let host = || authority.rsplit_once(':').filter(port).map_or(authority, |(host, _)| host);
        self.target_domain.as_deref().unwrap_or_else(host)
    }

    /// The model that a request leads to, if the route says so.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// What becomes of a SimpleGuard signature that comes again.
    pub(crate) fn repeats(&self) -> Repeats {
        self.repeats
    }

    pub(crate) fn allows_upgrade(&self) -> bool {
        self.allow_upgrade
    }
}

const PATH_FORM: &str =
    "must begin with `/` and be in normal form, decoded: no `%`, `;`, backslash, dot or empty segment";

/// A path as routes write it: what requests decode to.
fn is_plain_path(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else { return false };
    let forbidden = |character: char| character.is_control() || "%;\\?#".contains(character);
    let last = segments.split('/').count().saturating_sub(1);
    !path.contains(forbidden)
        && segments
            .split('/')
            .enumerate()
            .all(|(index, segment)| !matches!(segment, "." | "..") && (!segment.is_empty() || index == last))
}
