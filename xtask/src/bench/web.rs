//! The web package beside what JavaScript has: one EdDSA token, verified in Node.js by the
//! package, by jose, and by WebCrypto alone, in one run.
//!
//! The package reads strict JSON, makes the canonical text, and judges chain, bindings and window;
//! the others check the one signature, natively.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use portcullis_core::modei::{Draft, self_issue};
use portcullis_core::{SecretKey, UnixTime, base64};
use serde_json::Value;

use super::report::{Report, Row};
use super::statistics::Spread;
use crate::workspace::Workspace;
use crate::{node, web};

const ROUNDS: &str = "11";
const TIMES: &str = "1000";

/// Measures, and reports the medians.
pub(crate) fn measure(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let package = web::build(workspace)?;
    let node = node::node(workspace)?;
    let agent = SecretKey::from_seed([7; 32]);
    let output = Command::new(node.program())
        .arg(workspace.root.join("xtask/src/bench/web.mjs"))
        .env("PACKAGE", package)
        .env("PACKAGES", node.packages())
        .env("TOKEN", token(&agent)?)
        .env("KEY", base64::encode(&agent.public_key()))
        .env("ROUNDS", ROUNDS)
        .env("TIMES", TIMES)
        .output()
        .context("cannot run Node.js")?;
    ensure!(output.status.success(), "no measure: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout)?;
    let found: Value = serde_json::from_str(said.lines().next_back().unwrap_or_default())?;
    for (variant, name) in
        [("portcullis", "web.verify"), ("jose", "web.jose"), ("webcrypto", "web.webcrypto")]
    {
        let times = found.get(variant).and_then(Value::as_array).context("a variant is missing")?;
        let median = Spread::of(times.iter().filter_map(Value::as_f64)).median;
        println!("{variant}: {median:.0} us");
        report.add(Row::new(name, median, "us"));
    }
    Ok(())
}

/// A passport that an agent signs itself, as a JWT.
fn token(agent: &SecretKey) -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH)?;
    let now = UnixTime::from_millis(i64::try_from(now.as_millis())?);
    let draft = Draft {
        passport_id: "pp_bench".to_owned(),
        agent_name: None,
        permissions: vec![("flights:search".to_owned(), portcullis_core::json::Object::default())],
        issued_at: now,
        expires_at: now.plus_millis(3_600_000),
        delegation_authority: false,
    };
    Ok(self_issue(agent, &draft).to_jwt(agent))
}
