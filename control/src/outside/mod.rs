//! Everything that leaves the service for hosts of others. Whoever may name a host must
//! not thereby make the service ask inside: only HTTPS, only public addresses, no
//! redirects, little time and few bytes.

mod addresses;
mod names;

pub use addresses::is_global;

use crate::settings::Outside;
use anyhow::{Context, Result, anyhow};
use names::Names;
use reqwest::{Client, Url, redirect};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What fetches. Cheap to clone; one for the process.
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    names: Names,
    allow_private: bool,
}

/// RFC-003 gives a resolver of did:web 5 s to connect and 10 s in all.
const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(10);

/// Why something of others was not had, for the operator: it begins with where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct OutsideError {
    place: String,
    problem: String,
}

impl OutsideError {
    /// An error at a URL or a name.
    pub fn new(place: impl fmt::Display, problem: impl Into<String>) -> Self {
        OutsideError { place: format!("{place:.500}"), problem: problem.into() }
    }
}

impl Fetcher {
    /// What fetches under these settings. The environment's proxies are not used.
    ///
    /// # Errors
    /// The further certificates cannot be read, or the system's name servers are unknown.
    pub fn new(settings: &Outside) -> Result<Self> {
        let names = Names::new(settings.dns_server, settings.allow_private_addresses)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls(settings.extra_ca.as_deref())?)
            .https_only(true)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .dns_resolver(names.clone())
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .user_agent(concat!("portcullis-control/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("nothing can be fetched")?;
        Ok(Fetcher { client, names, allow_private: settings.allow_private_addresses })
    }

    /// The body at an HTTPS URL, of at most `limit` bytes, if it is answered with 200.
    ///
    /// # Errors
    /// What was wrong, and where.
    pub async fn get(&self, url: &str, limit: usize) -> Result<Vec<u8>, OutsideError> {
        let at = |problem: String| OutsideError::new(url, problem);
        let checked = self.checked(url).map_err(|problem| at(problem.to_owned()))?;
        let mut response = self.client.get(checked).send().await.map_err(|error| at(cause(&error)))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(at(format!("answers {} with a redirect; none is followed", status.as_u16())));
        }
        if status.as_u16() != 200 {
            return Err(at(format!("answers {}, not 200", status.as_u16())));
        }
        let too_large = || at(format!("is longer than {limit} bytes"));
        let told =
            response.content_length().map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
        if told > limit {
            return Err(too_large());
        }
        let mut body = Vec::with_capacity(told);
        while let Some(chunk) = response.chunk().await.map_err(|error| at(cause(&error)))? {
            if body.len().saturating_add(chunk.len()) > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The texts of the TXT records of a name.
    ///
    /// # Errors
    /// There are none, or no name server answers.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, OutsideError> {
        self.names.texts(name).await.map_err(|problem| OutsideError::new("DNS", problem))
    }

    /// Names are judged when they are looked up. An address in a URL is never looked up,
    /// and so is judged here; with the names of certificates in mind, by refusing it.
    fn checked(&self, url: &str) -> Result<Url, &'static str> {
        let url = Url::parse(url).map_err(|_| "is no URL")?;
        if url.scheme() != "https" {
            return Err("is no https URL");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user name in it");
        }
        if url.domain().is_none() && !self.allow_private {
            return Err("has an address for its host; only names are fetched from");
        }
        Ok(url)
    }
}

/// TLS under public roots, and the further certificates of a file.
///
/// # Errors
/// The file has no certificates.
pub(crate) fn tls(extra_ca: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(file) = extra_ca {
        let unreadable = || format!("{} cannot be read as certificates in PEM", file.display());
        let mut count = 0_u32;
        for certificate in CertificateDer::pem_file_iter(file).with_context(unreadable)? {
            roots.add(certificate.with_context(unreadable)?).with_context(unreadable)?;
            count = count.saturating_add(1);
        }
        if count == 0 {
            return Err(anyhow!("{} has no certificate", file.display()));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS cannot be spoken")?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The innermost cause is what tells; the outer ones say that something was requested.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        let seconds = if error.is_connect() { CONNECT } else { WHOLE }.as_secs();
        return format!("has not answered within {seconds} s");
    }
    innermost(error)
}

/// What lies at the bottom of an error of HTTP.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    format!("{innermost:.500}")
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Fetcher(private addresses: {})", self.allow_private)
    }
}
