//! The plugin as an OCI image (Image Format Specification 1.1): made of bytes alone, so that the same
//! plugin of the same commit is the same image, wherever it is made.
//!
//! There is one form for all who fetch it: an image of one layer, a gzipped tar with `plugin.wasm` in it.
//! Istio and Envoy Gateway look for this form before any other (`extractOCIStandardImage` of both), and
//! every tool for images can copy and unpack it. It is no index: the digest that these two compare is
//! that of the image's own manifest, and an index would have another. Beside it stands a manifest
//! that names the image as its subject, with the list of what is in the plugin.

mod layer;
mod push;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE, ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageIndex, OciImageManifest,
};
use portcullis_core::live::hex;
use portcullis_core::sha256;
use serde::Serialize;

pub use layer::tar_of_folder;
pub use push::{Destination, Pushed, push, served};

use crate::source::Source;

/// The type of the artifact that says what is in the plugin.
pub const SBOM_MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";

/// The image, and what stands beside it. All of it in memory: it has some 200 KiB.
pub struct Image {
    /// The tag, which is the version.
    pub tag: String,
    /// The image's manifest.
    pub manifest: Blob,
    /// The manifest of the list of what is in the plugin.
    pub sbom: Blob,
    /// All that these two name.
    blobs: Vec<Blob>,
}

/// Some bytes, and how manifests name them.
#[derive(Clone, Debug)]
pub struct Blob {
    /// The type of its content.
    pub media_type: &'static str,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Image {
    /// The image of a plugin's file, with the list of what is in it, a CycloneDX document.
    ///
    /// # Errors
    /// The file is no WebAssembly.
    pub fn of(plugin: &[u8], source: &Source, sbom: &[u8]) -> Result<Self> {
        ensure!(plugin.starts_with(b"\0asm"), "the plugin is no WebAssembly");
        let tar = layer::tar_of_plugin(plugin, source)?;
        let layer = Blob::new(IMAGE_LAYER_GZIP_MEDIA_TYPE, layer::gzip(&tar)?);
        let created = source.commit().map(|commit| {
            let time = UNIX_EPOCH.checked_add(Duration::from_secs(commit.time)).unwrap_or(UNIX_EPOCH);
            humantime::format_rfc3339_seconds(time).to_string()
        });
        let config = Blob::json(
            IMAGE_CONFIG_MEDIA_TYPE,
            &Config {
                architecture: "wasm",
                created: created.as_deref(),
                os: "wasip1",
                rootfs: RootFs { diff_ids: [digest(&tar)], kind: "layers" },
            },
        )?;
        let mut annotations = BTreeMap::new();
        let mut annotate = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                annotations.insert(format!("org.opencontainers.image.{name}"), value.to_owned());
            }
        };
        annotate("created", created.as_deref());
        annotate("description", Some("A gate for AI agents: the plugin for proxy-wasm hosts"));
        annotate("licenses", Some(LICENSE));
        annotate("revision", source.commit().map(|commit| commit.hash.as_str()));
        annotate("source", source.repository);
        annotate("title", Some("portcullis"));
        annotate("version", Some(source.version));
        let manifest = OciImageManifest {
            media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
            config: config.descriptor()?,
            layers: vec![layer.descriptor()?],
            annotations: Some(annotations),
            ..OciImageManifest::default()
        };
        let manifest = Blob::json(OCI_IMAGE_MEDIA_TYPE, &manifest)?;

        let list = Blob::new(SBOM_MEDIA_TYPE, sbom.to_vec());
        // What has no configuration has this one (section "Guidance for an empty descriptor").
        let empty = Blob::new("application/vnd.oci.empty.v1+json", b"{}".to_vec());
        let created = created.map(|time| ("org.opencontainers.image.created".to_owned(), time));
        let sbom = OciImageManifest {
            media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
            config: empty.descriptor()?,
            layers: vec![list.descriptor()?],
            subject: Some(manifest.descriptor()?),
            artifact_type: Some(SBOM_MEDIA_TYPE.to_owned()),
            annotations: created.map(|created| BTreeMap::from([created])),
            ..OciImageManifest::default()
        };
        let sbom = Blob::json(OCI_IMAGE_MEDIA_TYPE, &sbom)?;
        Ok(Self { tag: source.version.to_owned(), manifest, sbom, blobs: vec![config, layer, empty, list] })
    }

    /// What Istio and Envoy Gateway call the image's `sha256`: 64 hexadecimal digits.
    pub fn pin(&self) -> &str {
        self.manifest.digest.trim_start_matches("sha256:")
    }

    /// Writes an OCI image layout into a folder, which must be new or hold one already.
    ///
    /// # Errors
    /// The folder has something else in it, or cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let cannot = || format!("cannot write {}", folder.display());
        if folder.exists() {
            let is_empty = fs::read_dir(folder).with_context(cannot)?.next().is_none();
            let is_layout = folder.join("oci-layout").is_file();
            ensure!(is_empty || is_layout, "{} is there already, and is no image", folder.display());
            fs::remove_dir_all(folder).with_context(cannot)?;
        }
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).with_context(cannot)?;
        for blob in self.blobs.iter().chain([&self.manifest, &self.sbom]) {
            fs::write(blobs.join(blob.digest.trim_start_matches("sha256:")), &blob.bytes)
                .with_context(cannot)?;
        }
        fs::write(folder.join("index.json"), self.index()?).with_context(cannot)?;
        // Last, as it says that all of it is there.
        fs::write(folder.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").with_context(cannot)
    }

    /// What a layout's `index.json` has.
    fn index(&self) -> Result<Vec<u8>> {
        let tag = ("org.opencontainers.image.ref.name".to_owned(), self.tag.clone());
        let mut image = self.manifest.entry()?;
        image.annotations = Some(BTreeMap::from([tag]));
        let mut sbom = self.sbom.entry()?;
        sbom.artifact_type = Some(SBOM_MEDIA_TYPE.to_owned());
        Ok(serde_json::to_vec(&index_of(vec![image, sbom]))?)
    }
}

