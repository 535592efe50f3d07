//! Reading a configuration from strict JSON.

use super::guardrails::{anonymous, approval, attest, guardrails, spend};
use super::read_trust::trust;
use super::windows::windows;
use super::{
    Config, ConfigError, GateConfig, Mode, Profile, Repeats, ReservedHeaders, RouteConfig, TrustConfig,
};
use crate::json::{self, Limits, Object, Value};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

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
        config(Place::whole(value))
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

pub(super) fn config(place: Place<'_>) -> Result<Config, ConfigError> {
    let members = place.members(&[
        "anonymous",
        "approvals",
        "attest",
        "audiences",
        "authorities",
        "cache_bytes",
        "catalog_hashes",
        "gate",
        "guardrails",
        "max_body_bytes",
        "mode",
        "nonce_authority",
        "profile",
        "reserved_headers",
        "routes",
        "spend",
        "trust",
        "windows",
    ])?;
    Ok(Config {
        gate: gate(members.required("gate")?)?,
        profile: members.required("profile")?.one_of(&[
            ("L1", Profile::L1),
            ("L2", Profile::L2),
            ("L3", Profile::L3),
        ])?,
        mode: members.optional("mode", mode)?.unwrap_or_default(),
        authorities: members.required("authorities")?.list(text)?,
        routes: members.required("routes")?.list(route)?,
        trust: members.optional("trust", trust)?.unwrap_or_default(),
        reserved_headers: members
            .optional("reserved_headers", |place| {
                place.one_of(&[("refuse", ReservedHeaders::Refuse), ("strip", ReservedHeaders::Strip)])
            })?
            .unwrap_or_default(),
        cache_bytes: members
            .optional("cache_bytes", |place| place.whole_number())?
            .unwrap_or(DEFAULT_CACHE_BYTES),
        catalog_hashes: members.optional("catalog_hashes", |place| place.list(text))?.unwrap_or_default(),
        audiences: members.optional("audiences", |place| place.list(text))?,
        max_body_bytes: members
            .optional("max_body_bytes", |place| place.whole_number())?
            .unwrap_or(DEFAULT_MAX_BODY_BYTES),
        windows: members.optional("windows", windows)?,
        nonce_authority: members.optional("nonce_authority", |place| place.flag())?.unwrap_or_default(),
        guardrails: members.optional("guardrails", guardrails)?,
        anonymous: members.optional("anonymous", anonymous)?,
        attest: members.optional("attest", attest)?,
        approvals: members.optional("approvals", |place| place.list(approval))?.unwrap_or_default(),
        spend: members.optional("spend", spend)?,
    })
}

pub(super) fn gate(place: Place<'_>) -> Result<GateConfig, ConfigError> {
    let members = place.members(&["id", "name"])?;
    Ok(GateConfig { id: members.required("id")?.text()?, name: members.optional("name", text)? })
}

fn mode(place: Place<'_>) -> Result<Mode, ConfigError> {
    place.one_of(&[("enforce", Mode::Enforce), ("report", Mode::Report)])
}

fn route(place: Place<'_>) -> Result<RouteConfig, ConfigError> {
    let members = place.members(&[
        "action",
        "allow_upgrade",
        "cost_cents",
        "keep_credential",
        "methods",
        "mode",
        "model",
        "path",
        "path_prefix",
        "public",
        "simpleguard_repeats",
        "target_domain",
    ])?;
    let flag = |name| members.optional(name, |place| place.flag()).map(Option::unwrap_or_default);
    Ok(RouteConfig {
        path: members.optional("path", text)?,
        path_prefix: members.optional("path_prefix", text)?,
        methods: members.required("methods")?.list(text)?,
        action: members.optional("action", text)?,
        public: flag("public")?,
        mode: members.optional("mode", mode)?,
        keep_credential: flag("keep_credential")?,
        allow_upgrade: flag("allow_upgrade")?,
        simpleguard_repeats: members.optional("simpleguard_repeats", |place| {
            place.one_of(&[("refuse", Repeats::Refuse), ("same_second", Repeats::SameSecond)])
        })?,
        cost_cents: members.optional("cost_cents", |place| place.whole_number())?.unwrap_or_default(),
        target_domain: members.optional("target_domain", text)?,
        model: members.optional("model", text)?,
    })
}

pub(super) fn text(place: Place<'_>) -> Result<String, ConfigError> {
    place.text()
}

/// Some 3,000 passports of usual size, in each worker.
pub(super) const DEFAULT_CACHE_BYTES: u32 = 4 * 1024 * 1024;

