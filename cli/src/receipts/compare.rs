//! `portcullis receipts compare`.

use super::keys::Keys;
use super::lines::{Line, Lines};
use crate::output::{self, Answer, Verdict, shown};
use anyhow::Result;
use portcullis_core::attestation::Hash;
use portcullis_core::receipt::{ReceiptError, SignedReceipt};
use portcullis_core::sha256;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// Compare the receipts of a gate's operator with those of an agent
///
/// Says which records differ, and whose signature proves what. OPERATOR has lines as
/// `GET /api/gates/{gate}/receipts` gives them; AGENT the same, with or without `base`, or the
/// values of `Agent-Receipt` that it was answered, one in a line. Believes only the keys in --keys.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The operator's receipts; `-` is standard input
    #[arg(value_name = "OPERATOR|-")]
    operator: PathBuf,
    /// The agent's receipts; `-` is standard input
    #[arg(value_name = "AGENT|-")]
    agent: PathBuf,
    /// The gate's attestation keys, as the service serves them
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
}

/// What one side has of a receipt.
#[derive(Clone, Serialize)]
struct Side {
    line: u64,
    /// What it comes to; null where only its id is known.
    total_cents: Option<u64>,
    fee_cents: Option<u64>,
    /// `valid`, or the code of what is wrong; null where only its id is known.
    gate_signature: Option<&'static str>,
    /// `valid`, `not_shown`, `proof_used` where an earlier receipt has it, or the code of what is
    /// wrong.
    agent_proof: &'static str,
    #[serde(skip)]
    text: Option<Hash>,
}

/// What is known of one receipt.
#[derive(Serialize)]
struct Finding {
    receipt_id: String,
    /// `only_operator`, `only_agent`, `differ` or `invalid`.
    kind: &'static str,
    operator: Option<Side>,
    agent: Option<Side>,
    /// What that proves.
    says: String,
}

/// All that a side has.
#[derive(Default, Serialize)]
struct Sums {
    receipts: u64,
    total_cents: u64,
    fee_cents: u64,
}

#[derive(Default, Serialize)]
struct Comparison {
    same: u64,
    differing: u64,
    only_operator: u64,
    only_agent: u64,
    invalid: u64,
    operator: Sums,
    agent: Sums,
    /// The first ten thousand.
    findings: Vec<Finding>,
    findings_left_out: u64,
}

/// Findings that are told one by one.
const MOST_FINDINGS: usize = 10_000;

const VALID: &str = "valid";
const NOT_SHOWN: &str = "not_shown";
const USED: &str = "proof_used";

type Sides = BTreeMap<String, Side>;

/// Compares.
pub(super) fn run(args: &Args) -> Result<Answer> {
    let keys = Keys::read(&args.keys)?;
    let mut found = Comparison::default();
    let operator = load(&args.operator, &keys, true, &mut found)?;
    let agent = load(&args.agent, &keys, false, &mut found)?;
    for (id, theirs) in &operator {
        match agent.get(id) {
            None => found.add(id, Some(theirs), None),
            Some(ours) => found.add(id, Some(theirs), Some(ours)),
        }
    }
    for (id, ours) in agent.iter().filter(|(id, _)| !operator.contains_key(*id)) {
        found.add(id, None, Some(ours));
    }
    let is_same =
        found.differing == 0 && found.only_operator == 0 && found.only_agent == 0 && found.invalid == 0;
    let verdict = if is_same { Verdict::Done } else { Verdict::Refused };
    Answer::new(verdict, found.to_text(is_same), &found)
}

/// Reads a side's receipts. Of each some hundred bytes stay.
fn load(path: &std::path::Path, keys: &Keys, is_operator: bool, found: &mut Comparison) -> Result<Sides> {
    let mut lines = Lines::open(path)?;
    let mut sides = Sides::new();
    let mut sums = Sums::default();
    // What agents signed, by the first half of its hash, and the receipt that it was shown for.
    let mut proofs: HashMap<[u8; 16], String> = HashMap::new();
    while let Some(line) = lines.next()? {
        let (id, side) = match line {
            Line::Name(id) => {
                let side = Side {
                    line: lines.number,
                    total_cents: None,
                    fee_cents: None,
                    gate_signature: None,
                    agent_proof: NOT_SHOWN,
                    text: None,
                };
                (id, side)
            }
            Line::Receipt { text, base } => match SignedReceipt::read(text.as_bytes()) {
                Ok(signed) => {
                    let id = signed.receipt.receipt_id();
                    let mut side = Side::of(lines.number, &signed, base, keys);
                    let proof = signed.receipt.proof.base_sha256.first_chunk().copied().unwrap_or_default();
                    // What the gate has not signed is charged for nothing.
                    if side.is_gates() && *proofs.entry(proof).or_insert_with(|| id.clone()) != id {
                        side.agent_proof = USED;
                    }
                    (id, side)
                }
                Err(error) => {
                    found.unreadable(is_operator, lines.number, &error.to_string());
                    continue;
                }
            },
            Line::Other(problem) => {
                found.unreadable(is_operator, lines.number, problem);
                continue;
            }
        };
        if let Some(before) = sides.get(&id) {
            // A copy of what the side has already, or a name for it, is nothing new.
            if side.text.is_some() && before.text.is_some() && before.text != side.text {
                let problem = format!("has the id of line {} and another text", before.line);
                found.unreadable(is_operator, lines.number, &problem);
            }
            if before.text.is_some() || side.text.is_none() {
                continue;
            }
        }
        sums.receipts = sums.receipts.saturating_add(u64::from(!sides.contains_key(&id)));
        sums.total_cents = sums.total_cents.saturating_add(side.total_cents.unwrap_or(0));
        sums.fee_cents = sums.fee_cents.saturating_add(side.fee_cents.unwrap_or(0));
        sides.insert(id, side);
    }
    if is_operator {
        found.operator = sums;
    } else {
        found.agent = sums;
    }
    Ok(sides)
}

