//! `envoy/envoy.yaml` grants the plugin what it uses, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};

use crate::envoy_config::EnvoyConfig;
use crate::plugin::{self, Interface};
use crate::workspace::Workspace;

/// Compares `allowed_capabilities` with the plugin's imports and exports.
pub(crate) fn check(workspace: &Workspace, wasm: &Path) -> Result<()> {
    let config = EnvoyConfig::shipped(workspace)?;
    let granted: BTreeSet<String> = config.capabilities()?.into_iter().map(str::to_owned).collect();
    let used = capabilities(&Interface::read(wasm)?);
    let missing: Vec<_> = used.difference(&granted).cloned().collect();
    let idle: Vec<_> = granted.difference(&used).cloned().collect();
    if missing.is_empty() && idle.is_empty() {
        return Ok(());
    }
    bail!(
        "allowed_capabilities in envoy/envoy.yaml are not what the plugin uses\n  \
         used, not allowed: {}\n  allowed, not used: {}",
        plugin::or_none(&missing),
        plugin::or_none(&idle)
    )
}

/// The names by which a proxy-wasm host knows what a module may do: imported
/// functions, and the callbacks that it exports.
fn capabilities(interface: &Interface) -> BTreeSet<String> {
    let imports = interface.imports.iter().filter_map(|name| name.split_once('.').map(|(_, name)| name));
    let callbacks = interface.exports.iter().map(String::as_str).filter(|name| name.starts_with("proxy_on_"));
    imports.chain(callbacks).map(str::to_owned).collect()
}
