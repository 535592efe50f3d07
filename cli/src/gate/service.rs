//! Calls to a control service, signed with a gate's key or with an API key.

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use portcullis_core::live::Call;
use portcullis_core::{SecretKey, base64};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use ureq::RequestBuilder;
use ureq::typestate::{AgentScope, WithoutBody};

use crate::draft;
use crate::files::{self, Existing, Readers};

/// The variable in a gate's environment that holds its key.
pub(super) const VARIABLE: &str = "PORTCULLIS_GATE_KEY";

/// The variable in the environment of whoever calls that holds an API key. On a command
/// line others would see it.
const API_KEY: &str = "PORTCULLIS_API_KEY";

/// Which service, and how to trust its certificate.
#[derive(Args)]
pub(crate) struct Reach {
    /// The service's URL: http only for this machine and for networks of your own
    #[arg(long, value_name = "URL")]
    service: String,
    /// Certificates in PEM by which the service's is trusted, instead of the public ones
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// The longest answer: a thousand requests that wait.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

/// The largest file of certificates: the public ones are some 200 KiB.
const MAX_CA: usize = 1024 * 1024;

const DEADLINE: Duration = Duration::from_secs(30);

type AgentConfig = ConfigBuilder<AgentScope>;

impl Reach {
    /// What is at a URL, whoever serves it.
    pub(crate) fn at(url: &str, ca: Option<PathBuf>) -> Self {
        Reach { service: url.to_owned(), ca }
    }

    /// Gets what is at the URL itself, at most so many bytes, without any key.
    pub(crate) fn fetch(&self, max: usize) -> Result<Vec<u8>> {
        let authority = self.authority()?;
        let agent = self.agent(|config| config.timeout_global(Some(DEADLINE)))?;
        let answer = agent.get(&self.service).call();
        let mut answer = answer.with_context(|| format!("no answer from {authority}"))?;
        if !answer.status().is_success() {
            return read(answer, &authority).map(|_| Vec::new());
        }
        let max = u64::try_from(max).unwrap_or(u64::MAX);
        let bytes = answer.body_mut().with_config().limit(max).read_to_vec();
        bytes.with_context(|| format!("no whole answer from {authority}"))
    }

    /// The service's host, or host:port, in lower case.
    pub(super) fn authority(&self) -> Result<String> {
        let rest = self.service.strip_prefix("https://").or_else(|| self.service.strip_prefix("http://"));
        let authority = rest.and_then(|rest| rest.trim_end_matches('/').split(['/', '?', '#']).next());
        let authority = authority.filter(|authority| !authority.is_empty() && !authority.contains('@'));
        let authority =
            authority.ok_or_else(|| anyhow!("--service must be https://HOST or http://HOST:PORT"))?;
        Ok(authority.to_ascii_lowercase())
    }

    /// Posts JSON, signed with a gate's key; gives the answer.
    pub(super) fn post(&self, path: &str, body: &Value, key: &SecretKey) -> Result<Value> {
        let authority = self.authority()?;
        let body = body.to_string();
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| anyhow!("the system gives no randomness: {error}"))?;
        let call = Call { method: "POST", authority: &authority, path, query: "", body: body.as_bytes() };
        let mut request = self
            .agent(|config| config.timeout_global(Some(DEADLINE)))?
            .post(self.url(path)?)
            .header("content-type", "application/json");
        for (name, value) in call.sign(key, draft::now()?, &nonce) {
            request = request.header(name, value);
        }
        let answer = request.send(&body).with_context(|| format!("no answer from {authority}"))?;
        read(answer, &authority)
    }

    /// Asks with the API key of the environment; posts JSON where there is some. Gives the
    /// answer.
    pub(crate) fn ask(&self, path: &str, body: Option<&Value>) -> Result<Value> {
        let authority = self.authority()?;
        let key = std::env::var(API_KEY).ok().filter(|key| !key.trim().is_empty());
        let key = key.with_context(|| format!("{API_KEY} is not set: it holds the API key to call with"))?;
        let bearer = format!("Bearer {}", key.trim());
        let (agent, url) = (self.agent(|config| config.timeout_global(Some(DEADLINE)))?, self.url(path)?);
        let answer = match body {
            None => agent.get(url).header("authorization", bearer).call(),
            Some(body) => agent
                .post(url)
                .header("authorization", bearer)
                .header("content-type", "application/json")
                .send(body.to_string()),
        };
        read(answer.with_context(|| format!("no answer from {authority}"))?, &authority)
    }

    /// A request whose answer may take any time, but for so much silence.
    pub(crate) fn get(
        &self,
        path: &str,
        query: &str,
        silence: Duration,
    ) -> Result<RequestBuilder<WithoutBody>> {
        let agent = self.agent(|config| {
            config
                .timeout_connect(Some(DEADLINE))
                .timeout_recv_response(Some(DEADLINE))
                .timeout_per_read(Some(silence))
        })?;
        Ok(agent.get(format!("{}?{query}", self.url(path)?)))
    }

    fn url(&self, path: &str) -> Result<String> {
        let scheme = if self.service.starts_with("https://") { "https" } else { "http" };
        Ok(format!("{scheme}://{}{path}", self.authority()?))
    }

    fn agent(&self, with: impl FnOnce(AgentConfig) -> AgentConfig) -> Result<ureq::Agent> {
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None);
        let mut config = with(config);
        if let Some(file) = &self.ca {
            let pem = files::read(file, MAX_CA)?.bytes;
            let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                bail!("{} has no certificates in PEM", file.display());
            }
            let roots = RootCerts::new_with_certs(&certificates);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(config.build().new_agent())
    }
}

fn read(mut answer: ureq::http::Response<ureq::Body>, authority: &str) -> Result<Value> {
    let status = answer.status();
    let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
    let text = text.with_context(|| format!("no whole answer from {authority}"))?;
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if !status.is_success() {
        let message = value.get("message").and_then(Value::as_str).unwrap_or("it does not say why");
        bail!("{authority} refuses ({}): {message}", status.as_u16());
    }
    Ok(value)
}

/// Writes a gate's key as a line of an environment file, for its owner only.
pub(super) fn save_key(file: &Path, key: &SecretKey, existing: Existing) -> Result<()> {
    let line = format!("{VARIABLE}={}\n", base64::encode(key.seed()));
    files::write(file, &line, Readers::Owner, existing)
}

/// Reads a gate's key from an environment file.
pub(super) fn read_key(file: &Path) -> Result<SecretKey> {
    // A line of some 70 bytes, and whatever else the gate's environment has.
    let bytes = files::read(file, 64 * 1024)?.bytes;
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not text", file.display()))?;
    let value = text.lines().find_map(|line| line.strip_prefix(VARIABLE)?.strip_prefix('='));
    let value = value.with_context(|| format!("{} sets no {VARIABLE}", file.display()))?;
    let seed = base64::decode_array(value.trim())
        .with_context(|| format!("{VARIABLE} in {} is not base64 of 32 bytes", file.display()))?;
    Ok(SecretKey::from_seed(seed))
}

/// A member of an answer that is text.
pub(super) fn text<'v>(answer: &'v Value, name: &str) -> Result<&'v str> {
    answer.get(name).and_then(Value::as_str).with_context(|| format!("the answer has no {name}"))
}
