//! Reading a configuration from strict JSON.

use super::guardrails::{anonymous, approval, attest, guardrails, passport_constraints, spend};
use super::mcp::mcp;
use super::prices::catalog_prices;
use super::read_trust::trust;
use super::windows::windows;
use super::{
    Config, ConfigError, GateConfig, HostKind, Mode, Profile, Repeats, ReservedHeaders, RouteConfig,
    TrustConfig,
};
use crate::json::{self, Limits, Object, Value};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::OnceCell;

impl Config {
    /// Reads a gate's configuration. Members that are unknown, missing, doubled or of
    /// the wrong type are errors.
    ///
    /// # Errors
    /// [`ConfigError`] names the member.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        parsed(json, config)
    }

    /// Reads one that is part of something else; paths begin within it.
    pub(crate) fn from_value(value: &Value<'_>) -> Result<Self, ConfigError> {
        within(value, config)
    }
}

impl TrustConfig {
    /// Reads trust material by itself, with errors as [`Config::from_json`]'s.
    ///
    /// # Errors
    /// [`ConfigError`] names the member.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        parsed(json, trust)
    }
}

pub(crate) fn config(place: Place<'_>) -> Config {
    let members = place.members(&[
        "anonymous",
        "approvals",
        "attest",
        "audiences",
        "authorities",
        "cache_bytes",
        "catalog_hashes",
        "catalog_prices",
        "gate",
        "guardrails",
        "host",
        "max_body_bytes",
        "mode",
        "nonce_authority",
        "passport_constraints",
        "profile",
        "reserved_headers",
        "routes",
        "spend",
        "trust",
        "windows",
    ]);
    Config {
        gate: gate(members.required("gate")),
        host: members
            .optional("host")
            .and_then(|place| place.one_of(&[("envoy", HostKind::Envoy), ("nginx", HostKind::Nginx)]))
            .unwrap_or_default(),
        profile: members
            .required("profile")
            .one_of(&[("L1", Profile::L1), ("L2", Profile::L2), ("L3", Profile::L3)])
            .unwrap_or(Profile::L3),
        mode: members.optional("mode").and_then(mode).unwrap_or_default(),
        authorities: members.required("authorities").texts(),
        routes: members.required("routes").list(route),
        trust: members.optional("trust").map(trust).unwrap_or_default(),
        reserved_headers: members
            .optional("reserved_headers")
            .and_then(|place| {
                place.one_of(&[("refuse", ReservedHeaders::Refuse), ("strip", ReservedHeaders::Strip)])
            })
            .unwrap_or_default(),
        cache_bytes: members.number("cache_bytes").unwrap_or(DEFAULT_CACHE_BYTES),
        catalog_hashes: members.optional("catalog_hashes").map(Place::texts).unwrap_or_default(),
        catalog_prices: members
            .optional("catalog_prices")
            .map(|place| catalog_prices(&place))
            .unwrap_or_default(),
        audiences: members.optional("audiences").map(Place::texts),
        max_body_bytes: members.number("max_body_bytes").unwrap_or(DEFAULT_MAX_BODY_BYTES),
        windows: members.optional("windows").map(windows),
        nonce_authority: members.flag("nonce_authority").unwrap_or_default(),
        guardrails: members.optional("guardrails").map(guardrails),
        anonymous: members.optional("anonymous").map(anonymous),
        attest: members.optional("attest").map(attest),
        approvals: members.optional("approvals").map(|place| place.list(approval)).unwrap_or_default(),
        passport_constraints: members
            .optional("passport_constraints")
            .map(|place| place.list(passport_constraints))
            .unwrap_or_default(),
        spend: members.optional("spend").and_then(spend),
    }
}

pub(crate) fn gate(place: Place<'_>) -> GateConfig {
    let members = place.members(&["id", "name"]);
    GateConfig { id: members.required("id").text(), name: members.text("name") }
}

