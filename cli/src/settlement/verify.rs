//! `portcullis settlement verify`.

use crate::files::{self, is_standard};
use crate::output::{Answer, Lines, Verdict, shown};
use crate::receipts::keys::Keys;
use anyhow::{Context, Result};
use portcullis_core::json::{self, Limits, canonical_text};
use portcullis_core::live::hex;
use portcullis_core::receipt::{
    MAX_ATTACHMENT, Receipt, ReceiptError, ReceiptVerifier, SignedReceipt, WithBase,
};
use portcullis_core::{PublicKey, UnixTime, base64, sha256};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::{Path, PathBuf};

/// Recompute a settlement from its records: every signature, every cent
///
/// SUMMARY is what `GET /api/billing/{id}` answers, or the member `summary` of it; RECORDS what
/// `GET /api/billing/{id}/records` does. Believes only the keys in --keys. Which calls are free,
/// and why records are left out, the gate's catalogs and the service say: this counts them, and
/// shows that nothing is charged that was not signed for by both sides.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The settlement
    #[arg(value_name = "SUMMARY")]
    summary: PathBuf,
    /// Its records; `-` is standard input
    #[arg(value_name = "RECORDS|-")]
    records: PathBuf,
    /// The gate's attestation keys, as the service serves them
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
}

#[derive(Deserialize)]
struct Summary {
    typ: String,
    id: String,
    gate_id: String,
    agent_id: Option<String>,
    issuer_id: Option<String>,
    period_start: String,
    period_end: String,
    total_cost_cents: u64,
    total_platform_fee_cents: u64,
    total_transactions: u64,
    verified_count: u64,
    excluded_count: u64,
    exclusion_breakdown: BTreeMap<String, u64>,
    permission_breakdown: BTreeMap<String, Part>,
    outcome_breakdown: BTreeMap<String, Part>,
    agent_breakdown: Option<Vec<AgentPart>>,
    records_sha256: String,
    content_hash: String,
    signature: Signature,
}

#[derive(Deserialize)]
struct Signature {
    key_id: String,
    value: String,
}

#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
struct Part {
    transactions: u64,
    quantity: u64,
    cost_cents: u64,
    platform_fee_cents: u64,
    free_calls: u64,
    subscription_months: u64,
}

#[derive(Deserialize)]
struct AgentPart {
    issuer_id: String,
    agent_id: String,
    #[serde(flatten)]
    part: Part,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    base: String,
    charged_cents: u64,
    charged_fee_cents: u64,
    mark: Option<String>,
    receipt: String,
}

#[derive(Serialize)]
struct Verified {
    valid: bool,
    id: String,
    gate_id: String,
    records: u64,
    total_cost_cents: u64,
    total_platform_fee_cents: u64,
    free_calls: u64,
    subscription_months: u64,
    excluded: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Wrong {
    valid: bool,
    detail: String,
    /// The line of the records, from 1; null where it is the summary.
    line: Option<u64>,
}

/// Room for a summary of ten thousand agents, as text within JSON.
const MAX_SUMMARY: usize = 64 * 1024 * 1024;

/// The longest line: an attachment, and what is charged for it.
const MAX_LINE: usize = MAX_ATTACHMENT + 4096;

/// Records that are verified together: of lines of some kilobytes a few megabytes.
const PAGE: usize = 500;

const LIMITS: Limits = Limits { bytes: MAX_SUMMARY, depth: 4, values: 4_000_000 };

const DAY_MS: i64 = 86_400_000;

/// Verifies.
pub(super) fn run(args: &Args) -> Result<Answer> {
    let keys = Keys::read(&args.keys)?;
    let summary = read_summary(&args.summary)?;
    let mut sums = Sums::default();
    let mut line = 0;
    let judged = judge(args, &keys, &summary, &mut sums, &mut line);
    match judged {
        Err(Fault::Unusable(error)) => Err(error),
        Err(Fault::Wrong(detail)) => {
            let at = if line > 0 { format!("line {line}: ") } else { String::new() };
            let text = Lines::headed(format!("INVALID      {at}{}", shown(&detail))).into_text();
            Answer::new(
                Verdict::Refused,
                text,
                &Wrong { valid: false, detail, line: (line > 0).then_some(line) },
            )
        }
        Ok(summary) => {
            let verified = Verified {
                valid: true,
                id: summary.id,
                gate_id: summary.gate_id,
                records: summary.total_transactions,
                total_cost_cents: sums.total.cost_cents,
                total_platform_fee_cents: sums.total.platform_fee_cents,
                free_calls: sums.total.free_calls,
                subscription_months: sums.total.subscription_months,
                excluded: sums.excluded,
            };
            Answer::new(Verdict::Done, verified.to_text(), &verified)
        }
    }
}

/// Why a settlement is not verified.
enum Fault {
    /// Something is wrong with it.
    Wrong(String),
    /// It cannot be read.
    Unusable(anyhow::Error),
}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        Fault::Unusable(error)
    }
}

