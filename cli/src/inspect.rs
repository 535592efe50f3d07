//! `portcullis inspect`.

use crate::credential::{self, Asked, Source};
use crate::output::{Answer, Lines, Verdict, shown};
use anyhow::{Context, Result};
use portcullis_core::Kind;
use portcullis_core::json;
use portcullis_core::modei::LIMITS;
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;

/// Show what a credential says of itself, without verifying it
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The credential, in any form that `verify` takes; `-` is standard input
    #[arg(value_name = "FILE|-")]
    credential: PathBuf,
}

/// Shows what a credential says of itself.
pub(crate) fn run(args: &Args, asked: Asked) -> Result<Answer> {
    let source = Source::read(&args.credential)?;
    let credential = source.credential()?;
    asked.check(&credential)?;
    let text = credential::text(&credential)?;
    let parse = |text: &[u8], what: &str| {
        serde_json::from_slice::<Value>(text)
            .with_context(|| format!("the {what} is no JSON; it may be cut off"))
    };
    let contents = parse(&text, "credential")?;
    let jwt_header =
        credential::jws_header(&credential)?.map(|header| parse(&header, "JWT's header")).transpose()?;
    let envelope = match credential.kind() {
        Kind::Passport => contents.get("passport_json").unwrap_or(&Value::Null),
        Kind::Badge | Kind::PassportJwt | Kind::SimpleGuard => &contents,
    };
    let is_passport = matches!(credential.kind(), Kind::Passport | Kind::PassportJwt);
    let view = View {
        kind: credential.kind().name(),
        verified: false,
        ambiguity: json::parse(&text, LIMITS).err().map(|error| error.to_string()),
        hops: if is_passport { hops(envelope) } else { Vec::new() },
        jwt_header,
        contents: &contents,
    };
    Answer::new(Verdict::Done, view.to_text(), &view)
}

#[derive(Serialize)]
struct View<'v> {
    kind: &'static str,
    verified: bool,
    /// Why a gate would not read it, where that is so: what is shown here may then not
    /// be what another reader sees.
    ambiguity: Option<String>,
    /// The passports of the chain, root first, and this one last.
    hops: Vec<Hop<'v>>,
    jwt_header: Option<Value>,
    contents: &'v Value,
}

/// One passport of the chain; null is what it does not say.
#[derive(Serialize)]
struct Hop<'v> {
    passport_id: &'v Value,
    agent_id: &'v Value,
    agent_name: &'v Value,
    issuer_type: &'v Value,
    issuer_id: &'v Value,
    issued_at: &'v Value,
    expires_at: &'v Value,
    delegation_authority: &'v Value,
    permissions: &'v Value,
}

impl View<'_> {
    fn to_text(&self) -> String {
        let mut lines =
            Lines::headed("UNVERIFIED   what the credential says of itself; `portcullis verify` checks it");
        let kind = match self.kind {
            "badge" => "CapiscIO Trust Badge",
            "simpleguard" => "SimpleGuard signature",
            "passport_jwt" => "Modei passport (JWT)",
            _ => "Modei passport",
        };
        lines.add("kind", kind);
        if let Some(header) = &self.jwt_header {
            lines.add("header", shown(&header.to_string()));
        }
        if matches!(self.kind, "badge" | "simpleguard") {
            lines.add("claims", shown(&self.contents.to_string()));
        }
        if let Some(ambiguity) = &self.ambiguity {
            lines.add("unreadable", format!("to a gate: {ambiguity}"));
        }
        if let Some(leaf) = self.hops.last() {
            leaf.describe(&mut lines);
        }
        if let [_, _, ..] = self.hops.as_slice() {
            self.draw_chain(&mut lines);
        }
        lines.into_text()
    }

    fn draw_chain(&self, lines: &mut Lines) {
        // Five may precede a passport; what is longer is refused, and its first few
        // show what it is. Deeper ones would only draw a wide triangle.
        const MAX_DRAWN: usize = 8;
        for (depth, hop) in self.hops.iter().take(MAX_DRAWN).enumerate() {
            let branch = match depth.checked_sub(1) {
                None => String::new(),
                Some(indent) => format!("{}└─ ", "   ".repeat(indent)),
            };
            let delegable =
                if hop.delegation_authority == &Value::Bool(true) { "" } else { ", not delegable" };
            lines.add(
                if depth == 0 { "chain" } else { "" },
                format!(
                    "{branch}{} for {}, until {}{delegable}",
                    said(hop.passport_id),
                    said(hop.agent_id),
                    said(hop.expires_at)
                ),
            );
        }
        if let Some(more) = self.hops.len().checked_sub(MAX_DRAWN).filter(|more| *more > 0) {
            lines.add("", format!("and {more} more"));
        }
    }
}

impl<'v> Hop<'v> {
    fn of(envelope: &'v Value) -> Self {
        let at = |pointer: &str| envelope.pointer(pointer).unwrap_or(&Value::Null);
        Hop {
            passport_id: at("/passport_id"),
            agent_id: at("/identity/agent_id"),
            agent_name: at("/identity/agent_name"),
            issuer_type: at("/provenance/issuer/type"),
            issuer_id: at("/provenance/issuer/id"),
            issued_at: at("/provenance/issued_at"),
            expires_at: at("/provenance/expires_at"),
            delegation_authority: at("/delegation_authority"),
            permissions: at("/permissions"),
        }
    }

    fn describe(&self, lines: &mut Lines) {
        lines.add("passport", said(self.passport_id));
        lines.add("agent", said(self.agent_id));
        if !self.agent_name.is_null() {
            lines.add("name", said(self.agent_name));
        }
        lines.add("issuer", format!("{} (of type {})", said(self.issuer_id), said(self.issuer_type)));
        lines.add("issued at", said(self.issued_at));
        lines.add("expires at", said(self.expires_at));
        lines.add("delegable", said(self.delegation_authority));
        // An honest passport has a few; the JSON form has them all.
        const MAX_LISTED: usize = 64;
        let permissions = self.permissions.as_array().map(Vec::as_slice).unwrap_or_default();
        for permission in permissions.iter().take(MAX_LISTED) {
            let key = permission.get("permission_key").unwrap_or(&Value::Null);
            let constraints = permission
                .get("constraints")
                .filter(|constraints| constraints.as_object().is_none_or(|members| !members.is_empty()));
            let constraints = constraints.map(|constraints| format!(" {}", shown(&constraints.to_string())));
            lines.add("claims", format!("{}{}", said(key), constraints.unwrap_or_default()));
        }
        if let Some(more) = permissions.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
            lines.add("", format!("and {more} more"));
        }
    }
}

fn hops(envelope: &Value) -> Vec<Hop<'_>> {
    let chain = envelope.pointer("/provenance/delegation_chain").and_then(Value::as_array);
    let links = chain.map(Vec::as_slice).unwrap_or_default().iter();
    let envelopes = links.map(|link| link.get("passport_json").unwrap_or(&Value::Null));
    envelopes.chain(std::iter::once(envelope)).map(Hop::of).collect()
}

/// A value as the credential has it.
fn said(value: &Value) -> String {
    match value {
        Value::Null => "(not said)".into(),
        Value::String(text) => shown(text),
        other => shown(&other.to_string()),
    }
}
