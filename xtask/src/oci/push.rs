//! Into a registry, over the OCI Distribution API (specification 1.1), and looked at there.

use std::fmt;
use std::fs::File;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::{OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};

use super::{Blob, Image, SBOM_MEDIA_TYPE, index_of};

/// Where an image goes: `REGISTRY/NAME[:TAG]`.
#[derive(Clone, Debug)]
pub struct Destination {
    reference: Reference,
    auth: RegistryAuth,
}

/// What a push made.
#[derive(Debug, Eq, PartialEq)]
pub struct Pushed {
    /// Under which tag the list of what is in the plugin is to be had.
    pub sbom_tag: String,
    /// Whether the registry finds by itself what refers to the image; if not, a tag lists it
    /// (section "Referrers Tag Schema").
    pub lists_referrers: bool,
}

impl Destination {
    /// Reads `text`; without a tag, `tag` is taken. Who pushes there is said by docker's
    /// `config.json`, which `docker login` and others write, if there is one.
    ///
    /// # Errors
    /// The text names no registry or no image, or the credential cannot be used.
    pub fn new(text: &str, tag: &str, docker_config: Option<&Path>) -> Result<Self> {
        let form = || format!("{text}: must be REGISTRY/NAME or REGISTRY/NAME:TAG");
        let (registry, name) = text.split_once('/').with_context(form)?;
        // Else it would be a name in Docker's own registry.
        ensure!(registry.contains(['.', ':']) || registry == "localhost", form());
        ensure!(!name.contains('@'), form());
        let whole = if name.contains(':') { text.to_owned() } else { format!("{text}:{tag}") };
        let reference = Reference::from_str(&whole).with_context(form)?;
        let auth = match docker_config.filter(|file| file.is_file()) {
            Some(file) => credential(file, reference.resolve_registry())?,
            None => RegistryAuth::Anonymous,
        };
        Ok(Self { reference, auth })
    }

    /// The same image by the hash of its manifest.
    fn by_digest(&self, digest: &str) -> Reference {
        self.reference.clone_with_digest(digest.to_owned())
    }

    fn tagged(&self, tag: String) -> Reference {
        let (registry, name) = (self.reference.registry(), self.reference.repository());
        Reference::with_tag(registry.to_owned(), name.to_owned(), tag)
    }

    /// Without TLS on this machine only: nobody listens in between.
    fn client(&self) -> Result<Client> {
        // One implementation of TLS's cryptography; it fails only where one was installed before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let registry = self.reference.resolve_registry();
        let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|host| host.is_loopback());
        let protocol = if is_here { ClientProtocol::Http } else { ClientProtocol::Https };
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(DEADLINE),
            read_timeout: Some(DEADLINE),
            user_agent: concat!("portcullis-xtask/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        Client::try_from(config).context("no HTTP client can be made")
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reference.fmt(formatter)
    }
}

/// Sends an image and the list that stands beside it, and compares what the registry has then.
///
/// # Errors
/// The registry refuses, or serves something else than it was sent.
pub fn push(image: &Image, to: &Destination) -> Result<Pushed> {
    on_this_thread(async {
        let client = to.client()?;
        client
            .auth(&to.reference, &to.auth, RegistryOperation::Push)
            .await
            .with_context(|| format!("{to}: the registry lets nobody in with this credential"))?;
        for blob in &image.blobs {
            let pushed = client.push_blob(&to.reference, blob.bytes.clone(), &blob.digest).await;
            pushed.with_context(|| format!("{to}: the registry does not take {}", blob.digest))?;
        }
        let sbom_tag = format!("{}-sbom", to.reference.tag().unwrap_or(&image.tag));
        send(&client, &to.reference, &image.manifest).await?;
        send(&client, &to.tagged(sbom_tag.clone()), &image.sbom).await?;
        let lists_referrers = refer(&client, image, to).await?;
        compare(&client, image, to).await?;
        Ok(Pushed { sbom_tag, lists_referrers })
    })
}

/// Compares what a registry serves with an image, byte for byte.
///
/// # Errors
/// Something is missing, or has other bytes.
pub fn served(image: &Image, at: &Destination) -> Result<()> {
    on_this_thread(async {
        let client = at.client()?;
        client.auth(&at.reference, &at.auth, RegistryOperation::Pull).await?;
        compare(&client, image, at).await
    })
}