fn wrong<T>(detail: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Wrong(detail.into()))
}

/// The summary's text, by itself or in an answer of the service.
fn read_summary(path: &Path) -> Result<String> {
    let text = String::from_utf8(files::read(path, MAX_SUMMARY)?.bytes)
        .with_context(|| format!("{} is not text", path.display()))?;
    let value: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    Ok(match value.get("summary").and_then(Value::as_str) {
        Some(summary) => summary.to_owned(),
        None => text.trim().to_owned(),
    })
}

fn judge(args: &Args, keys: &Keys, text: &str, sums: &mut Sums, line: &mut u64) -> Result<Summary, Fault> {
    let summary = signed_summary(keys, text)?;
    let from = day(&summary.period_start)?;
    let to = day(&summary.period_end)?.saturating_add(DAY_MS);
    let source: Box<dyn Read> = if is_standard(&args.records) {
        Box::new(stdin())
    } else {
        let name = || format!("cannot read {}", args.records.display());
        Box::new(File::open(&args.records).with_context(name)?)
    };
    let mut source = BufReader::with_capacity(1024 * 1024, source);
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)
        .map_err(|error| anyhow::anyhow!("the system gives no randomness: {error}"))?;
    let mut verifier = ReceiptVerifier::new(secret);
    // Each turn takes lines of a file that has an end.
    loop {
        let records = page(&mut source)?;
        if records.is_empty() {
            break;
        }
        let verdicts = verdicts(&mut verifier, keys, &records);
        for (record, verdict) in records.iter().zip(verdicts) {
            *line = line.saturating_add(1);
            let Some(record) = record else { return wrong("is no record of a settlement") };
            sums.add(&summary, record, verdict, (from, to))?;
        }
    }
    *line = 0;
    sums.must_be(&summary)?;
    Ok(summary)
}

/// The next records, as many as are verified together; `None` for what is none. What cannot be read is
/// told once what came before it was judged.
fn page(source: &mut impl BufRead) -> Result<Vec<Option<Record>>> {
    let mut records = Vec::with_capacity(PAGE);
    while records.len() < PAGE {
        let mut bytes = Vec::new();
        let longest = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        let read = source.by_ref().take(longest).read_until(b'\n', &mut bytes);
        match read {
            Ok(0) => break,
            Err(_) if !records.is_empty() => break,
            read => read.context("the records cannot be read")?,
        };
        records.push(serde_json::from_slice(&bytes).ok());
    }
    Ok(records)
}

/// What a receipt says, and the passport at the root of its chain.
type Judged = Result<(Receipt, Option<String>), ReceiptError>;

/// Whether both sides have signed what is charged; `None` for what is not.
fn verdicts(verifier: &mut ReceiptVerifier, keys: &Keys, records: &[Option<Record>]) -> Vec<Option<Judged>> {
    let read = |record: &Record| {
        let signed = SignedReceipt::read(record.receipt.as_bytes())?;
        let key = keys.of(&signed)?.clone();
        Ok((signed, key))
    };
    let charged =
        |record: &Option<Record>| record.as_ref().filter(|record| record.reason().is_none()).map(read);
    let read: Vec<Option<Result<_, ReceiptError>>> = records.iter().map(charged).collect();
    let with_base: Vec<_> = read
        .iter()
        .zip(records)
        .filter_map(|(read, record)| {
            let (signed, key) = read.as_ref()?.as_ref().ok()?;
            Some(WithBase { signed, key, base: &record.as_ref()?.base })
        })
        .collect();
    let mut roots = verifier.verify(&with_base).into_iter();
    let mut judged = |(signed, _): (SignedReceipt, PublicKey)| {
        let root = roots.next().unwrap_or(Err(ReceiptError::SignatureInvalid))?;
        Ok((signed.receipt, root))
    };
    read.into_iter().map(|read| read.map(|read| read.and_then(&mut judged))).collect()
}

