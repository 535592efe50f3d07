//! How the service is run: its command line, each option also by environment.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;

/// The control service of Portcullis.
#[derive(Debug, Parser)]
#[command(name = "portcullis-control", version = VERSION.as_str())]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commit that a release was made of, which `cargo xtask dist` tells; else `unknown`.
pub const COMMIT: &str = match option_env!("PORTCULLIS_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} (commit {COMMIT})", env!("CARGO_PKG_VERSION")));

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until told to end (SIGINT, SIGTERM)
    Serve(Box<Settings>),
    /// Make an API key without one, for the first of them
    ApiKey(ApiKeyArgs),
    /// Make a link that signs in at the console, once and soon
    ConsoleLink(ConsoleLinkArgs),
    /// Write everything but the master key into a file; the service may go on meanwhile
    Backup(BackupArgs),
    /// Read a backup into an empty database, of either kind
    Restore(RestoreArgs),
    /// Serve the tools of the Model Context Protocol on standard input and output, for a client
    /// that starts this program; they call a running service
    Mcp(McpArgs),
    /// Seal the signing keys under a new master key, while the service does not run
    Reseal(ResealArgs),
}

/// Where everything is kept.
#[derive(Args, Clone, Debug)]
pub struct Storage {
    /// sqlite:FILE, or postgres://USER:PASSWORD@HOST/NAME for several instances
    #[arg(
        long,
        env = "PORTCULLIS_DATABASE",
        default_value = "sqlite:portcullis-control.db",
        hide_env_values = true
    )]
    pub database: String,
    /// The file with the master key that seals signing keys: standard base64 of 32 bytes,
    /// mode 0600. Left out: PORTCULLIS_MASTER_KEY; else, beside a SQLite file, that file's
    /// name and `.key`, which is made if it does not exist
    #[arg(long, env = "PORTCULLIS_MASTER_KEY_FILE")]
    pub master_key_file: Option<PathBuf>,
}

/// `portcullis-control api-key`.
#[derive(Args, Debug)]
pub struct ApiKeyArgs {
    /// Where everything is kept
    #[command(flatten)]
    pub storage: Storage,
    /// What the key is for
    #[arg(long, default_value = "first")]
    pub name: String,
    /// What it may do; left out: everything
    #[arg(long = "scope")]
    pub scopes: Vec<String>,
}

/// `portcullis-control console-link`.
#[derive(Args, Debug)]
pub struct ConsoleLinkArgs {
    /// Where everything is kept
    #[command(flatten)]
    pub storage: Storage,
    /// The origin by which the browser reaches the service
    #[arg(long, env = "PORTCULLIS_CONSOLE_URL", default_value = "http://127.0.0.1:8700")]
    pub url: String,
    /// The id of the API key whose scopes the session has, and with which it ends. Left out:
    /// one is made that nobody holds, and revoked when the session is over
    #[arg(long, conflicts_with_all = ["name", "scopes"])]
    pub key: Option<String>,
    /// Who will use the link, as the audit shows it
    #[arg(long, default_value = "console")]
    pub name: String,
    /// What the session may do; left out: everything
    #[arg(long = "scope")]
    pub scopes: Vec<String>,
    /// Minutes until the link is good for nothing
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub minutes: u32,
}

/// `portcullis-control backup`.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// Where everything is kept
    #[command(flatten)]
    pub storage: Storage,
    /// The file to make
    #[arg(long)]
    pub to: PathBuf,
}

/// `portcullis-control restore`.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// Where everything is to be kept
    #[command(flatten)]
    pub storage: Storage,
    /// The file that `backup` made
    #[arg(long)]
    pub from: PathBuf,
}

/// `portcullis-control reseal`.
#[derive(Args, Debug)]
pub struct ResealArgs {
    /// Where everything is kept, and the former master key
    #[command(flatten)]
    pub storage: Storage,
    /// The file with the new master key, which is made if it does not exist
    #[arg(long)]
    pub new_master_key_file: PathBuf,
}

/// `portcullis-control mcp`.
#[derive(Args, Debug)]
pub struct McpArgs {
    /// The running service: https://HOST or http://HOST:PORT
    #[arg(long, env = "MODEI_API_URL", default_value = "http://127.0.0.1:8700")]
    pub url: String,
    /// The API key that the tools call with; better by environment, where others on this
    /// machine do not see it
    #[arg(long, env = "MODEI_API_KEY", hide_env_values = true)]
    pub key: String,
    /// Certificates in PEM that are trusted beside the public ones
    #[arg(long, env = "PORTCULLIS_EXTRA_CA")]
    pub extra_ca: Option<PathBuf>,
}

