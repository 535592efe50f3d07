//! The embedded gate: HTTP/1.1 in, through the plugin, HTTP/1.1 out.
//!
//! Each worker is a thread with a VM of its own, as in Envoy. It fails closed:
//! while a worker has no living VM it answers 503. What it does not do: TLS,
//! HTTP/2, upgrades, calls of the plugin to other services.

mod exchange;
mod limits;
mod message;
mod response_body;
mod worker;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::thread;

use clap::Parser;
use portcullis_harness::{Host, HostProfile, LogLevel, Plugin};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A small reverse proxy that lets the Portcullis plugin judge every request.
#[derive(Parser)]
#[command(name = "portcullis-gate", version = VERSION.as_str())]
pub(crate) struct Options {
    /// The plugin, such as target/portcullis.wasm
    #[arg(long, value_name = "FILE")]
    wasm: PathBuf,
    /// The plugin's configuration, a JSON file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:10000")]
    listen: SocketAddr,
    /// Where admitted requests go
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:10001")]
    upstream: SocketAddr,
    /// How many threads, each with a VM
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=limits::MOST_WORKERS))]
    workers: u16,
}

/// The version, and the commit that a release was made of, which `cargo xtask dist` tells.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("PORTCULLIS_COMMIT").unwrap_or("unknown");
    format!("{} (commit {commit})", env!("CARGO_PKG_VERSION"))
});

/// Runs until SIGTERM or ctrl-c. Errors are for the person who started it.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let config = std::fs::read(&options.config)
        .map_err(|e| format!("cannot read the configuration {}: {e}", options.config.display()))?;
    let plugin = Plugin::from_file(&options.wasm).map_err(|e| e.to_string())?;
    let profile = HostProfile { held_body_limit: limits::HELD_BODY, ..HostProfile::envoy() };
    let host = Host::new(&plugin, profile)
        .configuration(config)
        .clusters(&[])
        .trace_limit(0)
        .log_to(LogLevel::Info, |level, message| eprintln!("{level}: {message}"))
        .for_real();

    let mut vms = Vec::new();
    for _ in 0..options.workers {
        // What the plugin has to say about its configuration it has logged.
        vms.push(host.start().map_err(|e| e.to_string())?);
    }
    let listener = listen(options.listen)?;
    let address = listener.local_addr().map_err(|e| format!("no local address: {e}"))?;
    let (stop, stopped) = watch::channel(false);

    let mut threads = Vec::new();
    for vm in vms {
        let listener = listener.try_clone().map_err(|e| format!("cannot share the listener: {e}"))?;
        let (host, stopped, upstream) = (host.clone(), stopped.clone(), options.upstream);
        threads.push(thread::spawn(move || worker::run(host, vm, listener, upstream, stopped)));
    }
    drop(listener);
    println!(
        "portcullis-gate: ready on {address}, upstream {}, workers {}",
        options.upstream, options.workers
    );

    wait_for_signal()?;
    // A worker that is gone already needs no telling.
    let _ = stop.send(true);
    for thread in threads {
        thread.join().map_err(|_| "a worker ended badly".to_owned())??;
    }
    Ok(())
}

fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address).map_err(|e| format!("cannot listen on {address}: {e}"))?;
    listener.set_nonblocking(true).map_err(|e| format!("cannot listen on {address}: {e}"))?;
    Ok(listener)
}

fn wait_for_signal() -> Result<(), String> {
    let failed = |e| format!("cannot wait for signals: {e}");
    let runtime = runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(failed),
        }
    })
}