/// The summary, once its hash and its signature hold.
fn signed_summary(keys: &Keys, text: &str) -> Result<Summary, Fault> {
    let value = json::parse(text.as_bytes(), LIMITS);
    let value = value.map_err(|error| anyhow::anyhow!("the summary is no strict JSON: {error}"))?;
    let summary: Summary = serde_json::from_str(text).context("the summary is not of its form")?;
    if summary.typ != "settlement" {
        return wrong("the summary is no settlement");
    }
    if canonical_text(&value) != text {
        return wrong("the summary's text is not the canonical one (RFC 8785)");
    }
    let object = value.as_object().context("the summary is no object")?;
    let mut content = json::Object::default();
    for (name, member) in object.iter().filter(|(name, _)| !["content_hash", "signature"].contains(name)) {
        content.set(name, member.clone());
    }
    let signed = canonical_text(&content.into());
    if hex(&sha256(signed.as_bytes())) != summary.content_hash {
        return wrong("content_hash is the hash of another summary");
    }
    let Some(key) = keys.of_service(&summary.signature.key_id) else {
        return wrong("the summary is signed by a key that is not the service's among --keys");
    };
    let value = base64::decode_url(&summary.signature.value).and_then(|bytes| bytes.try_into().ok());
    if !value.is_some_and(|value| key.verify(signed.as_bytes(), &value)) {
        return wrong("the summary's signature does not hold");
    }
    Ok(summary)
}

fn day(text: &str) -> Result<i64, Fault> {
    match UnixTime::from_rfc3339(&format!("{text}T00:00:00Z")) {
        Some(time) => Ok(time.as_millis()),
        None => wrong("the summary's period is none"),
    }
}

/// Sums of the records.
#[derive(Default)]
struct Sums {
    total: Part,
    excluded: BTreeMap<String, u64>,
    permissions: BTreeMap<String, Part>,
    outcomes: BTreeMap<String, Part>,
    agents: BTreeMap<(String, String), Part>,
    /// Issuers, passports at the root, actions and months whose price was charged.
    months: HashSet<[String; 4]>,
    /// What agents signed, by the first half of its hash: each pays for one receipt.
    proofs: HashSet<[u8; 16]>,
    last: Option<(i64, String)>,
    chain: [u8; 32],
}

impl Record {
    /// The reason for which it is not charged, and no allowance is.
    fn reason(&self) -> Option<&str> {
        self.mark.as_deref().filter(|mark| !["free", "subscription"].contains(mark))
    }
}

impl Sums {
    fn add(
        &mut self,
        summary: &Summary,
        record: &Record,
        judged: Option<Judged>,
        (from, to): (i64, i64),
    ) -> Result<(), Fault> {
        self.link(record);
        if let Some(reason) = record.reason() {
            let count = self.excluded.entry(reason.to_owned()).or_default();
            *count = count.saturating_add(1);
            return if record.charged_cents == 0 && record.charged_fee_cents == 0 {
                Ok(())
            } else {
                wrong("is left out and charged all the same")
            };
        }
        let (receipt, root) = match judged.unwrap_or(Err(ReceiptError::SignatureInvalid)) {
            Ok(judged) => judged,
            Err(error) => return wrong(error.to_string()),
        };
        let agent = &receipt.agent;
        if receipt.gate_id != summary.gate_id
            || summary.agent_id.as_ref().is_some_and(|id| *id != agent.agent_id)
            || summary.issuer_id.as_ref().is_some_and(|id| *id != agent.issuer_id)
        {
            return wrong("is of another gate, or of another agent");
        }
        let at = receipt.issued_at.as_millis();
        if at < from || at >= to {
            return wrong("is of another period");
        }
        // In their order no receipt is there twice.
        let place = (at, receipt.receipt_id());
        if self.last.as_ref().is_some_and(|last| *last >= place) {
            return wrong("does not follow on the record before it");
        }
        self.last = Some(place);
        let proof = receipt.proof.base_sha256.first_chunk().copied().unwrap_or_default();
        if !self.proofs.insert(proof) {
            return wrong("is charged for what the agent signed once, and an earlier record is charged for");
        }
        // Where the agent's word names no chain, the passport stands for its root.
        let root = root.unwrap_or_else(|| agent.passport_id.clone());
        let charged = self.charged(&receipt, root, record.mark.as_deref())?;
        if charged != (record.charged_cents, record.charged_fee_cents) {
            return wrong("is charged with another sum than its receipt says");
        }
        let one = Part {
            transactions: 1,
            quantity: receipt.charge.quantity(),
            cost_cents: charged.0,
            platform_fee_cents: charged.1,
            free_calls: u64::from(record.mark.as_deref() == Some("free")),
            subscription_months: u64::from(record.mark.as_deref() == Some("subscription")),
        };
        self.total.add(&one);
        self.permissions.entry(receipt.action.clone()).or_default().add(&one);
        self.outcomes.entry(receipt.outcome.name().to_owned()).or_default().add(&one);
        self.agents.entry((agent.issuer_id.clone(), agent.agent_id.clone())).or_default().add(&one);
        Ok(())
    }

