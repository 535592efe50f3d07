//! The tour: a few requests that show what the gate is for, each with what must
//! come of it.

mod scenes;
mod wallet;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::time::Duration;
use xtask::control::Service;
use xtask::live_gate;

pub(crate) use wallet::Wallet;

use crate::echo::Upstream;
use crate::gate::Gate;
use crate::http::{Request, Response};
use scenes::{Expect, REVOKED, SCENES, Scene};

/// Plays every scene that the wallet holds the credential for, and prints it.
/// `true` if all came out as the tour says.
pub(crate) fn play(
    gate: &Gate,
    upstream: &Upstream,
    wallet: &Wallet,
    service: Option<&Service>,
) -> Result<bool> {
    println!();
    let mut played: u32 = 0;
    let mut wrong: u32 = 0;
    let revoked = service.map(|_| &REVOKED);
    for scene in SCENES.iter().chain(revoked) {
        let Some(request) = prepare(scene, wallet) else {
            continue;
        };
        if let Some(service) = service.filter(|_| std::ptr::eq(scene, &REVOKED)) {
            revoke(service, wallet)?;
        }
        let before = upstream.served();
        let answer = request
            .send(gate.listen())
            .with_context(|| format!("the scene `{}`; see {}", scene.title, gate.log().display()))?;
        let outcome = Outcome::of(&answer, upstream.served() > before);
        let faults = outcome.faults(&scene.expect);
        played = played.saturating_add(1);
        println!("{played:>2}. {}", scene.title);
        println!("    {} {}{}", scene.method, scene.path, shown_headers(scene, wallet));
        println!("    → {}", outcome.described());
        if faults.is_empty() {
            println!("    as expected: {}", scene.expect.described());
        } else {
            wrong = wrong.saturating_add(1);
            println!("    EXPECTED {}", scene.expect.described());
            for fault in faults {
                println!("    BUT {fault}");
            }
        }
    }
    println!("\n{played} requests, {wrong} not as the tour says");
    Ok(wrong == 0 && played > 0)
}

/// Revokes the good passport, and waits as long as that may take at most.
fn revoke(service: &Service, wallet: &Wallet) -> Result<()> {
    let (issuer, id) = wallet.passport("good")?;
    let body = json!({"kind": "passport", "issuer": issuer, "ids": [id], "reason": "the tour"});
    live_gate::call(service, "POST", "/api/v1/revocations", &body)?;
    println!("    (the control service is told: revoke {id})");
    std::thread::sleep(Duration::from_secs(1));
    Ok(())
}

/// The scene's request; none if its credential belongs to another host.
fn prepare(scene: &Scene, wallet: &Wallet) -> Option<Request> {
    let mut request = Request::new(scene.method, scene.path);
    if let Some(name) = scene.credential {
        let (header, value) = wallet.credential(name)?;
        request.headers.push((header.to_owned(), value.to_owned()));
    }
    for (name, value) in scene.headers {
        request.headers.push(((*name).to_owned(), (*value).to_owned()));
    }
    Some(request)
}

fn shown_headers(scene: &Scene, wallet: &Wallet) -> String {
    let shown = |name: &str| wallet.credential(name).map(|(header, _)| format!("  {header}: ({name})"));
    let credential = scene.credential.and_then(shown);
    let others = scene.headers.iter().map(|(name, value)| format!("  {name}: {value}"));
    credential.into_iter().chain(others).collect()
}

/// What came of one request.
struct Outcome {
    status: u16,
    reason: Option<String>,
    /// The headers that the upstream saw, if the request arrived there.
    upstream: Option<Vec<(String, String)>>,
}

impl Outcome {
    fn of(answer: &Response, arrived: bool) -> Self {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let reason = body.get("reason_code").and_then(Value::as_str);
        let seen = body.get("headers").and_then(Value::as_array);
        let upstream = arrived.then(|| {
            seen.into_iter()
                .flatten()
                .filter_map(|pair| {
                    let name = pair.get(0)?.as_str()?.to_ascii_lowercase();
                    Some((name, pair.get(1)?.as_str()?.to_owned()))
                })
                .collect()
        });
        Self { status: answer.status, reason: reason.map(str::to_owned), upstream }
    }

