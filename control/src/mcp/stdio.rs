//! `portcullis-control mcp`: the tools over standard input and output, for a client that
//! starts the program itself; they call a running service.

use super::answer::{Answer, MAX_ANSWER, Refusal};
use super::request::RestRequest;
use super::{Rest, Server};
use crate::outside;
use crate::settings::McpArgs;
use anyhow::{Context, Result, bail};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url, redirect};
use rmcp::service::ServerInitializeError;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::{RoleServer, ServiceExt};
use std::fmt;
use std::time::Duration;

/// The longest message: the longest body that the service takes, in its envelope.
const MAX_LINE: usize = 2 * 1024 * 1024;

/// Somewhat more than the service gives a request that waits, unless told otherwise.
const WHOLE: Duration = Duration::from_secs(95);

/// Serves until the client closes the standard input.
///
/// # Errors
/// The service's URL or the key cannot be used, or the client does not speak the protocol.
pub async fn serve(args: &McpArgs) -> Result<()> {
    let server = Server::new(Rest::There(Remote::new(args)?));
    let (input, output) = rmcp::transport::io::stdio();
    let transport = AsyncRwTransport::<RoleServer, _, _>::new(input, output).with_max_line_length(MAX_LINE);
    match server.serve(transport).await {
        Ok(running) => running.waiting().await.map(drop).context("the client was lost"),
        // It went away before it asked for anything.
        Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
        Err(error) => Err(error).context("the client did not begin as MCP asks"),
    }
}

/// A running service, and the key that it is asked with.
#[derive(Clone)]
pub struct Remote {
    client: Client,
    origin: String,
    key: HeaderValue,
}

impl Remote {
    /// What asks the service at `args.url`.
    ///
    /// # Errors
    /// The URL is no origin, or the key has characters that no key has.
    pub fn new(args: &McpArgs) -> Result<Self> {
        let url = Url::parse(&args.url).context("MODEI_API_URL is no URL")?;
        let is_origin = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !matches!(url.scheme(), "https" | "http") || !url.username().is_empty() || !is_origin {
            bail!("MODEI_API_URL must be https://HOST or http://HOST:PORT, without a path");
        }
        let mut key = HeaderValue::from_str(&format!("Bearer {}", args.key))
            .context("MODEI_API_KEY has characters that no API key has")?;
        key.set_sensitive(true);
        let client = Client::builder()
            .tls_backend_preconfigured(outside::tls(args.extra_ca.as_deref())?)
            .redirect(redirect::Policy::none())
            .referer(false)
            .timeout(WHOLE)
            .user_agent(concat!("portcullis-control/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("nothing can be asked")?;
        Ok(Remote { client, origin: url.origin().ascii_serialization(), key })
    }

    pub(super) async fn ask(&self, asked: RestRequest) -> Result<Answer, Refusal> {
        let url = format!("{}{}", self.origin, asked.target);
        let url = Url::parse(&url).map_err(|_| Refusal::new("invalid", "the arguments make no URL"))?;
        let mut request = self.client.request(asked.method, url).header(AUTHORIZATION, self.key.clone());
        request = request.header(CONTENT_TYPE, "application/json");
        if let Some(body) = asked.body {
            request = request.body(body.to_string());
        }
        let failed = |error: reqwest::Error| {
            let problem = outside::innermost(&error);
            Refusal::new("unreachable", format!("{} cannot be asked: {problem}", self.origin))
        };
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len().saturating_add(chunk.len()) > MAX_ANSWER {
                return Err(Refusal::too_long());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Remote({})", self.origin)
    }
}
