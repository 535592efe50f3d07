//! `portcullis-control`: the control service.

use anyhow::Result;
use clap::Parser;
use portcullis_control::settings::{ApiKeyArgs, Cli, Command, LogFormat};
use portcullis_control::traces::Traces;
use portcullis_control::{auth, backup, console, db, mcp, reseal, server};
use std::collections::BTreeSet;
use std::process::ExitCode;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    // One implementation of TLS's cryptography, for what is served and what is fetched. It
    // fails only where one was installed before, and nobody did.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let format = match &cli.command {
        Command::Serve(settings) => settings.log_format,
        Command::ApiKey(_)
        | Command::Backup(_)
        | Command::ConsoleLink(_)
        | Command::Mcp(_)
        | Command::Restore(_)
        | Command::Reseal(_) => LogFormat::Text,
    };
    let is_service = matches!(cli.command, Command::Serve(_));
    let traces = if is_service { Traces::from_environment() } else { Ok(None) };
    start_log(format, traces.as_ref().ok().and_then(Option::as_ref));
    let ended = match traces {
        Ok(traces) => {
            let ended = run(cli.command).await;
            if let Some(traces) = traces {
                traces.end();
            }
            ended
        }
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve(settings) => server::serve(*settings).await,
        Command::ApiKey(args) => make_api_key(&args).await,
        Command::Backup(args) => backup::backup(&args).await,
        Command::ConsoleLink(args) => {
            println!("{}", console::link::make(&args).await?);
            Ok(())
        }
        Command::Mcp(args) => mcp::stdio::serve(&args).await,
        Command::Reseal(args) => reseal::reseal(&args).await,
        Command::Restore(args) => backup::restore(&args).await,
    }
}

/// Writes the new key to standard output, and nothing else.
async fn make_api_key(args: &ApiKeyArgs) -> Result<()> {
    let db = db::Db::open(&args.storage.database).await?;
    let scopes: BTreeSet<String> = if args.scopes.is_empty() {
        auth::SCOPES.iter().map(|scope| (*scope).to_owned()).collect()
    } else {
        args.scopes.iter().cloned().collect()
    };
    let mut tx = db.write().await?;
    let made =
        auth::create(&mut tx, &args.name, &scopes).await.map_err(|error| anyhow::anyhow!(error.message))?;
    tx.commit().await?;
    db.close().await;
    println!("{}", made.key);
    Ok(())
}

fn start_log(format: LogFormat, traces: Option<&Traces>) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,rmcp=error,sqlx=warn"));
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = match format {
        LogFormat::Text => log.with_filter(filter).boxed(),
        LogFormat::Json => log.json().with_filter(filter).boxed(),
    };
    tracing_subscriber::registry().with(log).with(traces.map(Traces::layer)).init();
}