/// What Envoy buffers of a stream by default.
const DEFAULT_MAX_BODY_BYTES: u32 = 1024 * 1024;

pub(super) fn parsed<T>(
    json: &[u8],
    read: impl Fn(Place<'_>) -> Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    // 64 MiB hold some 300,000 issuers of twenty values each; more would be a mistake,
    // and every worker of the proxy parses its own copy.
    const LIMITS: Limits = Limits { bytes: 64 * 1024 * 1024, depth: 16, values: 8_000_000 };
    if json.trim_ascii().is_empty() {
        return Err(ConfigError::new("", "is missing: give the gate its configuration as JSON text"));
    }
    let value = json::parse(json, LIMITS).map_err(|error| ConfigError::new("", error.to_string()))?;
    read(Place::whole(&value))
}

/// A value of a configuration, and where it stands.
pub(crate) struct Place<'v> {
    value: &'v Value<'v>,
    path: String,
}

/// The members of an object, all of them known.
pub(crate) struct Members<'v> {
    object: &'v Object<'v>,
    path: String,
}

impl<'v> Place<'v> {
    /// The whole of what is read.
    pub(crate) fn whole(value: &'v Value<'v>) -> Self {
        Place { value, path: String::new() }
    }

    pub(crate) fn wrong(&self, problem: impl AsRef<str>) -> ConfigError {
        ConfigError::new(&self.path, problem)
    }

    /// Whether it is an object with this member.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value.as_object().is_some_and(|object| object.get(name).is_some())
    }

    #[inline(never)]
    pub(crate) fn text(&self) -> Result<String, ConfigError> {
        self.value.as_str().map(ToString::to_string).ok_or_else(|| self.wrong("must be a string"))
    }

    pub(crate) fn object(&self) -> Result<&'v Object<'v>, ConfigError> {
        self.value.as_object().ok_or_else(|| self.wrong("must be an object"))
    }

    pub(super) fn flag(&self) -> Result<bool, ConfigError> {
        self.value.as_bool().ok_or_else(|| self.wrong("must be true or false"))
    }

    pub(crate) fn whole_number<N: TryFrom<i64>>(&self) -> Result<N, ConfigError> {
        let number = self.value.as_integer().and_then(|number| N::try_from(number).ok());
        number.ok_or_else(|| self.wrong("must be a whole number, not negative and not too large"))
    }

    pub(crate) fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, ConfigError> {
        let chosen = choices.iter().find(|(name, _)| self.value.as_str() == Some(name));
        chosen.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.wrong(format!("must be one of {}", names.join(", ")))
        })
    }

    pub(crate) fn list<T>(
        &self,
        read: impl Fn(Place<'v>) -> Result<T, ConfigError>,
    ) -> Result<Vec<T>, ConfigError> {
        let elements = self.value.as_array().ok_or_else(|| self.wrong("must be an array"))?;
        // A loop, as collecting into a result is compiled anew for every type.
        let mut list = Vec::with_capacity(elements.len());
        for (index, value) in elements.iter().enumerate() {
            list.push(read(Place { value, path: format!("{}[{index}]", self.path) })?);
        }
        Ok(list)
    }

    #[inline(never)]
    pub(crate) fn members(self, known: &[&str]) -> Result<Members<'v>, ConfigError> {
        let object = self.value.as_object().ok_or_else(|| self.wrong("must be an object"))?;
        let members = Members { object, path: self.path };
        match object.iter().find(|(name, _)| !known.contains(name)) {
            Some((name, _)) => {
                let problem = format!("is unknown; known here are {}", known.join(", "));
                Err(ConfigError::new(members.path_to(name), problem))
            }
            None => Ok(members),
        }
    }
}

impl<'v> Members<'v> {
    /// What is wrong with a member.
    pub(crate) fn wrong(&self, name: &str, problem: impl AsRef<str>) -> ConfigError {
        ConfigError::new(self.path_to(name), problem)
    }

    fn path_to(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) }
    }

    #[inline(never)]
    pub(crate) fn required(&self, name: &str) -> Result<Place<'v>, ConfigError> {
        let value =
            self.object.get(name).ok_or_else(|| ConfigError::new(self.path_to(name), "is missing"))?;
        Ok(Place { value, path: self.path_to(name) })
    }

    pub(crate) fn optional<T>(
        &self,
        name: &str,
        read: impl Fn(Place<'v>) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        let place = self.object.get(name).map(|value| Place { value, path: self.path_to(name) });
        place.map(read).transpose()
    }
}
