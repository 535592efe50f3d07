//! A real control service on loopback: started, waited for, and ended by its own pid.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::children::Running;
use crate::envoy::tail;
use crate::http::{Request, Response};
use crate::net;

/// Makes of each function of a `database: Option<&str>` two tests: on SQLite, for which it
/// is `None`, and on a new database of the PostgreSQL that `DATABASE_URL` names. Without
/// one, that test counts as skipped, and says so.
#[macro_export]
macro_rules! on_every_database {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[test]
            fn on_sqlite() {
                super::$name(None);
            }

            #[test]
            fn on_postgresql() {
                if let Some(url) = $crate::postgres::for_test(concat!(stringify!($name), " on PostgreSQL")) {
                    super::$name(Some(&url));
                }
            }
        })+
    };
}

/// How a service is to be started. Started again from the same, it is the same service.
#[derive(Clone, Debug)]
pub struct Control {
    /// `portcullis-control`.
    pub program: PathBuf,
    /// The database's URL.
    pub database: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its log.
    pub log: PathBuf,
    /// Options of `serve` beside these.
    pub options: Vec<String>,
    /// Variables in the environment of `serve` beside those of this process.
    pub environment: Vec<(String, String)>,
}

/// A running service.
pub struct Service {
    process: Running,
    /// Where it listens.
    pub address: SocketAddr,
    /// An API key that may do everything.
    pub key: String,
    log: PathBuf,
}

impl Control {
    /// A service of its own, with its log in `folder` and, unless a PostgreSQL `database`
    /// is given, its database too.
    ///
    /// # Errors
    /// No free port.
    pub fn in_folder(program: &Path, folder: &Path, database: Option<&str>) -> Result<Self> {
        let [address] = net::free()?;
        Ok(Control {
            program: program.to_owned(),
            database: database
                .map_or_else(|| format!("sqlite:{}", folder.join("control.db").display()), str::to_owned),
            address,
            log: folder.join("control.log"),
            // A test makes more requests in a second than any person.
            options: vec!["--rate".to_owned(), "100000".to_owned()],
            environment: Vec::new(),
        })
    }

