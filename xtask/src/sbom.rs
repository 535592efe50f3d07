//! What is in the plugin's file, as a CycloneDX 1.6 document (ECMA-424).
//!
//! The crates are those that cargo names for the plugin's target, without those that only build
//! it; whoever makes the document holds them against what the build compiled ([`compiled`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use portcullis_core::live::hex;
use portcullis_core::sha256;
use serde::Serialize;
use serde_json::Value;

use crate::source::Source;
use crate::workspace::Workspace;

/// What the plugin is compiled for.
pub const TARGET: &str = "wasm32-wasip1";

/// The crate that the plugin is.
const PLUGIN: &str = "portcullis-plugin";

/// A crate by its name and version.
pub type CrateId = (String, String);

/// What is known of a crate.
#[derive(Clone, Debug, Default)]
pub struct Crate {
    /// An SPDX expression.
    pub license: String,
    /// Of the file that the registry has, in hexadecimal digits; `None` for the crates of this
    /// workspace.
    pub sha256: Option<String>,
    /// Other crates that it uses.
    pub uses: BTreeSet<CrateId>,
}

/// What made the plugin's file, by name and version.
pub type Tools = [(&'static str, String); 2];

/// The crates of which the plugin is made, itself among them.
///
/// # Errors
/// cargo fails, or says something unexpected.
pub fn crates(workspace: &Workspace) -> Result<BTreeMap<CrateId, Crate>> {
    let output = workspace
        .cargo()
        .args(["tree", "--locked", "--package", PLUGIN, "--target", TARGET])
        .args(["--edges=normal,no-proc-macro", "--prefix=depth", "--format={p}|{l}"])
        .output()
        .context("cannot run `cargo tree`")?;
    ensure!(output.status.success(), "`cargo tree` failed: {}", String::from_utf8_lossy(&output.stderr));
    let mut crates = read_tree(&String::from_utf8(output.stdout)?)?;

    let lock_file = std::fs::read_to_string(workspace.root.join("Cargo.lock"))?;
    let lock_file: toml::Table = lock_file.parse().context("Cargo.lock cannot be read")?;
    let packages = lock_file.get("package").and_then(toml::Value::as_array);
    for package in packages.context("Cargo.lock has no packages")? {
        let text = |name: &str| package.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        if let (Some(name), Some(version)) = (text("name"), text("version"))
            && let Some(known) = crates.get_mut(&(name, version))
        {
            known.sha256 = text("checksum");
        }
    }
    Ok(crates)
}

/// The crates that cargo compiled for the plugin's target, by the messages of its build
/// (`--message-format=json`).
///
/// # Errors
/// The messages are not cargo's.
pub fn compiled(messages: &str) -> Result<BTreeSet<CrateId>> {
    let folder = format!("/{TARGET}/");
    let mut crates = BTreeSet::new();
    for message in messages.lines() {
        let message: Value = serde_json::from_str(message).context("cargo's messages are no JSON")?;
        let files = message.get("filenames").and_then(Value::as_array);
        let mut files = files.into_iter().flatten().filter_map(Value::as_str);
        // What runs while building is made for the machine itself, into another folder.
        if files.any(|file| file.contains(&folder)) {
            let id = message.get("package_id").and_then(Value::as_str).context("a crate without an id")?;
            crates.insert(read_package_id(id)?);
        }
    }
    Ok(crates)
}

/// Holds the crates that are to be listed against those that were compiled.
///
/// # Errors
/// They are not the same.
pub fn complete(crates: &BTreeMap<CrateId, Crate>, compiled: &BTreeSet<CrateId>) -> Result<()> {
    let listed: BTreeSet<_> = crates.keys().cloned().collect();
    let named = |(name, version): &CrateId| format!("{name} {version}");
    let odd: Vec<_> = listed.symmetric_difference(compiled).map(named).collect();
    ensure!(odd.is_empty(), "what is listed is not what was compiled for {TARGET}: {}", odd.join(", "));
    Ok(())
}

/// The document.
///
/// # Errors
/// It cannot be written as JSON.
pub fn document(
    crates: &BTreeMap<CrateId, Crate>,
    plugin: &[u8],
    tools: &Tools,
    source: &Source,
) -> Result<Vec<u8>> {
    let [(_, rust), _] = tools;
    let own = crates.iter().filter(|(id, _)| id.0 != PLUGIN);
    let mut components: Vec<_> = own.map(|(id, known)| component_of(id, known)).collect();
    components.extend([
        Component {
            description: Some("Of Rust's standard library: core, alloc and compiler_builtins"),
            purl: Some(format!("pkg:generic/rust@{rust}")),
            version: Some(rust.clone()),
            ..Component::new("library", "rust", "MIT OR Apache-2.0")
        },
        Component {
            description: Some(
                "As Rust's target wasm32-wasip1 brings it; functions that copy and compare memory",
            ),
            ..Component::new("library", "wasi-libc", "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT")
        },
    ]);
    let plugin = Component {
        hashes: vec![Hash { alg: "SHA-256", content: hex(&sha256(plugin)) }],
        version: Some(source.version.to_owned()),
        ..Component::new("application", "portcullis.wasm", env!("CARGO_PKG_LICENSE"))
    };
    let runtime = components.iter().rev().take(2).map(|component| component.bom_ref.clone());
    let mut dependencies = vec![Dependency { of: plugin.bom_ref.clone(), depends_on: runtime.collect() }];
    for (id, known) in crates {
        let uses = known.uses.iter().map(reference_of);
        match dependencies.first_mut().filter(|_| id.0 == PLUGIN) {
            Some(plugin) => plugin.depends_on.extend(uses),
            None => dependencies.push(Dependency { of: reference_of(id), depends_on: uses.collect() }),
        }
    }
    for dependency in &mut dependencies {
        dependency.depends_on.sort();
    }
    let made_by = |(name, version): &(&'static str, String)| Tool {
        kind: "application",
        name,
        version: version.clone(),
    };
    let document = Document {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.6",
        version: 1,
        metadata: Metadata {
            timestamp: source.commit().map(|commit| {
                let time = UNIX_EPOCH.checked_add(Duration::from_secs(commit.time)).unwrap_or(UNIX_EPOCH);
                humantime::format_rfc3339_seconds(time).to_string()
            }),
            tools: MadeBy { components: tools.each_ref().map(made_by) },
            component: plugin,
        },
        components,
        dependencies,
    };
    let mut text = serde_json::to_vec_pretty(&document)?;
    text.push(b'\n');
    Ok(text)
}

/// Reads what cargo shows as a tree: a line for each use of a crate, its depth before it. What a
/// crate uses itself is shown once.
fn read_tree(tree: &str) -> Result<BTreeMap<CrateId, Crate>> {
    let mut crates: BTreeMap<CrateId, Crate> = BTreeMap::new();
    let mut path: Vec<CrateId> = Vec::new();
    for line in tree.lines() {
        let unexpected = || format!("`cargo tree` says {line:?}");
        let (package, license) = line.split_once('|').with_context(unexpected)?;
        let digits = package.find(|letter: char| !letter.is_ascii_digit()).with_context(unexpected)?;
        let (depth, package) = package.split_at_checked(digits).with_context(unexpected)?;
        let mut words = package.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else { bail!(unexpected()) };
        let id = (name.to_owned(), version.trim_start_matches('v').to_owned());
        path.truncate(depth.parse().with_context(unexpected)?);
        if let Some(user) = path.last().and_then(|user| crates.get_mut(user)) {
            user.uses.insert(id.clone());
        }
        // An older way of saying OR.
        crates.entry(id.clone()).or_default().license = license.trim_end_matches(" (*)").replace('/', " OR ");
        path.push(id);
    }
    Ok(crates)
}

/// Reads a package id specification: `…#name@version`, or `…/name#version`.
fn read_package_id(id: &str) -> Result<CrateId> {
    let (url, fragment) = id.rsplit_once('#').with_context(|| format!("{id}: no package id"))?;
    let last = url.rsplit('/').next().unwrap_or(url);
    let (name, version) = fragment.split_once('@').unwrap_or((last, fragment));
    Ok((name.to_owned(), version.to_owned()))
}

/// By what a component is named within the document.
fn reference_of((name, version): &CrateId) -> String {
    format!("pkg:cargo/{name}@{version}")
}

fn component_of(id: &CrateId, known: &Crate) -> Component {
    let hash = |content: &String| Hash { alg: "SHA-256", content: content.clone() };
    Component {
        bom_ref: reference_of(id),
        version: Some(id.1.clone()),
        hashes: known.sha256.iter().map(hash).collect(),
        // What is in no registry has no address there.
        purl: known.sha256.as_ref().map(|_| reference_of(id)),
        ..Component::new("library", &id.0, &known.license)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    tools: MadeBy,
    component: Component,
}

#[derive(Serialize)]
struct MadeBy {
    components: [Tool; 2],
}

#[derive(Serialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    version: String,
}

#[derive(Serialize)]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    licenses: [License; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
}

impl Component {
    fn new(kind: &'static str, name: &str, license: &str) -> Self {
        Self {
            kind,
            bom_ref: name.to_owned(),
            name: name.to_owned(),
            version: None,
            description: None,
            hashes: Vec::new(),
            licenses: [License { expression: license.to_owned() }],
            purl: None,
        }
    }
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct License {
    expression: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    #[serde(rename = "ref")]
    of: String,
    depends_on: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, version: &str) -> CrateId {
        (name.to_owned(), version.to_owned())
    }

    #[test]
    fn a_tree_says_who_uses_whom_and_under_which_licence() {
        let tree = "0a v0.1.0 (/somewhere/a)|Apache-2.0\n1b v1.0.0|MIT/Apache-2.0\n2c v2.0.0|MIT\n\
                    1c v2.0.0|MIT (*)\n1d v3.0.0|ISC\n";
        let crates = read_tree(tree).unwrap();
        assert_eq!(crates.len(), 4);
        let a = &crates[&id("a", "0.1.0")];
        assert_eq!(a.uses, [id("b", "1.0.0"), id("c", "2.0.0"), id("d", "3.0.0")].into());
        assert_eq!(crates[&id("b", "1.0.0")].license, "MIT OR Apache-2.0");
        assert_eq!(crates[&id("b", "1.0.0")].uses, [id("c", "2.0.0")].into());
        assert_eq!(crates[&id("c", "2.0.0")].license, "MIT");
        assert!(read_tree("no tree").is_err());
    }

    #[test]
    fn what_was_compiled_for_the_plugins_target_is_read_off_cargos_messages() {
        let messages = [
            r#"{"package_id":"path+file:///w/core#portcullis-core@0.1.0","filenames":["/t/wasm32-wasip1/wasm/a.rlib"]}"#,
            r#"{"package_id":"path+file:///w/plugin#0.1.0","filenames":["/t/wasm32-wasip1/wasm/b.wasm"]}"#,
            r#"{"package_id":"registry+https://index#macros@1.0.0","filenames":["/t/wasm/deps/c.so"]}"#,
            r#"{"reason":"build-finished","success":true}"#,
        ];
        let crates = compiled(&messages.join("\n")).unwrap();
        assert_eq!(crates, [id("portcullis-core", "0.1.0"), id("plugin", "0.1.0")].into());
        let listed: BTreeMap<_, _> = crates.iter().map(|id| (id.clone(), Crate::default())).collect();
        complete(&listed, &crates).unwrap();
        let mut missing = listed.clone();
        missing.pop_first();
        let error = complete(&missing, &crates).unwrap_err().to_string();
        assert!(error.contains("plugin 0.1.0"), "{error}");
        assert!(compiled("error: no JSON").is_err());
    }
}
