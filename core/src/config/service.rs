//! The configuration of a gate that takes its trust material from a control service: how
//! to reach the service, and whom to believe there. All else comes by snapshot.

use super::read::{Place, gate, parsed};
use super::read_trust::key;
use super::{Config, ConfigError, GateConfig, KeyConfig};
use crate::trust::{ID_FORM, is_id};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;

/// What a gate is configured with.
#[derive(Clone, Debug)]
pub enum GateConfiguration {
    /// All that it decides by.
    Static(Box<Config>),
    /// Where to get that.
    Live(ServiceConfig),
}

/// `gate`, `service` and `cache_bytes` of a gate with live trust material. Its `host` is Envoy.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Which gate this is.
    pub gate: GateConfig,
    /// How to reach the service, and whom to believe there.
    pub service: Service,
    /// Memory for verified credentials in each VM, in bytes. Left out: 4 MiB.
    pub cache_bytes: u32,
}

/// `service`.
#[derive(Clone, Debug, Serialize)]
pub struct Service {
    /// The proxy's name for the service's upstream.
    pub cluster: String,
    /// The service's host, or host:port, in lower case.
    pub authority: String,
    /// The keys that sign trust material.
    pub keys: Vec<KeyConfig>,
    /// How old trust material may be to be judged by, in seconds, 1 to 604,800 (a week).
    /// Left out: an hour.
    pub max_age_seconds: u32,
}

const DEFAULT_MAX_AGE_SECONDS: u32 = 3600;
const LONGEST_MAX_AGE_SECONDS: u32 = 7 * 24 * 3600;

/// Read in the source of ngx_wasm_module, at 0.6.0: `environ_get` has nothing, and `random_get` is the
/// C library's `random`.
const NOT_NGINX: &str = "must be envoy for a gate with a service: nginx gives no plugin an environment, for \
     the gate's key, nor randomness that nobody can guess";

impl GateConfiguration {
    /// Reads a gate's configuration: with a member `service` that of a gate with live
    /// trust material, else a whole one as [`Config::from_json`], which can ask no nonce
    /// authority.
    ///
    /// # Errors
    /// [`ConfigError`] names the member.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        let configuration = parsed(json, |place| {
            if place.has("service") {
                GateConfiguration::Live(service_config(place))
            } else {
                GateConfiguration::Static(Box::new(super::read::config(place)))
            }
        })?;
        match configuration {
            GateConfiguration::Static(config) if config.nonce_authority => {
                Err(ConfigError::new("nonce_authority", "needs a control service to ask"))
            }
            configuration => Ok(configuration),
        }
    }
}

impl ServiceConfig {
    /// Checks what leads to the service, but for its keys.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let service = &self.service;
        for (text, path) in [(&self.gate.id, "gate.id"), (&service.cluster, "service.cluster")] {
            if !is_id(text) {
                return Err(ConfigError::new(path, ID_FORM));
            }
        }
        if !crate::snapshot::is_authority(&service.authority) {
            return Err(ConfigError::new("service.authority", "must be a host or host:port, in lower case"));
        }
        if !(1..=LONGEST_MAX_AGE_SECONDS).contains(&service.max_age_seconds) {
            return Err(ConfigError::new("service.max_age_seconds", "must be 1 to 604800 (a week)"));
        }
        Ok(())
    }
}

fn service_config(place: Place<'_>) -> ServiceConfig {
    let members = place.members(&["cache_bytes", "gate", "host", "service"]);
    if let Some(place) = members.optional("host") {
        place.read_text(|name| (name == "envoy").then_some(()), NOT_NGINX);
    }
    ServiceConfig {
        gate: gate(members.required("gate")),
        service: service(members.required("service")),
        cache_bytes: members.number("cache_bytes").unwrap_or(super::read::DEFAULT_CACHE_BYTES),
    }
}

fn service(place: Place<'_>) -> Service {
    let members = place.members(&["authority", "cluster", "keys", "max_age_seconds"]);
    Service {
        cluster: members.required("cluster").text(),
        authority: members.required("authority").text(),
        keys: members.required("keys").list(key),
        max_age_seconds: members.number("max_age_seconds").unwrap_or(DEFAULT_MAX_AGE_SECONDS),
    }
}