impl Side {
    fn of(line: u64, signed: &SignedReceipt, base: Option<String>, keys: &Keys) -> Self {
        let code = |checked: Result<(), ReceiptError>| checked.map_or_else(ReceiptError::code, |()| VALID);
        let charge = &signed.receipt.charge;
        Side {
            line,
            total_cents: Some(charge.total_cents()),
            fee_cents: Some(charge.fee_cents()),
            gate_signature: Some(code(keys.of(signed).and_then(|key| signed.verify(key)))),
            agent_proof: base.map_or(NOT_SHOWN, |base| code(signed.receipt.verify_proof(&base))),
            text: Some(sha256(signed.text().as_bytes())),
        }
    }

    fn is_gates(&self) -> bool {
        self.gate_signature == Some(VALID)
    }

    fn is_asked(&self) -> bool {
        self.agent_proof == VALID
    }

    /// Whose signatures hold, in words.
    fn proves(&self, whose: &str) -> String {
        let gate = match self.gate_signature {
            Some(VALID) => "the gate signed it".to_owned(),
            Some(code) => format!("no signature of the gate holds ({code})"),
            None => "it is named only, and nothing is signed".to_owned(),
        };
        let agent = match self.agent_proof {
            VALID => "the agent signed for the use".to_owned(),
            USED => "what the agent signed once is for an earlier receipt too".to_owned(),
            NOT_SHOWN => "what the agent signed is not shown".to_owned(),
            code => format!("the agent did not sign for it ({code})"),
        };
        format!("{whose}: {gate}; {agent}")
    }
}

impl Comparison {
    fn add(&mut self, id: &str, operator: Option<&Side>, agent: Option<&Side>) {
        let (kind, says) = match (operator, agent) {
            (Some(theirs), Some(ours)) => {
                let is_same = ours.text.is_none() || ours.text == theirs.text;
                if is_same && theirs.is_gates() && theirs.agent_proof != NOT_SHOWN && theirs.is_asked() {
                    self.same = self.same.saturating_add(1);
                    return;
                }
                if is_same {
                    self.invalid = self.invalid.saturating_add(1);
                    ("invalid", theirs.proves("both have it, but"))
                } else {
                    self.differing = self.differing.saturating_add(1);
                    let says = format!("{}. {}", theirs.proves("the operator's"), ours.proves("the agent's"));
                    ("differ", says)
                }
            }
            (Some(theirs), None) => {
                self.only_operator = self.only_operator.saturating_add(1);
                let says = if theirs.is_asked() && theirs.is_gates() {
                    "the agent did sign for this use, and has no receipt of it here".to_owned()
                } else {
                    theirs.proves("nothing shows that the agent owes it")
                };
                ("only_operator", says)
            }
            (None, Some(ours)) => {
                self.only_agent = self.only_agent.saturating_add(1);
                let says = if ours.is_gates() {
                    "the gate did sign it, and the operator leaves it out".to_owned()
                } else {
                    ours.proves("nothing shows that the gate made it")
                };
                ("only_agent", says)
            }
            (None, None) => return,
        };
        self.tell(Finding {
            receipt_id: id.to_owned(),
            kind,
            operator: operator.cloned(),
            agent: agent.cloned(),
            says,
        });
    }

    fn unreadable(&mut self, is_operator: bool, line: u64, problem: &str) {
        self.invalid = self.invalid.saturating_add(1);
        let whose = if is_operator { "operator" } else { "agent" };
        let says = format!("the {whose}'s line {line} {problem}");
        self.tell(Finding { receipt_id: String::new(), kind: "invalid", operator: None, agent: None, says });
    }

    fn tell(&mut self, finding: Finding) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        } else {
            self.findings_left_out = self.findings_left_out.saturating_add(1);
        }
    }

    fn to_text(&self, is_same: bool) -> String {
        let head = if is_same { "SAME" } else { "DIFFERENT" };
        let mut lines = output::Lines::headed(format!("{head:<12} {} receipts are the same", self.same));
        for (name, count) in [
            ("differing", self.differing),
            ("operator's", self.only_operator),
            ("agent's", self.only_agent),
            ("invalid", self.invalid),
        ] {
            lines.add(name, count.to_string());
        }
        for (name, sums) in [("operator", &self.operator), ("agent", &self.agent)] {
            let Sums { receipts, total_cents, fee_cents } = sums;
            lines.add(name, format!("{receipts} receipts, {total_cents} cents, of which {fee_cents} fees"));
        }
        for finding in &self.findings {
            lines.add(finding.kind, format!("{} {}", shown(&finding.receipt_id), shown(&finding.says)));
        }
        if self.findings_left_out > 0 {
            lines.add("and", format!("{} more", self.findings_left_out));
        }
        lines.into_text()
    }
}
