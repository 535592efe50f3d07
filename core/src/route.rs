//! From path and method to what they amount to.

use crate::config::{ConfigError, McpTargetConfig, Mode, Repeats, RouteConfig};
use crate::mcp::Messages;
use crate::ordered::{Named, Names};
use crate::reason::Reason;
use crate::request::Method;
use crate::snapshot::is_authority;
use crate::trust::{ID_FORM, is_action, is_id};
use alloc::format;
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

    pub(crate) fn new(listed: &[RouteConfig], gate_mode: Mode) -> Result<Self, ConfigError> {
        // More than anybody writes by hand; each worker keeps its own copy.
        const MAX_ROUTES: usize = 4096;
        if listed.is_empty() {
            return Err(ConfigError::new(
                "routes",
                "must have at least one route: what is not listed is refused",
            ));
        }
        if listed.len() > MAX_ROUTES {
            return Err(ConfigError::new("routes", format!("has more than {MAX_ROUTES} routes")));
        }
        let mut exact: Named<Methods> = Named::new();
        let mut prefixes: Named<Methods> = Named::new();
        let mut actions = Names::new();
        for (index, config) in listed.iter().enumerate() {
            let error =
                |member: &str, problem: &str| ConfigError::new(format!("routes[{index}]{member}"), problem);
            let told = |(member, problem)| error(member, problem);
            let methods = match (&config.path, &config.path_prefix) {
                (Some(path), None) if is_plain_path(path) => exact.entry(path),
                (Some(_), None) => return Err(error(".path", PATH_FORM)),
                (None, Some(prefix)) if is_plain_path(prefix) && prefix.ends_with('/') => {
                    prefixes.entry(prefix)
                }
                (None, Some(_)) => {
                    return Err(error(
                        ".path_prefix",
                        "must end with `/`, and otherwise be a path in normal form",
                    ));
                }
                _ => return Err(error("", "must have one of path and path_prefix")),
            };
            // Never: an entry is made where there is none.
            let methods = methods.ok_or_else(|| error("", "cannot be kept"))?;
            let mut route = Route {
                access: Access::of(config.action.as_deref(), config.public).map_err(told)?,
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
            route.check_target().map_err(told)?;
            if let Some(mcp) = &config.mcp {
                if route.access == Access::Public {
                    return Err(error("", "must have an action where it has mcp"));
                }
                let messages = Messages::new(mcp, &route, &mut actions)
                    .map_err(|fault| error(&[".", &fault.path].concat(), &fault.problem))?;
                route.messages = Some(Arc::new(messages));
            }
            route.note_action(&mut actions);
            let route = Arc::new(route);
            if config.methods.is_empty() {
                return Err(error(".methods", "must name at least one method"));
            }
            for name in &config.methods {
                let method = Method::from_name(name.as_bytes()).ok_or_else(|| {
                    error(
                        ".methods",
                        "must be of GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS, in capitals",
                    )
                })?;
                if route.is_mcp && !matches!(method, Method::Delete | Method::Get | Method::Post) {
                    return Err(error(".methods", "must be of GET, POST and DELETE where there is mcp"));
                }
                if methods.iter().any(|(known, _)| *known == method) {
                    return Err(error(".methods", "names a method that this path has already"));
                }
                methods.push((method, Arc::clone(&route)));
            }
        }
        Ok(Routes { exact, prefixes, actions })
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

/// The member at fault, and what is wrong with it.
type Fault = (&'static str, &'static str);

impl Access {
    fn of(action: Option<&str>, is_public: bool) -> Result<Self, Fault> {
        match (action, is_public) {
            (Some(action), false) if is_action(action) => Ok(Access::Action(action.into())),
            (Some(_), false) => Err((".action", "must be 1 to 256 printable ASCII characters without `*`")),
            (None, true) => Ok(Access::Public),
            _ => Err(("", "must have either an action or `public: true`")),
        }
    }
}

impl Route {
    /// The route of a message that is sent on this one, which goes before it in nothing else.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn of_message(&self, target: &McpTargetConfig) -> Result<Self, Fault> {
        let route = Route {
            access: Access::of(target.action.as_deref(), target.public)?,
            cost_cents: target.cost_cents.unwrap_or(self.cost_cents),
            target_domain: target.target_domain.clone().or_else(|| self.target_domain.clone()),
            model: target.model.clone().or_else(|| self.model.clone()),
            messages: None,
            ..self.clone()
        };
        route.check_target()?;
        Ok(route)
    }

    fn check_target(&self) -> Result<(), Fault> {
        if self.target_domain.as_deref().is_some_and(|target| !is_authority(target)) {
            return Err((".target_domain", "must be a host, in lower case"));
        }
        if self.model.as_deref().is_some_and(|model| !is_id(model)) {
            return Err((".model", ID_FORM));
        }
        Ok(())
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

    /// What the route asks for.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The action; empty where nothing is asked for.
    pub fn action(&self) -> &str {
        match &self.access {
            Access::Action(action) => action,
            Access::Public => "",
        }
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
