//! From path and method to what they amount to.

use crate::config::{Mode, Repeats, RouteConfig, Spot};
use crate::ordered::Named;
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
}

/// At most one route for each of seven methods.
type Methods = Vec<(Method, Arc<Route>)>;

/// What a request on one route amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    access: Access,
    mode: Mode,
    keep_credential: bool,
    allow_upgrade: bool,
    repeats: Repeats,
    cost_cents: u64,
    target_domain: Option<String>,
    model: Option<String>,
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
    /// The actions of all routes, some of them more than once.
    pub(crate) fn actions(&self) -> impl Iterator<Item = &str> {
        let methods = self.exact.iter().chain(self.prefixes.iter()).flat_map(|(_, methods)| methods);
        methods.filter_map(|(_, route)| match &route.access {
            Access::Action(action) => Some(action.as_str()),
            Access::Public => None,
        })
    }

    pub(crate) fn checked(listed: &[RouteConfig], gate_mode: Mode, spot: &Spot<'_>) -> Self {
        // More than anybody writes by hand; each worker keeps its own copy.
        const MAX_ROUTES: usize = 4096;
        spot.check(!listed.is_empty(), "", "must have at least one route: what is not listed is refused");
        spot.check(listed.len() <= MAX_ROUTES, "", "has more than 4096 routes");
        let mut routes = Routes { exact: Named::new(), prefixes: Named::new() };
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
        let problem = "must have either an action or `public: true`";
        spot.check(config.action.is_some() != config.public, "", problem);
        let access = config.action.clone().map_or(Access::Public, Access::Action);
        if let Access::Action(action) = &access {
            let problem = "must be 1 to 256 printable ASCII characters without `*`";
            spot.check(is_action(action), "action", problem);
        }
        let is_target = config.target_domain.as_deref().is_none_or(is_authority);
        spot.check(is_target, "target_domain", "must be a host, in lower case");
        spot.check(config.model.as_deref().is_none_or(is_id), "model", ID_FORM);
        spot.check(!config.methods.is_empty(), "methods", "must name at least one method");
        let route = Arc::new(Route {
            access,
            mode: config.mode.unwrap_or(gate_mode),
            keep_credential: config.keep_credential,
            allow_upgrade: config.allow_upgrade,
            repeats: config.simpleguard_repeats.unwrap_or_default(),
            cost_cents: config.cost_cents,
            target_domain: config.target_domain.clone(),
            model: config.model.clone(),
        });
        for name in &config.methods {
            let problem = "must be of GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS, in capitals";
            let Some(method) = spot.known(Method::from_name(name.as_bytes()), "methods", problem) else {
                return;
            };
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

impl Route {
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