    /// The same with further options.
    #[must_use]
    pub fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|option| (*option).to_owned()));
        self
    }

    /// The same with further variables.
    #[must_use]
    pub fn with_environment(mut self, variables: &[(&str, &str)]) -> Self {
        self.environment.extend(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        self
    }

    /// Makes an API key that may do everything.
    ///
    /// # Errors
    /// What the program said.
    pub fn make_key(&self) -> Result<String> {
        let output = self.command("api-key").output().context("cannot run the control service")?;
        if !output.status.success() {
            bail!("no API key could be made: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Makes a link that signs in at the console of the service at [`Control::address`], once.
    ///
    /// # Errors
    /// What the program said.
    pub fn console_link(&self, minutes: u32) -> Result<String> {
        let mut command = self.command("console-link");
        command.args(["--url", &format!("http://{}", self.address), "--minutes", &minutes.to_string()]);
        let output = command.output().context("cannot run the control service")?;
        if !output.status.success() {
            bail!("no link could be made: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Makes an API key, starts the service, and waits until it is ready.
    ///
    /// # Errors
    /// What failed, and the log's end.
    pub fn start(&self) -> Result<Service> {
        let key = self.make_key()?;
        self.start_with_key(&key)
    }

    /// As [`Control::start`], with an API key that was made before.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn start_with_key(&self, key: &str) -> Result<Service> {
        let output = File::options().create(true).append(true).open(&self.log)?;
        let mut command = self.command("serve");
        command.args(["--listen", &self.address.to_string()]).args(&self.options);
        command.envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let process = Running::start(&mut command, "the control service")?;
        let service = Service { process, address: self.address, key: key.to_owned(), log: self.log.clone() };
        service.wait_until_ready(self.options.iter().any(|option| option == "--tls-cert"))?;
        Ok(service)
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(what).args(["--database", &self.database]);
        if self.database.starts_with("postgres") {
            // One for all services of a test run: they may share a database.
            command.env("PORTCULLIS_MASTER_KEY", "cG9ydGN1bGxpcyB0ZXN0cyBvbmx5LCAzMiBieXRlcyE=");
        }
        command
    }
}

impl Service {
    /// The base of its URLs.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.process.pid
    }

    /// A request with the API key and a JSON body, if one is given.
    ///
    /// # Errors
    /// No answer.
    pub fn call(&self, method: &str, path: &str, body: Option<&str>) -> Result<Response> {
        self.request(method, path, body).send(self.address)
    }

    /// The same, and waits longer than the service lets anybody wait.
    ///
    /// # Errors
    /// No answer.
    pub fn call_patiently(&self, method: &str, path: &str, body: Option<&str>) -> Result<Response> {
        self.request(method, path, body).send_within(self.address, FETCH_DEADLINE)
    }

    fn request(&self, method: &str, path: &str, body: Option<&str>) -> Request {
        let mut request = Request::new(method, path);
        request.headers.push(("authorization".to_owned(), format!("Bearer {}", self.key)));
        request.headers.push(("content-type".to_owned(), "application/json".to_owned()));
        request.body = body.unwrap_or_default().as_bytes().to_vec();
        request
    }

    /// Writes the answer to a GET with the API key to a file, however long it is. An answer that
    /// is broken off is not noticed.
    ///
    /// # Errors
    /// No answer, or another status than 200.
    pub fn fetch(&self, path: &str, file: &Path) -> Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(FETCH_DEADLINE))?;
        // In HTTP/1.0 a body of unknown length ends with the connection (RFC 1945 section 7.2.2).
        let (host, key) = (self.address, &self.key);
        write!(stream, "GET {path} HTTP/1.0\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\r\n")?;
        let mut answer = BufReader::new(stream);
        let mut status = String::new();
        answer.read_line(&mut status)?;
        ensure!(status.contains(" 200 "), "{path}: {}", status.trim_end());
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            ensure!(answer.read_line(&mut line)? > 0, "{path}: the answer ended inside its headers");
        }
        std::io::copy(&mut answer, &mut File::create(file)?)?;
        Ok(())
    }

    /// Ends it at once, as a crash would: nothing is asked or told.
    pub fn kill(self) {
        drop(self);
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// It has not within ten seconds, or not with success.
    pub fn end(self) -> Result<()> {
        let status = Command::new("kill").args(["-TERM", &self.process.pid.to_string()]).status()?;
        if !status.success() {
            bail!("the control service has ended already");
        }
        let began = Instant::now();
        while began.elapsed() < END_DEADLINE {
            match self.process.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the control service ended with {status}:\n{}", tail(&self.log)),
                None => std::thread::sleep(POLL),
            }
        }
        bail!("the control service did not end:\n{}", tail(&self.log))
    }

    fn wait_until_ready(&self, is_tls: bool) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_DEADLINE {
            if let Some(status) = self.process.ended()? {
                bail!("the control service did not start ({status}):\n{}", tail(&self.log));
            }
            let ready = if is_tls {
                TcpStream::connect(self.address).is_ok()
            } else {
                Request::new("GET", "/readyz").send(self.address).is_ok_and(|answer| answer.status == 200)
            };
            if ready {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        bail!("the control service was not ready within {} s:\n{}", START_DEADLINE.as_secs(), tail(&self.log))
    }
}

/// A start takes a fraction of a second; a busy machine gets a minute.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Requests that wait are given five seconds to end; a busy machine gets half a minute.
const END_DEADLINE: Duration = Duration::from_secs(30);

/// Between two pieces of an answer; a busy machine may take seconds to its first.
const FETCH_DEADLINE: Duration = Duration::from_secs(60);

/// Short beside the time that a start takes.
const POLL: Duration = Duration::from_millis(20);
