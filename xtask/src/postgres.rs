//! A private PostgreSQL on loopback, from the system's packages, for the tests: made in
//! a folder of its own, ended by its own pid, and gone afterwards.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::children::Running;
use crate::{net, skipped, system_packages};

/// A running server with a database for tests to begin from.
pub struct Postgres {
    process: Running,
    folder: PathBuf,
    address: SocketAddr,
}

impl Postgres {
    /// Where the system's packages have put the server's programs, if they have.
    pub fn programs() -> Option<PathBuf> {
        folders()
            .into_iter()
            .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
    }

    /// Installs the server from the system's packages, where that is allowed.
    ///
    /// # Errors
    /// No `apt-get`, or no right to use it.
    pub fn install() -> Result<()> {
        system_packages::install("postgresql")
    }

    /// Makes a server's folder, starts it, and waits until it answers.
    ///
    /// # Errors
    /// What failed, and what the server said.
    pub fn start(programs: &Path) -> Result<Self> {
        let [address] = net::free()?;
        let folder = std::env::temp_dir().join(format!("portcullis-postgres-{}", address.port()));
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let data = folder.join("data");
        let user = User::find()?;
        user.own(&folder)?;
        let mut initdb = user.command(&programs.join("initdb"));
        initdb.arg("-D").arg(&data).args(["-A", "trust", "-U", "portcullis", "-E", "UTF8", "--no-sync"]);
        let output = initdb.current_dir(&folder).output().context("cannot run initdb")?;
        if !output.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let mut server = user.command(&programs.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(&folder).args(["-p", &address.port().to_string()]);
        // What the tests kill is the service, never the machine.
        server.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=400"]);
        let log = std::fs::File::create(folder.join("log"))?;
        server.current_dir(&folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let postgres = Postgres { process: Running::start(&mut server, "PostgreSQL")?, folder, address };
        postgres.wait_until_ready()?;
        Ok(postgres)
    }

    /// The URL of a database in it, whose user may make others.
    pub fn url(&self) -> String {
        format!("postgres://portcullis@{}/postgres", self.address)
    }

    fn wait_until_ready(&self) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_DEADLINE {
            if let Some(status) = self.process.ended()? {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                bail!("PostgreSQL did not start ({status}):\n{log}");
            }
            let ready = Command::new(client("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.address.port().to_string()])
                .status()
                .is_ok_and(|status| status.success());
            if ready {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        bail!("PostgreSQL did not answer within {} s", START_DEADLINE.as_secs())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.process.with(|child| {
            // An error means that it has already ended.
            let _ = child.kill();
            let _ = child.wait();
        });
        // Its own processes end by themselves once it has; what cannot be removed yet
        // is the system's to clean, being in its folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A new database for the test `name`, in the server that `DATABASE_URL` names. Without
/// one the test is written down as skipped.
///
/// # Panics
/// There is a server, and it makes no database: that is a failed test.
pub fn for_test(name: &str) -> Option<String> {
    let Ok(url) = std::env::var("DATABASE_URL") else {
        skipped::tell(name, "no PostgreSQL: DATABASE_URL is not set (`cargo xtask test` starts one)");
        return None;
    };
    match create_database(&url) {
        Ok(url) => Some(url),
        #[expect(clippy::panic, reason = "it is the test that fails")]
        Err(error) => panic!("no database for {name}: {error:#}"),
    }
}

/// Makes a database beside the one at `url`; gives its URL.
///
/// # Errors
/// There is no `psql`, or the server refuses.
pub fn create_database(url: &str) -> Result<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("portcullis_{}_{since}_{count}", std::process::id());
    let output = Command::new(client("psql"))
        .args(["-q", "-v", "ON_ERROR_STOP=1", "-c"])
        .arg(format!("CREATE DATABASE {name} TEMPLATE template0"))
        .arg(url)
        .output()
        .context("cannot run psql")?;
    if !output.status.success() {
        bail!("the server makes no database: {}", String::from_utf8_lossy(&output.stderr));
    }
    let (server, _) = url.rsplit_once('/').context("the URL names no database")?;
    Ok(format!("{server}/{name}"))
}

/// Where the system's packages put programs: on the PATH, and, as Debian keeps those of
/// each version apart, beside it.
fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    folders.extend(versions.map(|version| version.path().join("bin")));
    folders
}

/// A program that talks to servers. It need not lie where the server's own do.
fn client(name: &str) -> PathBuf {
    let found = folders().into_iter().map(|folder| folder.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| PathBuf::from(name))
}

/// Who runs the server: it refuses to be run by root.
enum User {
    Ourselves,
    Packaged,
}

/// The user that the packages make.
const PACKAGED: &str = "postgres";

impl User {
    fn find() -> Result<Self> {
        let output = Command::new("id").arg("-u").output().context("cannot run id")?;
        let is_root = output.stdout.trim_ascii() == b"0";
        Ok(if is_root { User::Packaged } else { User::Ourselves })
    }

    fn own(&self, folder: &Path) -> Result<()> {
        if let User::Packaged = self {
            let status =
                Command::new("chown").arg(PACKAGED).arg(folder).status().context("cannot run chown")?;
            if !status.success() {
                bail!("there is no user {PACKAGED} to run PostgreSQL, and root may not");
            }
        }
        Ok(())
    }

    /// setpriv becomes the program, and so has its pid.
    fn command(&self, program: &Path) -> Command {
        match self {
            User::Ourselves => Command::new(program),
            User::Packaged => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", PACKAGED, "--regid", PACKAGED, "--clear-groups", "--"]).arg(program);
                command
            }
        }
    }
}

/// A start takes a second; a busy machine gets a minute.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Short beside the time that a start takes.
const POLL: Duration = Duration::from_millis(50);