/// As `Cargo.toml` has it.
const LICENSE: &str = env!("CARGO_PKG_LICENSE");

fn index_of(manifests: Vec<ImageIndexEntry>) -> OciImageIndex {
    OciImageIndex {
        schema_version: 2,
        media_type: Some(OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned()),
        manifests,
        artifact_type: None,
        annotations: None,
    }
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self { media_type, digest: digest(&bytes), bytes }
    }

    fn json(media_type: &'static str, value: &impl Serialize) -> Result<Self> {
        Ok(Self::new(media_type, serde_json::to_vec(value)?))
    }

    fn size(&self) -> Result<i64> {
        Ok(i64::try_from(self.bytes.len())?)
    }

    fn descriptor(&self) -> Result<OciDescriptor> {
        Ok(OciDescriptor {
            media_type: self.media_type.to_owned(),
            digest: self.digest.clone(),
            size: self.size()?,
            ..OciDescriptor::default()
        })
    }

    fn entry(&self) -> Result<ImageIndexEntry> {
        Ok(ImageIndexEntry {
            media_type: self.media_type.to_owned(),
            digest: self.digest.clone(),
            size: self.size()?,
            platform: None,
            annotations: None,
            artifact_type: None,
        })
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&sha256(bytes)))
}

/// The image's configuration. Architecture and operating system are Go's names, which the
/// specification asks for; those who fetch plugins look at neither.
#[derive(Serialize)]
struct Config<'a> {
    architecture: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<&'a str>,
    os: &'a str,
    rootfs: RootFs<'a>,
}

#[derive(Serialize)]
struct RootFs<'a> {
    diff_ids: [String; 1],
    #[serde(rename = "type")]
    kind: &'a str,
}