fn mode(place: Place<'_>) -> Option<Mode> {
    place.one_of(&[("enforce", Mode::Enforce), ("report", Mode::Report)])
}

fn route(place: Place<'_>) -> RouteConfig {
    let members = place.members(&[
        "action",
        "allow_upgrade",
        "cost_cents",
        "keep_credential",
        "mcp",
        "methods",
        "mode",
        "model",
        "path",
        "path_prefix",
        "public",
        "simpleguard_repeats",
        "target_domain",
    ]);
    let flag = |name| members.flag(name).unwrap_or_default();
    RouteConfig {
        path: members.text("path"),
        path_prefix: members.text("path_prefix"),
        methods: members.required("methods").texts(),
        action: members.text("action"),
        public: flag("public"),
        mode: members.optional("mode").and_then(mode),
        keep_credential: flag("keep_credential"),
        allow_upgrade: flag("allow_upgrade"),
        simpleguard_repeats: members.optional("simpleguard_repeats").and_then(|place| {
            place.one_of(&[("refuse", Repeats::Refuse), ("same_second", Repeats::SameSecond)])
        }),
        cost_cents: members.optional("cost_cents").map(Place::whole_number).unwrap_or_default(),
        target_domain: members.text("target_domain"),
        model: members.text("model"),
        mcp: members.optional("mcp").map(mcp),
    }
}

/// Some 3,000 passports of usual size, in each worker.
pub(super) const DEFAULT_CACHE_BYTES: u32 = 4 * 1024 * 1024;

/// What Envoy buffers of a stream by default.
const DEFAULT_MAX_BODY_BYTES: u32 = 1024 * 1024;

pub(crate) fn parsed<T>(json: &[u8], read: impl FnOnce(Place<'_>) -> T) -> Result<T, ConfigError> {
    // 64 MiB hold some 300,000 issuers of twenty values each; more would be a mistake,
    // and every worker of the proxy parses its own copy.
    const LIMITS: Limits = Limits { bytes: 64 * 1024 * 1024, depth: 16, values: 8_000_000 };
    if json.trim_ascii().is_empty() {
        return Err(ConfigError::new("", "is missing: give the gate its configuration as JSON text"));
    }
    let value = json::parse(json, LIMITS).map_err(|error| ConfigError::new("", error.to_string()))?;
    within(&value, read)
}

/// Reads a value of a configuration.
pub(crate) fn within<T>(value: &Value<'_>, read: impl FnOnce(Place<'_>) -> T) -> Result<T, ConfigError> {
    let fault = OnceCell::new();
    let read = read(Place { value, path: String::new(), fault: &fault });
    fault.into_inner().map_or(Ok(read), Err)
}

/// A value of a configuration, and where it stands.
///
/// What cannot be read is noted, and reading goes on with something in its stead, which nobody
/// gets to see: to stop at each of a hundred members is as much code again.
pub(crate) struct Place<'v> {
    value: &'v Value<'v>,
    path: String,
    fault: &'v OnceCell<ConfigError>,
}

/// The members of an object, all of them known.
pub(crate) struct Members<'v> {
    object: Option<&'v Object<'v>>,
    path: String,
    fault: &'v OnceCell<ConfigError>,
}

impl<'v> Place<'v> {
    /// Says what is wrong with it. The first fault is told.
    pub(crate) fn wrong(&self, problem: &str) {
        self.fault.get_or_init(|| ConfigError::new(&self.path, problem));
    }

