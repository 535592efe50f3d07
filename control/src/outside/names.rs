//! Names of others: looked up once, and every address judged before anything connects.

use super::addresses::is_global;
use anyhow::{Context, Result};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What looks names up. The connection goes to the addresses that were judged: there is no
/// second look-up that could answer otherwise.
#[derive(Clone)]
pub(super) struct Names {
    resolver: TokioResolver,
    allow_private: bool,
}

/// Two attempts are within the five seconds that a connection may take.
const ATTEMPT: Duration = Duration::from_secs(2);

impl Names {
    /// Asks `server`, or the system's name servers.
    pub(super) fn new(server: Option<SocketAddr>, allow_private: bool) -> Result<Self> {
        let mut builder = match server {
            Some(server) => {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                let connections = connections.map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                let server = NameServerConfig::new(server.ip(), true, connections.into());
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
            None => TokioResolver::builder_tokio().unwrap_or_else(|error| {
                // Gates are served all the same; whoever is to be reached outside is not.
                tracing::warn!(%error, "the system's name servers are not known: give --dns-server");
                let none = ResolverConfig::from_name_servers(Vec::new());
                TokioResolver::builder_with_config(none, TokioRuntimeProvider::default())
            }),
        };
        set(builder.options_mut());
        let resolver = builder.build().context("names cannot be looked up")?;
        Ok(Names { resolver, allow_private })
    }

    /// The addresses of a name, all of which may be connected to.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let found = self
            .resolver
            .lookup_ip(absolute(host))
            .await
            .map_err(|error| format!("{host:.253} has no address: {error}"))?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        match addresses.iter().find(|address| !self.allow_private && !is_global(**address)) {
            Some(inside) => Err(format!(
                "{host:.253} has the address {inside}, which is not of the public Internet; \
                 --allow-private-addresses would reach it"
            )),
            None => Ok(addresses),
        }
    }

    /// The texts of the TXT records of a name, each with its strings joined.
    pub(super) async fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let found = self
            .resolver
            .lookup(absolute(name), RecordType::TXT)
            .await
            .map_err(|error| format!("{name:.253} has no TXT record: {error}"))?;
        let texts = found.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
            _ => None,
        });
        Ok(texts.collect())
    }
}

fn set(options: &mut ResolverOpts) {
    options.timeout = ATTEMPT;
    options.attempts = 2;
    // Who has just set a record is not told of what was there before.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
}

/// With its dot at the end no search domain is added to a name.
fn absolute(host: &str) -> String {
    format!("{}.", host.trim_end_matches('.'))
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.clone();
        Box::pin(async move {
            let addresses = names.addresses(name.as_str()).await?;
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