    /// What is to be charged for a receipt that is marked so.
    fn charged(&mut self, receipt: &Receipt, root: String, mark: Option<&str>) -> Result<(u64, u64), Fault> {
        let charge = &receipt.charge;
        match mark {
            None => Ok((charge.total_cents(), charge.fee_cents())),
            Some("subscription") => {
                let month: String = receipt.issued_at.to_iso().chars().take(7).collect();
                let model = charge.rate().price.model.name();
                let place = [receipt.agent.issuer_id.clone(), root, receipt.action.clone(), month];
                if model != "subscription" || !receipt.outcome.is_charged() || !self.months.insert(place) {
                    return wrong("is charged with a month that it does not begin");
                }
                let cents = charge.rate().price.cents;
                Ok((cents, charge.rate().fee_of(cents)))
            }
            Some(_) => Ok((0, 0)),
        }
    }

    fn link(&mut self, record: &Record) {
        let mark = record.mark.as_ref().map_or(Value::Null, |mark| Value::from(mark.as_str()));
        let hash = hex(&sha256(record.receipt.as_bytes()));
        let (cents, fee) = (record.charged_cents, record.charged_fee_cents);
        let line = format!(
            "{{\"charged_cents\":{cents},\"charged_fee_cents\":{fee},\"mark\":{mark},\"receipt_sha256\":\"{hash}\"}}"
        );
        self.chain = sha256(&[&self.chain, line.as_bytes()].concat());
    }

    /// That this is what was signed.
    fn must_be(&self, summary: &Summary) -> Result<(), Fault> {
        let excluded = self.excluded.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let mut outcomes = summary.outcome_breakdown.clone();
        outcomes.retain(|_, part| *part != Part::default());
        let agents = summary.agent_breakdown.as_ref().is_none_or(|told| {
            let told =
                told.iter().map(|one| ((one.issuer_id.clone(), one.agent_id.clone()), one.part.clone()));
            told.collect::<BTreeMap<_, _>>() == self.agents
        });
        for (what, holds) in [
            (
                "records_sha256: these are not the records that it is of",
                hex(&self.chain) == summary.records_sha256,
            ),
            ("total_cost_cents", self.total.cost_cents == summary.total_cost_cents),
            ("total_platform_fee_cents", self.total.platform_fee_cents == summary.total_platform_fee_cents),
            ("verified_count", self.total.transactions == summary.verified_count),
            ("excluded_count", excluded == summary.excluded_count),
            (
                "total_transactions",
                self.total.transactions.saturating_add(excluded) == summary.total_transactions,
            ),
            ("exclusion_breakdown", self.excluded == summary.exclusion_breakdown),
            ("permission_breakdown", self.permissions == summary.permission_breakdown),
            ("outcome_breakdown", self.outcomes == outcomes),
            ("agent_breakdown", agents),
        ] {
            if !holds {
                return wrong(format!("the records do not come to the summary: {what}"));
            }
        }
        Ok(())
    }
}

impl Part {
    /// No file has receipts enough to reach the end of these.
    fn add(&mut self, other: &Part) {
        for (sum, one) in [
            (&mut self.transactions, other.transactions),
            (&mut self.quantity, other.quantity),
            (&mut self.cost_cents, other.cost_cents),
            (&mut self.platform_fee_cents, other.platform_fee_cents),
            (&mut self.free_calls, other.free_calls),
            (&mut self.subscription_months, other.subscription_months),
        ] {
            *sum = sum.saturating_add(one);
        }
    }
}

impl Verified {
    fn to_text(&self) -> String {
        let mut lines =
            Lines::headed(format!("VALID        {} records add up to {}", self.records, shown(&self.id)));
        lines.add("gate", shown(&self.gate_id));
        lines.add("cents", self.total_cost_cents.to_string());
        lines.add("fees", self.total_platform_fee_cents.to_string());
        lines.add("free calls", self.free_calls.to_string());
        lines.add("months", self.subscription_months.to_string());
        for (reason, count) in &self.excluded {
            lines.add("left out", format!("{count} {}", shown(reason)));
        }
        lines.into_text()
    }
}
