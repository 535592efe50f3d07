//! `portcullis catalog verify`.

use crate::files;
use crate::gate::Reach;
use crate::output::{Answer, Lines, Verdict, shown};
use anyhow::Result;
use portcullis_core::catalog::{self, Believed, Permission};
use portcullis_core::spend::dollars;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Verify published catalogs: the hash of each, and its gate's signature
///
/// Takes a published catalog, or an answer of /api/discover with the catalogs of all services
/// that it tells of; those must say what was signed. Nobody is asked anything: whether a key
/// is the gate's is for you to know, from /api/gates/GATE/public or from the gate's operator,
/// and to give with --key.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The answer as a file, `-` for standard input, or where to get it
    #[arg(value_name = "FILE|URL|-")]
    source: String,
    /// The gate's key, in standard base64; each catalog must be signed by it
    #[arg(long, value_name = "BASE64")]
    key: Option<String>,
    /// Certificates in PEM by which the URL's host is trusted, instead of the public ones
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    valid: bool,
    reason_code: Option<&'static str>,
    /// What was found, where it is refused.
    detail: Option<String>,
    catalogs: Vec<Found>,
    /// How many services say the same as the catalogs.
    services: usize,
}

#[derive(Serialize)]
struct Found {
    gate_id: String,
    version: u64,
    published_at: String,
    content_hash: String,
    public_key: String,
    permissions: Vec<Offered>,
}

#[derive(Serialize)]
struct Offered {
    permission_key: String,
    pricing_model: Option<&'static str>,
    price_cents: Option<u64>,
    uptime_basis_points: Option<u64>,
    response_time_ms: Option<u64>,
}

/// A page of a hundred catalogs of 64 KiB, with what stands beside them.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Verifies published catalogs.
pub(super) fn run(args: &Args) -> Result<Answer> {
    let is_url = ["http://", "https://"].iter().any(|scheme| args.source.starts_with(scheme));
    let bytes = if is_url {
        Reach::at(&args.source, args.ca.clone()).fetch(MAX_BYTES)?
    } else {
        files::read_or_stdin(Path::new(&args.source), MAX_BYTES)?
    };
    match catalog::verify_answer(&bytes, args.key.as_deref()) {
        Ok(answer) => {
            let report = Report {
                valid: true,
                reason_code: None,
                detail: None,
                catalogs: answer.catalogs.iter().map(Found::of).collect(),
                services: answer.services,
            };
            let notes = match (&args.key, report.catalogs.is_empty()) {
                (None, false) => vec![
                    "the keys are those that came with the catalogs: compare them with the gates' own, or give --key"
                        .to_owned(),
                ],
                _ => Vec::new(),
            };
            Ok(Answer::new(Verdict::Done, report.text(), &report)?.noting(notes))
        }
        Err(refused) => {
            let report = Report {
                valid: false,
                reason_code: Some(refused.error.code()),
                detail: Some(refused.to_string()),
                catalogs: Vec::new(),
                services: 0,
            };
            Answer::new(Verdict::Refused, report.text(), &report)
        }
    }
}

impl Report {
    fn text(&self) -> String {
        if let (Some(code), Some(detail)) = (self.reason_code, &self.detail) {
            let mut lines = Lines::headed("refused");
            lines.add("reason", code);
            lines.add("found", shown(detail));
            return lines.into_text();
        }
        let mut text = match self.catalogs.len() {
            0 => "nothing is offered here\n".to_owned(),
            1 => "valid: 1 catalog\n".to_owned(),
            many => format!("valid: {many} catalogs\n"),
        };
        for found in &self.catalogs {
            text.push_str(&found.text());
        }
        text
    }
}

impl Found {
    fn of(believed: &Believed) -> Self {
        let catalog = &believed.catalog;
        Found {
            gate_id: catalog.gate_id.clone(),
            version: catalog.version,
            published_at: catalog.published_at.to_iso(),
            content_hash: believed.content_hash.clone(),
            public_key: believed.public_key.clone(),
            permissions: catalog.permissions.iter().map(Offered::of).collect(),
        }
    }

    fn text(&self) -> String {
        let mut lines = Lines::headed(format!("{} version {}", shown(&self.gate_id), self.version));
        lines.add("published", &self.published_at);
        lines.add("hash", &self.content_hash);
        lines.add("key", &self.public_key);
        for offered in &self.permissions {
            let price = match (offered.price_cents, offered.pricing_model) {
                (Some(cents), Some(model)) => format!("{} {model}", dollars(cents)),
                _ => "no price".to_owned(),
            };
            lines.add("offers", format!("{} {price}", shown(&offered.permission_key)));
        }
        lines.into_text()
    }
}

impl Offered {
    fn of(permission: &Permission) -> Self {
        let terms = &permission.terms;
        Offered {
            permission_key: permission.key.clone(),
            pricing_model: terms.price.map(|price| price.model.name()),
            price_cents: terms.price.map(|price| price.cents),
            uptime_basis_points: terms.uptime_basis_points,
            response_time_ms: terms.response_time_ms,
        }
    }
}