    fn described(&self) -> String {
        let status = self.status;
        let Some(headers) = &self.upstream else {
            let reason = self.reason.as_deref().unwrap_or("no reason code");
            return format!("{status} {reason}; the upstream saw nothing");
        };
        let identity: String = headers
            .iter()
            .filter(|(name, _)| {
                name.starts_with("x-gate-") || name.starts_with("x-capiscio-") || name == "agent-passport"
            })
            .map(|(name, value)| match name.as_str() {
                // A credential is not for showing.
                "agent-passport" | "x-capiscio-badge" | "x-capiscio-jws" => {
                    format!("\n        {name} ({} bytes)", value.len())
                }
                _ => format!("\n        {name}: {value}"),
            })
            .collect();
        if identity.is_empty() {
            format!("{status}; the upstream saw no identity")
        } else {
            format!("{status}; the upstream saw{identity}")
        }
    }

    /// Every way in which this is not what was expected.
    fn faults(&self, expect: &Expect) -> Vec<String> {
        let mut faults = Vec::new();
        if self.status != expect.status() {
            faults.push(format!("the status is {}", self.status));
        }
        match expect {
            Expect::Refused { reason, .. } => {
                if self.upstream.is_some() {
                    faults.push("the request reached the upstream".to_owned());
                }
                // A refusal by Envoy itself carries no reason code.
                if self.reason.is_some() && self.reason.as_deref() != *reason {
                    faults.push(format!("the reason is {:?}", self.reason));
                }
                if self.reason.is_none() && self.status != 400 {
                    faults.push("there is no reason code".to_owned());
                }
            }
            Expect::Admitted { has, lacks } => match &self.upstream {
                None => faults.push("the request did not reach the upstream".to_owned()),
                Some(headers) => {
                    for (name, value) in *has {
                        let seen: Vec<_> = headers
                            .iter()
                            .filter(|(known, _)| known == name)
                            .map(|(_, value)| value.as_str())
                            .collect();
                        if seen != [*value] {
                            faults.push(format!("the upstream saw {name}: {seen:?}"));
                        }
                    }
                    for name in *lacks {
                        if headers.iter().any(|(known, _)| known == name) {
                            faults.push(format!("the upstream saw {name}"));
                        }
                    }
                }
            },
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMITTED: Expect = Expect::Admitted { has: &[("x-gate-tier", "1")], lacks: &["agent-passport"] };
    const REFUSED: Expect = Expect::Refused { status: 401, reason: Some("signature_invalid") };

    fn outcome(status: u16, reason: Option<&str>, upstream: Option<&[(&str, &str)]>) -> Outcome {
        Outcome {
            status,
            reason: reason.map(str::to_owned),
            upstream: upstream.map(|headers| {
                headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
            }),
        }
    }

    #[test]
    fn an_admission_needs_every_header_once_and_no_forbidden_one() {
        let faults = |headers: &[(&str, &str)]| outcome(200, None, Some(headers)).faults(&ADMITTED).len();
        assert_eq!(faults(&[("x-gate-tier", "1")]), 0);
        assert_eq!(faults(&[]), 1);
        assert_eq!(faults(&[("x-gate-tier", "1"), ("x-gate-tier", "3")]), 1);
        assert_eq!(faults(&[("x-gate-tier", "1"), ("agent-passport", "x")]), 1);
        assert_eq!(outcome(200, None, None).faults(&ADMITTED).len(), 1);
    }

    #[test]
    fn a_refusal_needs_its_reason_and_an_untouched_upstream() {
        let good = outcome(401, Some("signature_invalid"), None);
        assert!(good.faults(&REFUSED).is_empty());
        let other = outcome(401, Some("passport_expired"), None);
        assert_eq!(other.faults(&REFUSED).len(), 1);
        assert_eq!(outcome(401, None, None).faults(&REFUSED).len(), 1);
        let leaked = outcome(401, Some("signature_invalid"), Some(&[]));
        assert_eq!(leaked.faults(&REFUSED).len(), 1);
    }
}
