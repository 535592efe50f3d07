//! `envoy/envoy.yaml` grants the plugin what `plugin/capabilities.txt` lists, and
//! nothing else.
//!
//! It matters: Envoy silently leaves out a callback that the configuration does not
//! grant, and with it what the gate does there.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};

use crate::envoy_config::EnvoyConfig;
use crate::plugin::{self, Interface};
use crate::workspace::Workspace;

/// Compares the list with the configuration, and its names with the plugin's.
pub(crate) fn check(workspace: &Workspace, wasm: &Path) -> Result<()> {
    let listed = plugin::listed(workspace, "plugin/capabilities.txt")?;
    let config = EnvoyConfig::shipped(workspace)?;
    let granted = config.capabilities()?.into_iter().map(str::to_owned).collect();
    let missing: Vec<_> = listed.difference(&granted).cloned().collect();
    let idle: Vec<_> = granted.difference(&listed).cloned().collect();
    if !missing.is_empty() || !idle.is_empty() {
        bail!(
            "allowed_capabilities in envoy/envoy.yaml are not those of plugin/capabilities.txt\n  \
             listed, not allowed: {}\n  allowed, not listed: {}",
            plugin::or_none(&missing),
            plugin::or_none(&idle)
        );
    }
    let known = capabilities(&Interface::read(wasm)?);
    let unknown: Vec<_> = listed.difference(&known).cloned().collect();
    if !unknown.is_empty() {
        bail!(
            "plugin/capabilities.txt lists what the plugin neither imports nor exports: {}",
            plugin::or_none(&unknown)
        );
    }
    Ok(())
}

/// The names by which a proxy-wasm host knows what a module may do: imported
/// functions, and exported callbacks.
fn capabilities(interface: &Interface) -> BTreeSet<String> {
    let imports = interface.imports.iter().filter_map(|name| name.split_once('.').map(|(_, name)| name));
    let callbacks = interface.exports.iter().map(String::as_str).filter(|name| name.starts_with("proxy_on_"));
    imports.chain(callbacks).map(str::to_owned).collect()
}