    /// Whether it is an object with this member.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.value.as_object().is_some_and(|object| object.get(name).is_some())
    }

    fn known<T>(&self, value: Option<T>, problem: &str) -> Option<T> {
        if value.is_none() {
            self.wrong(problem);
        }
        value
    }

    #[inline(never)]
    pub(crate) fn text(self) -> String {
        self.known(self.value.as_str(), "must be a string").map(ToString::to_string).unwrap_or_default()
    }

    #[inline(never)]
    pub(crate) fn texts(self) -> Vec<String> {
        self.list(Place::text)
    }

    /// What `read` makes of a text.
    pub(crate) fn read_text<T>(&self, read: impl FnOnce(&'v str) -> Option<T>, problem: &str) -> Option<T> {
        self.known(self.value.as_str().and_then(read), problem)
    }

    /// A whole number from `min` to `max`.
    pub(crate) fn number_within(&self, min: u64, max: u64, problem: &str) -> u64 {
        let number = self.value.as_integer().and_then(|number| u64::try_from(number).ok());
        self.known(number.filter(|number| (min..=max).contains(number)), problem).unwrap_or(min)
    }

    pub(crate) fn object(&self) -> Option<&'v Object<'v>> {
        self.known(self.value.as_object(), "must be an object")
    }

    pub(crate) fn whole_number<N: TryFrom<i64> + Default>(self) -> N {
        let number = self.value.as_integer().and_then(|number| N::try_from(number).ok());
        self.known(number, "must be a whole number, not negative and not too large").unwrap_or_default()
    }

    pub(crate) fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let chosen = choices.iter().find(|(name, _)| self.value.as_str() == Some(name));
        if chosen.is_none() {
            self.no_choice(&mut choices.iter().map(|(name, _)| *name));
        }
        chosen.map(|(_, choice)| *choice)
    }

    #[cold]
    #[inline(never)]
    fn no_choice(&self, names: &mut dyn Iterator<Item = &str>) {
        let names: Vec<_> = names.collect();
        self.wrong(&format!("must be one of {}", names.join(", ")));
    }

    pub(crate) fn list<T>(&self, read: impl Fn(Place<'v>) -> T) -> Vec<T> {
        let mut list = Vec::new();
        while let Some(element) = self.element(list.len()) {
            list.push(read(element));
        }
        list
    }

    // Apart, as there is one `list` for each type of element.
    #[inline(never)]
    fn element(&self, index: usize) -> Option<Place<'v>> {
        let elements = self.known(self.value.as_array(), "must be an array")?;
        let value = elements.get(index)?;
        Some(Place { value, path: format!("{}[{index}]", self.path), fault: self.fault })
    }

    /// The members of an object whose names are data.
    pub(crate) fn entries(&self) -> Vec<(&'v str, Place<'v>)> {
        let place =
            |(name, value)| (name, Place { value, path: format!("{}.{name}", self.path), fault: self.fault });
        self.object().into_iter().flat_map(Object::iter).map(place).collect()
    }

    #[inline(never)]
    pub(crate) fn members(self, known: &[&str]) -> Members<'v> {
        let members = Members { object: self.object(), path: self.path, fault: self.fault };
        let mut names = members.object.into_iter().flat_map(Object::iter).map(|(name, _)| name);
        if let Some(name) = names.find(|name| !known.contains(name)) {
            members.wrong(name, &format!("is unknown; known here are {}", known.join(", ")));
        }
        members
    }
}

impl<'v> Members<'v> {
    fn path_to(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) }
    }

    /// Says what is wrong with a member. The first fault is told.
    pub(crate) fn wrong(&self, name: &str, problem: &str) {
        self.fault.get_or_init(|| ConfigError::new(self.path_to(name), problem));
    }

    #[inline(never)]
    pub(crate) fn required(&self, name: &str) -> Place<'v> {
        self.optional(name).unwrap_or_else(|| {
            self.wrong(name, "is missing");
            Place { value: &Value::Null, path: String::new(), fault: self.fault }
        })
    }

    #[inline(never)]
    pub(crate) fn optional(&self, name: &str) -> Option<Place<'v>> {
        let value = self.object?.get(name)?;
        Some(Place { value, path: self.path_to(name), fault: self.fault })
    }

    #[inline(never)]
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.optional(name).map(Place::text)
    }

    #[inline(never)]
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.optional(name).map(Place::whole_number)
    }

    #[inline(never)]
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        let place = self.optional(name)?;
        place.known(place.value.as_bool(), "must be true or false")
    }
}