async fn send(client: &Client, to: &Reference, manifest: &Blob) -> Result<()> {
    let content_type = manifest.media_type.parse().context("a media type is a header's value")?;
    let pushed = client.push_manifest_raw(to, manifest.bytes.clone(), content_type).await;
    pushed.with_context(|| format!("{to}: the registry does not take the manifest"))?;
    Ok(())
}

/// Makes the list findable from the image. A registry that knows of subjects has seen it in the
/// manifest; for others the client keeps an index under a tag. Answers which.
async fn refer(client: &Client, image: &Image, to: &Destination) -> Result<bool> {
    let image_itself = to.by_digest(&image.manifest.digest);
    let tag = to.tagged(image.manifest.digest.replace(':', "-"));
    let known = client.pull_referrers(&image_itself, None).await;
    let known = known.with_context(|| format!("{to}: the registry does not say what refers to it"))?;
    let has_tag = || client.pull_manifest_raw(&tag, &to.auth, &[OCI_IMAGE_INDEX_MEDIA_TYPE]);
    let mut entries = known.manifests;
    if entries.iter().any(|entry| entry.digest == image.sbom.digest) {
        return Ok(has_tag().await.is_err());
    }
    let mut entry = image.sbom.entry()?;
    entry.artifact_type = Some(SBOM_MEDIA_TYPE.to_owned());
    entries.push(entry);
    let index = Blob::json(OCI_IMAGE_INDEX_MEDIA_TYPE, &index_of(entries))?;
    send(client, &tag, &index).await?;
    Ok(false)
}

async fn compare(client: &Client, image: &Image, at: &Destination) -> Result<()> {
    for (reference, manifest) in
        [(at.reference.clone(), &image.manifest), (at.by_digest(&image.sbom.digest), &image.sbom)]
    {
        let pulled = client.pull_manifest_raw(&reference, &at.auth, &[OCI_IMAGE_MEDIA_TYPE]).await;
        let (bytes, _) = pulled.with_context(|| format!("{reference} cannot be pulled"))?;
        ensure!(bytes == manifest.bytes, "{reference}: the registry has another manifest");
    }
    for blob in &image.blobs {
        let mut bytes = Vec::new();
        let pulled = client.pull_blob(&at.reference, blob.digest.as_str(), &mut bytes).await;
        pulled.with_context(|| format!("{at}: {} cannot be pulled", blob.digest))?;
        ensure!(bytes == blob.bytes, "{at}: the registry has other bytes as {}", blob.digest);
    }
    Ok(())
}

/// Who pushes to this registry, by docker's configuration.
fn credential(docker_config: &Path, registry: &str) -> Result<RegistryAuth> {
    let file = docker_config.display();
    let config = File::open(docker_config).with_context(|| format!("cannot read {file}"))?;
    match docker_credential::get_credential_from_reader(config, registry) {
        Ok(DockerCredential::UsernamePassword(name, password)) => Ok(RegistryAuth::Basic(name, password)),
        Ok(DockerCredential::IdentityToken(_)) => {
            bail!(
                "{file} has an identity token for {registry}: log in with a user's name and an access token"
            )
        }
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(RegistryAuth::Anonymous),
        Err(error) => Err(anyhow!("{file}: the credential for {registry} cannot be had: {error}")),
    }
}

fn on_this_thread<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// For a connection, and between two pieces of an answer: generous for a few hundred KiB.
const DEADLINE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_names_its_registry() {
        let read = |text: &str| Destination::new(text, "0.1.0", None).map(|read| read.to_string());
        assert_eq!(read("registry.example/portcullis").unwrap(), "registry.example/portcullis:0.1.0");
        assert_eq!(read("localhost:5000/a/b:next").unwrap(), "localhost:5000/a/b:next");
        let by_digest = format!("registry.example/a@sha256:{}", "0".repeat(64));
        for text in ["portcullis", "acme/portcullis", &by_digest, "registry.example/A"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("must be REGISTRY/NAME"), "{text}: {error}");
        }
    }
}
