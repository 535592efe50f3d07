//! A gate that takes its trust material from a running control service.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::control::Service;
use crate::envoy::Envoy;
use crate::envoy_config::GateConfig;
use crate::http::Request;

/// What a proxy needs to run an enrolled gate.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// The gate's configuration: where its trust material comes from.
    pub config: String,
    /// The gate's own key, for the proxy's environment.
    pub key: String,
}

/// The variable in a proxy's environment that holds the gate's key.
pub const KEY_VARIABLE: &str = "PORTCULLIS_GATE_KEY";

/// Makes a gate in the service from a static configuration, and enrols it with `cli`. What
/// the program writes goes into `folder`.
///
/// # Errors
/// What the service or the program refuse.
pub fn enrol(service: &Service, cli: &Path, folder: &Path, gate: &GateConfig) -> Result<Enrolled> {
    let mut config: Value = serde_json::from_str(&gate.to_text())?;
    let members = config.as_object_mut().context("the gate configuration is no object")?;
    let profile = members.remove("profile").context("the gate configuration has no profile")?;
    let gate = members.remove("gate").context("the gate configuration has no gate")?;
    let id = gate.get("id").and_then(Value::as_str).context("the gate has no id")?.to_owned();
    let allow_self_issued = config.pointer("/trust/self_issued").is_some();
    let name = gate.get("name").cloned().unwrap_or_else(|| json!(id));
    let made =
        json!({"gate_id": id, "name": name, "profile": profile, "allow_self_issued": allow_self_issued});
    call(service, "POST", "/api/gates", &made)?;
    call(service, "PUT", &format!("/api/v1/gates/{id}/config"), &config)?;
    let token = call(service, "POST", &format!("/api/v1/gates/{id}/enrolment-tokens"), &json!({}))?;
    let token = token.get("token").and_then(Value::as_str).context("the service gives no token")?;

    let (env, file) = (folder.join(format!("{id}.env")), folder.join(format!("{id}.json")));
    let mut command = Command::new(cli);
    command.args(["gate", "enrol", "--force", "--service", &service.url(), "--token", token]);
    let output = command.arg("--env").arg(&env).arg("--config").arg(&file).output()?;
    if !output.status.success() {
        bail!("the gate cannot be enrolled: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let line = std::fs::read_to_string(&env)?;
    let key = line.trim().strip_prefix(KEY_VARIABLE).and_then(|rest| rest.strip_prefix('='));
    Ok(Enrolled {
        config: std::fs::read_to_string(&file)?,
        key: key.context("the program wrote no key")?.to_owned(),
    })
}

/// Waits until the gate in an Envoy has taken up what it decides by. An authority that is
/// none of its own is then what it refuses a request for.
///
/// # Errors
/// It has not within a minute; the end of Envoy's log.
pub fn wait_until_open(envoy: &Envoy) -> Result<()> {
    let began = Instant::now();
    // Each worker takes it up by itself; so many in a row are not all of one's.
    let mut open = 0_u32;
    while began.elapsed() < OPEN_DEADLINE {
        let answer = Request::new("GET", "/").send(envoy.listen);
        open = if answer.is_ok_and(|answer| answer.status != 503) { open.saturating_add(1) } else { 0 };
        if open >= 20 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("the gate took no trust material up; the end of its log:\n{}", envoy.log_tail())
}

/// A fetch takes some milliseconds, and a worker looks five times a second.
const OPEN_DEADLINE: Duration = Duration::from_secs(60);

/// Calls the service with the key that may do everything; gives the answer.
///
/// # Errors
/// An answer that is none of success.
pub fn call(service: &Service, method: &str, path: &str, body: &Value) -> Result<Value> {
    let answer = service.call(method, path, Some(&body.to_string()))?;
    if !(200..300).contains(&answer.status) {
        bail!("{method} {path}: {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    serde_json::from_slice(&answer.body).with_context(|| format!("{method} {path} answers no JSON"))
}