/// `portcullis-control serve`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Where everything is kept
    #[command(flatten)]
    pub storage: Storage,
    /// Where to listen
    #[arg(long, env = "PORTCULLIS_LISTEN", default_value = "127.0.0.1:8700")]
    pub listen: SocketAddr,
    /// The HTTPS origin by which others reach the service: the issuer of its badges
    #[arg(long, env = "PORTCULLIS_PUBLIC_URL", default_value = "https://control.portcullis.invalid")]
    pub public_url: String,
    /// A certificate chain in PEM; with it the service speaks TLS only
    #[arg(long, env = "PORTCULLIS_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM
    #[arg(long, env = "PORTCULLIS_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// How the log is written
    #[arg(long, env = "PORTCULLIS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Requests per second that one caller may make in the long run
    #[arg(long, env = "PORTCULLIS_RATE", default_value_t = 100, overrides_with = "rate")]
    pub rate: u32,
    /// Questions about nonces per second that one gate may ask in the long run, of its
    /// proxies together; and as many about spending
    #[arg(long, env = "PORTCULLIS_NONCE_RATE", default_value_t = 1000)]
    pub nonce_rate: u32,
    /// Nonces of one gate that are kept, about; a quarter of them for one agent key
    #[arg(long, env = "PORTCULLIS_MOST_NONCES", default_value_t = 1_000_000)]
    pub most_nonces: u32,
    /// Accounts of one gate whose spending is kept, about; a quarter of them of passports
    /// that agents sign for themselves
    #[arg(long, env = "PORTCULLIS_MOST_SPEND_ACCOUNTS", default_value_t = 100_000)]
    pub most_spend_accounts: u32,
    /// Batches of records per second that one gate may bring in the long run, of its
    /// proxies together; a batch has 256 records at most
    #[arg(long, env = "PORTCULLIS_RECORD_RATE", default_value_t = 100)]
    pub record_rate: u32,
    /// Days that records of decisions are kept, for gates that say nothing else; left out:
    /// for ever
    #[arg(long, env = "PORTCULLIS_KEEP_RECORDS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub keep_records: Option<u32>,
    /// Requests with wrong credentials per minute that one address may make
    #[arg(long, env = "PORTCULLIS_FAILED_RATE", default_value_t = 60)]
    pub failed_rate: u32,
    /// Seconds that a request may take, its arrival included; gates that wait get a minute
    /// more
    #[arg(long, env = "PORTCULLIS_REQUEST_SECONDS", default_value_t = 30)]
    pub request_seconds: u32,
    /// A host, or HOST:PORT, by which clients of the Model Context Protocol reach `/mcp`,
    /// beside the public URL's, the address listened on and loopback; may be repeated
    #[arg(long = "mcp-host", env = "PORTCULLIS_MCP_HOSTS", value_delimiter = ',')]
    pub mcp_hosts: Vec<String>,
    /// An origin, as in `https://console.example:443`, whose pages may call `/mcp` from a
    /// browser; may be repeated. Left out: none
    #[arg(long = "mcp-origin", env = "PORTCULLIS_MCP_ORIGINS", value_delimiter = ',')]
    pub mcp_origins: Vec<String>,
    /// How registries and domains of others are reached
    #[command(flatten)]
    pub outside: Outside,
}

/// How the service reaches hosts of others.
#[derive(Args, Clone, Debug, Default)]
pub struct Outside {
    /// The name server to ask; left out: the system's
    #[arg(long, env = "PORTCULLIS_DNS_SERVER")]
    pub dns_server: Option<SocketAddr>,
    /// Certificates in PEM that are trusted beside the public ones
    #[arg(long, env = "PORTCULLIS_EXTRA_CA")]
    pub extra_ca: Option<PathBuf>,
    /// Reach private and local addresses too. For tests and closed networks: whoever may
    /// name a domain can then make the service ask inside
    #[arg(long, env = "PORTCULLIS_ALLOW_PRIVATE_ADDRESSES")]
    pub allow_private_addresses: bool,
    /// Seconds between looks at a followed registry
    #[arg(long, env = "PORTCULLIS_FOLLOW_SECONDS", default_value_t = 30)]
    pub follow_seconds: u32,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object in each line.
    Json,
}
