//! Whom a caller trusts.

use crate::answer::thrown;
use crate::input::{Unusable, json};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use portcullis_core::{Config, ConfigError, Profile, Snapshot, Trust, TrustConfig};
use wasm_bindgen::prelude::wasm_bindgen;

/// Trust material to judge by: a bundle, that of a whole gate, or none.
#[wasm_bindgen]
pub struct TrustMaterial(pub(crate) Material);

pub(crate) enum Material {
    /// A credential is judged by itself.
    None(Box<Trust>),
    Bundle(Box<Trust>),
    Gate(Box<Snapshot>),
}

#[wasm_bindgen]
impl TrustMaterial {
    /// Reads what `portcullis bundle` writes: a bundle, or a gate's whole configuration.
    /// A bundle is judged by at profile L1. Without a text, credentials are judged by
    /// themselves.
    ///
    /// # Errors
    /// The member that is wrong, and what is wrong with it.
    #[wasm_bindgen(constructor)]
    pub fn new(text: Option<Box<[u8]>>) -> Result<TrustMaterial, String> {
        Material::read(text.as_deref()).map(TrustMaterial).map_err(|unusable| thrown(&unusable))
    }
}

impl Material {
    fn read(text: Option<&[u8]>) -> Result<Self, Unusable> {
        let Some(text) = text else {
            return Ok(Material::None(Box::new(Trust::new(&TrustConfig::default(), Profile::L1)?)));
        };
        if is_gate(text)? {
            let config = Config::from_json(text)?;
            return Ok(Material::Gate(Box::new(Snapshot::of_static(&config)?)));
        }
        let config = TrustConfig::from_json(text)?;
        Ok(Material::Bundle(Box::new(Trust::new(&config, Profile::L1)?)))
    }

    /// Whom it trusts.
    pub(crate) fn trust(&self) -> &Trust {
        match self {
            Material::None(trust) | Material::Bundle(trust) => trust,
            Material::Gate(snapshot) => snapshot.trust(),
        }
    }
}

impl From<ConfigError> for Unusable {
    fn from(error: ConfigError) -> Self {
        Unusable { code: "INVALID_TRUST", detail: error.to_string() }
    }
}

/// Whether a text is a gate's configuration rather than trust material alone.
fn is_gate(text: &[u8]) -> Result<bool, Unusable> {
    let value = json(text)?;
    let has = |member: &&str| value.as_object().is_some_and(|object| object.get(member).is_some());
    Ok(["gate", "routes", "trust"].iter().any(has))
}
