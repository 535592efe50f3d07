//! Whom a caller trusts.

use crate::answer::thrown;
use crate::input::Unusable;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use portcullis_core::{ConfigError, Profile, Trust, TrustConfig};
use wasm_bindgen::prelude::wasm_bindgen;

/// Trust material to judge by: a bundle, or none.
#[wasm_bindgen]
pub struct TrustMaterial(pub(crate) Material);

pub(crate) struct Material {
    /// Whom it trusts; nobody, where a credential is judged by itself.
    pub(crate) trust: Trust,
    /// Whether there is any.
    pub(crate) is_given: bool,
}

#[wasm_bindgen]
impl TrustMaterial {
    /// Reads a bundle as `portcullis bundle` writes it, which is also the member `trust` of a
    /// gate's configuration. It is judged by at profile L1. Without a text, credentials are
    /// judged by themselves.
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
        let config = text.map_or_else(|| Ok(TrustConfig::default()), TrustConfig::from_json)?;
        Ok(Material { trust: Trust::new(&config, Profile::L1)?, is_given: text.is_some() })
    }
}

impl From<ConfigError> for Unusable {
    fn from(error: ConfigError) -> Self {
        Unusable { code: "INVALID_TRUST", detail: error.to_string() }
    }
}
