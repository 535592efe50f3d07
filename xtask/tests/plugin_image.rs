//! The plugin's image: the same bytes each time, in a real registry, and fetched from there as
//! Istio and Envoy Gateway fetch it; the list of what is in the plugin; a release's checksums.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use xtask::dist::{CHECKSUMS, Manifest};
use xtask::oci::{self, Destination, Image};
use xtask::registry::{self, Registry};
use xtask::source::{Commit, Source};
use xtask::workspace::Workspace;
use xtask::{http, sbom};

/// What `cargo xtask test` provides.
fn given(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    PathBuf::from(value.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`")))
}

fn plugin() -> Vec<u8> {
    fs::read(given("PORTCULLIS_WASM")).unwrap()
}

/// Sources of a commit, whatever is checked out here.
fn source() -> Source {
    let commit = Commit { hash: "0123456789abcdef0123456789abcdef01234567".to_owned(), time: 1_780_315_200 };
    Source { version: "0.1.0", repository: None, head: Some(commit), changed_files: 0 }
}

fn list(plugin: &[u8]) -> Vec<u8> {
    let crates = sbom::crates(&Workspace::find().unwrap()).unwrap();
    let tools = [("rustc", "1.95.0".to_owned()), ("binaryen", "125.0.0".to_owned())];
    sbom::document(&crates, plugin, &tools, &source()).unwrap()
}

fn image() -> Image {
    Image::of(&plugin(), &source(), &list(&plugin())).unwrap()
}

/// All files below a folder, by their path in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(one) = folders.pop() {
        for entry in fs::read_dir(one).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn archive(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    oci::tar_of_folder(folder, &mut bytes, &source()).unwrap();
    bytes
}

#[test]
fn an_image_is_the_same_bytes_in_whichever_folder_it_is_made() {
    let here = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other/and/deeper"].map(|name| here.path().join(name));
    image().write(&one).unwrap();
    // Files that are written later have later times.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    image().write(&other).unwrap();
    let made = files(&one);
    // Compared without showing half a megabyte of bytes.
    assert!(made == files(&other), "the layouts differ");
    assert!(archive(&one) == archive(&other), "the archives differ");
    assert_eq!(made.len(), 8, "layout, index, two manifests and what they name: {:?}", made.keys());

    // Again in the same folder, and nowhere where something else is.
    image().write(&one).unwrap();
    assert!(made == files(&one), "the same folder has another image now");
    let error = image().write(here.path()).unwrap_err().to_string();
    assert!(error.contains("is no image"), "{error}");
}

#[test]
fn an_image_says_its_commit_and_one_of_changed_sources_says_none() {
    let annotations = |source: &Source| {
        let image = Image::of(&plugin(), source, b"{}").unwrap();
        let manifest: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
        manifest["annotations"].clone()
    };
    let clean = annotations(&source());
    let said = |name: &str| clean[format!("org.opencontainers.image.{name}")].as_str();
    assert_eq!(said("revision"), Some("0123456789abcdef0123456789abcdef01234567"));
    assert_eq!(said("created"), Some("2026-06-01T12:00:00Z"));
    assert_eq!(said("version"), Some("0.1.0"));
    assert_eq!(said("licenses"), Some("Apache-2.0"));
    let changed = Source { changed_files: 1, ..source() };
    assert_eq!((changed.stamp(), source().stamp()), ("unknown", "0123456789ab"));
    let changed = annotations(&changed);
    for name in ["revision", "created"] {
        assert!(changed.get(format!("org.opencontainers.image.{name}")).is_none(), "{changed}");
    }
}

#[test]
fn a_registry_serves_what_was_pushed_and_one_changed_byte_is_noticed() {
    let Some(program) = registry::PROGRAM.for_test("a_registry_serves_what_was_pushed") else { return };
    let registry = Registry::start(&program, None).unwrap();
    let image = image();
    let to = destination(&registry, None);
    let pushed = oci::push(&image, &to).unwrap();
    // Distribution 2.8 knows of no subjects.
    assert_eq!((pushed.sbom_tag.as_str(), pushed.lists_referrers), ("0.1.0-sbom", false));
    assert_eq!(oci::push(&image, &to).unwrap(), pushed, "pushed again, it is the same");

    // Whoever looks for what refers to the image finds the list, and in it the plugin's hash.
    let tag = image.manifest.digest.replace(':', "-");
    let index = get(&registry, &format!("manifests/{tag}"));
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1, "{index}");
    assert_eq!(index["manifests"][0]["artifactType"], "application/vnd.cyclonedx+json");
    let manifest = index["manifests"][0]["digest"].as_str().unwrap();
    let manifest = get(&registry, &format!("manifests/{manifest}"));
    assert_eq!(manifest["subject"]["digest"], image.manifest.digest);
    let list = get(&registry, &format!("blobs/{}", manifest["layers"][0]["digest"].as_str().unwrap()));
    let hash = &list["metadata"]["component"]["hashes"][0]["content"];
    assert_eq!(hash, &portcullis_core::live::hex(&portcullis_core::sha256(&plugin())));

    let manifest = get(&registry, "manifests/0.1.0");
    for digest in [
        image.manifest.digest.as_str(),
        manifest["config"]["digest"].as_str().unwrap(),
        manifest["layers"][0]["digest"].as_str().unwrap(),
    ] {
        oci::served(&image, &to).unwrap();
        let file = registry.file_of(digest);
        let kept = fs::read(&file).unwrap();
        let mut changed = kept.clone();
        // What JSON has in its middle is a string's letter, and stays one.
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        fs::write(&file, changed).unwrap();
        assert!(oci::served(&image, &to).is_err(), "{digest}");
        fs::write(&file, kept).unwrap();
    }
}

#[test]
fn istios_rules_find_in_the_image_the_very_file_that_was_built() {
    let Some(program) = registry::PROGRAM.for_test("istios_rules_find_in_the_image") else { return };
    let registry = Registry::start(&program, None).unwrap();
    let image = image();
    oci::push(&image, &destination(&registry, None)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fetched.wasm");
    let fetch = |pin: &str| {
        let url = format!("http://{}", registry.address);
        python("wasm_image.py", &[&url, "portcullis", "0.1.0", pin, file.to_str().unwrap()])
    };
    let output = fetch(image.pin());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read(&file).unwrap() == plugin(), "another file came out");

    fs::remove_file(&file).unwrap();
    let of_the_file = portcullis_core::live::hex(&portcullis_core::sha256(&plugin()));
    refused(&fetch(&of_the_file), "does not match");
    let manifest = get(&registry, "manifests/0.1.0");
    let layer = registry.file_of(manifest["layers"][0]["digest"].as_str().unwrap());
    let mut bytes = fs::read(&layer).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&layer, bytes).unwrap();
    refused(&fetch(image.pin()), "other bytes");
    assert!(!file.exists());
}

/// `tester:not-a-secret`, by bcrypt at its lowest cost.
const USERS: &str = "tester:$2b$04$CTW/fVKkHsiL.De3Hkm6NeyL00RWxcnLgpoKaG7sg4KIjT01.QYMm\n";

#[test]
fn a_registry_with_users_takes_an_image_by_dockers_configuration_only() {
    let Some(program) = registry::PROGRAM.for_test("a_registry_with_users") else { return };
    let registry = Registry::start(&program, Some(USERS)).unwrap();
    let image = image();
    let error = oci::push(&image, &destination(&registry, None)).unwrap_err();
    assert!(format!("{error:#}").contains("401"), "{error:#}");

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    let log_in = |word: &str| {
        let auth = portcullis_core::base64::encode(format!("tester:{word}").as_bytes());
        let text = format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, registry.address);
        fs::write(&config, text).unwrap();
        oci::push(&image, &destination(&registry, Some(&config)))
    };
    let error = format!("{:#}", log_in("another").unwrap_err());
    assert!(error.contains("401") && !error.contains("another"), "{error}");
    log_in("not-a-secret").unwrap();

    fs::write(&config, "{").unwrap();
    let text = format!("{}/portcullis", registry.address);
    let error = Destination::new(&text, "0.1.0", Some(&config)).unwrap_err().to_string();
    assert!(error.contains("config.json"), "{error}");
}

#[test]
fn the_list_of_what_is_in_the_plugin_is_a_cyclonedx_document() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portcullis.cdx.json");
    let check = |text: &[u8]| {
        fs::write(&file, text).unwrap();
        python("sbom_check.py", &[file.to_str().unwrap()])
    };
    let text = list(&plugin());
    let output = check(&text);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let document: Value = serde_json::from_slice(&text).unwrap();
    let components = document["components"].as_array().unwrap();
    let named = |name: &str| components.iter().find(|component| component["name"] == name);
    let dalek = named("ed25519-dalek").expect("what verifies signatures");
    assert!(dalek["purl"].as_str().unwrap().starts_with("pkg:cargo/ed25519-dalek@"));
    assert_eq!(dalek["hashes"][0]["content"].as_str().unwrap().len(), 64);
    assert!(named("portcullis-core").is_some_and(|core| core.get("purl").is_none()));
    assert!(named("serde_derive").is_none() && named("wasmtime").is_none() && named("proxy-wasm").is_none());
    // Whatever something uses is on the list.
    let references: Vec<_> = components.iter().map(|component| &component["bom-ref"]).collect();
    for dependency in document["dependencies"].as_array().unwrap() {
        for used in dependency["dependsOn"].as_array().unwrap() {
            assert!(references.contains(&used), "{used}");
        }
    }

    let text = String::from_utf8(text).unwrap();
    for broken in [text.replace("\"bomFormat\"", "\"bomFormatt\""), text.replace("SHA-256", "SHA-255")] {
        assert!(!check(broken.as_bytes()).status.success());
    }
}

#[test]
fn a_releases_checksums_are_good_until_a_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source { changed_files: 2, ..source() };
    let mut manifest = Manifest::new(&source, "rustc 1.95.0");
    fs::write(folder.path().join("portcullis.wasm"), plugin()).unwrap();
    manifest.add(folder.path(), "portcullis.wasm", Some(sbom::TARGET)).unwrap();
    manifest.write(folder.path()).unwrap();
    let check = || {
        let mut command = Command::new("sha256sum");
        command.args(["--check", "--strict", CHECKSUMS]).current_dir(folder.path()).output().unwrap()
    };
    assert!(check().status.success());

    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let said: Value = serde_json::from_slice(&read("manifest.json")).unwrap();
    assert_eq!((&said["version"], &said["dirty"]), (&"0.1.0".into(), &true.into()));
    assert_eq!(said["commit"], "0123456789abcdef0123456789abcdef01234567");
    assert_eq!(said["rust"], "rustc 1.95.0");
    assert_eq!(said["files"][0]["target"], "wasm32-wasip1");
    assert_eq!(said["files"][0]["bytes"], plugin().len());
    for name in ["portcullis.wasm", "manifest.json"] {
        let kept = read(name);
        let mut changed = kept.clone();
        *changed.last_mut().unwrap() ^= 1;
        fs::write(folder.path().join(name), changed).unwrap();
        assert!(!check().status.success(), "{name}");
        fs::write(folder.path().join(name), kept).unwrap();
    }
}

fn destination(registry: &Registry, docker_config: Option<&Path>) -> Destination {
    Destination::new(&format!("{}/portcullis", registry.address), "0.1.0", docker_config).unwrap()
}

/// What a registry serves below the image's name.
fn get(registry: &Registry, path: &str) -> Value {
    let mut request = http::Request::new("GET", &format!("/v2/portcullis/{path}"));
    for kind in ["manifest", "index"] {
        request.headers.push(("accept".to_owned(), format!("application/vnd.oci.image.{kind}.v1+json")));
    }
    let answer = request.send(registry.address).unwrap();
    assert_eq!(answer.status, 200, "{path}");
    serde_json::from_slice(&answer.body).unwrap()
}

fn python(script: &str, arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python").join(script);
    Command::new(given("PORTCULLIS_PYTHON")).arg(script).args(arguments).output().unwrap()
}

fn refused(output: &Output, why: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains(why), "{error}");
}
