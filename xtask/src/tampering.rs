//! The export of a gate's log, tampered with in each way that there is; and whether an audit on
//! the command line finds each, by its name and at its record.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use portcullis_core::attestation::export::{ExportLine, ExportTrailer};
use portcullis_core::attestation::log::Frontier;
use portcullis_core::attestation::{Checkpoint, Hash, LaneId, Record, Signed, Signer, leaf};
use portcullis_core::{SecretKey, UnixTime, base64};
use serde_json::{Value, json};

/// A log of at least two lanes, as an auditor has it, and the gate's key, as a thief has it.
pub struct Log<'l> {
    /// The command line's program.
    pub cli: &'l Path,
    /// The export of the whole log, and the keys that the service names.
    pub export: &'l Path,
    /// See `export`.
    pub keys: &'l Path,
    /// The gate's own key, as it stands in the proxy's environment.
    pub gate_key: &'l str,
    /// A checkpoint that the service gave when the log had less.
    pub earlier: &'l str,
    /// Where files may be written.
    pub folder: &'l Path,
}

/// Audits the log as it is, and once for each tampering. What the audit named, in order.
///
/// # Errors
/// The log is not found whole, or a tampering is not found, or elsewhere or by another name.
pub fn each_is_found(log: &Log<'_>) -> Result<Vec<&'static str>> {
    let honest = Honest::read(log)?;
    let forger = Forger::new(log, &honest)?;
    let auditor = Auditor { log, keys: log.keys.to_owned(), has_earlier: false };
    auditor.finds_whole(&honest.lines, honest.records.len())?;
    let with_earlier = Auditor { has_earlier: true, keys: log.keys.to_owned(), log };
    with_earlier.finds_whole(&honest.lines, honest.records.len())?;
    let mut found = Vec::new();
    for case in honest.by_anyone()?.into_iter().chain([forger.remade(&honest)?]) {
        auditor.finds(&case)?;
        found.push(case.code);
    }

    // From here on the service is in it too: what it signs, the auditor believes.
    let deceived = |retired: Option<UnixTime>, has_earlier| {
        anyhow::Ok(Auditor { log, keys: forger.believed_keys(retired)?, has_earlier })
    };
    for case in forger.appended(&honest)? {
        deceived(None, false)?.finds(&case)?;
        found.push(case.code);
    }
    let (late, covered, appended) = forger.late(&honest)?;
    deceived(Some(appended.plus_millis(1)), false)?
        .finds_whole(&late.lines, honest.records.len().saturating_add(1))?;
    deceived(Some(covered.plus_millis(1)), false)?.finds(&late)?;
    found.push(late.code);
    for (case, records) in [forger.dropped(&honest)?, forger.rewritten(&honest)?] {
        // Whole in itself: the earlier checkpoint alone shows it.
        deceived(None, false)?.finds_whole(&case.lines, records)?;
        deceived(None, true)?.finds(&case)?;
        found.push(case.code);
    }
    Ok(found)
}

/// A tampered export, and what an audit must say of it.
struct Case {
    what: &'static str,
    code: &'static str,
    /// The record, from 0.
    index: usize,
    lines: Vec<String>,
}

/// A record of the log: where it stands in the file, and in which chain.
struct Place {
    line: usize,
    lane: LaneId,
    number: u64,
    chain_hash: Hash,
    leaf: Hash,
}

/// The export as the service wrote it.
struct Honest {
    lines: Vec<String>,
    records: Vec<Place>,
    /// The record that is tampered with, and the next of its lane.
    middle: usize,
    next: usize,
}

impl Honest {
    fn read(log: &Log<'_>) -> Result<Self> {
        let text = std::fs::read_to_string(log.export)?;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut records = Vec::new();
        for (line, text) in lines.iter().enumerate() {
            if text.starts_with("{\"access_mode\"") {
                let record = Record::read(text.as_bytes())?;
                let (lane, number, leaf) = (*record.lane(), record.number(), record.leaf());
                records.push(Place { line, lane, number, chain_hash: *record.chain_hash(), leaf });
            }
        }
        let middle = records.len().div_euclid(2);
        let next = next_of_lane(&records, middle).context("the lane ends in the middle of the log")?;
        Ok(Honest { lines, records, middle, next })
    }

    /// What anybody can do who has the file.
    fn by_anyone(&self) -> Result<Vec<Case>> {
        let Self { middle, next, .. } = *self;
        let (count, at, after) = (self.records.len(), self.line(middle)?, self.line(next)?);
        let pairs = self.records.windows(2).enumerate();
        let of_two_lanes = pairs.skip(middle).find_map(|(index, pair)| match pair {
            [one, other] if one.lane != other.lane && one.number > 1 && other.number > 1 => Some(index),
            _ => None,
        });
        let apart = of_two_lanes.context("the log has only one lane")?;
        let (one, other) = (self.line(apart)?, self.line(apart.saturating_add(1))?);
        let last = self.line(count.saturating_sub(1))?;
        let mismatch = self.records_before_checkpoint(other);
        let case = |what, code, index, edit: &dyn Fn(&mut Vec<String>)| {
            let mut lines = self.lines.clone();
            edit(&mut lines);
            Case { what, code, index, lines }
        };
        Ok(vec![
            case("a record is changed", "signature_invalid", middle, &|lines| {
                change(lines, at, "\"method\":\"GET\"", "\"method\":\"PUT\"");
            }),
            case("a record is dropped", "sequence_gap", next.saturating_sub(1), &|lines| {
                lines.remove(at);
            }),
            case("a record stands twice", "record_doubled", middle.saturating_add(1), &|lines| {
                lines.insert(at, lines.get(at).cloned().unwrap_or_default());
            }),
            case("two records of a lane change places", "sequence_gap", middle, &|lines| {
                lines.swap(at, after)
            }),
            case("two records of two lanes change places", "leaf_mismatch", mismatch, &|lines| {
                lines.swap(one, other);
            }),
            case("the file is cut off", "log_truncated", middle, &|lines| lines.truncate(at)),
            case("the last record is dropped", "log_truncated", count.saturating_sub(1), &|lines| {
                lines.remove(last);
                let (is, was) = (count.saturating_sub(1), count);
                change(lines, last, &format!("\"count\":{was}"), &format!("\"count\":{is}"));
            }),
        ])
    }

    fn line(&self, record: usize) -> Result<usize> {
        Ok(self.place(record)?.line)
    }

    /// How many records the next checkpoint after a line counts.
    fn records_before_checkpoint(&self, line: usize) -> usize {
        let mut after = self.lines.iter().enumerate().skip(line);
        let checkpoint = after.find(|(_, line)| line.starts_with("{\"checkpoint\"")).map(|(at, _)| at);
        self.records.iter().filter(|place| checkpoint.is_none_or(|at| place.line < at)).count()
    }

    fn place(&self, record: usize) -> Result<&Place> {
        self.records.get(record).context("the log is too short")
    }

    fn last(&self) -> Result<&Place> {
        self.records.last().context("the log is empty")
    }

    /// The tree of the first records.
    fn frontier(&self, records: usize) -> Frontier {
        let mut frontier = Frontier::default();
        self.records.iter().take(records).for_each(|place| frontier.push(place.leaf));
        frontier
    }

    /// The lines up to the trailer.
    fn body(&self) -> Vec<String> {
        let end = self.lines.len().saturating_sub(1);
        self.lines.get(..end).unwrap_or_default().to_vec()
    }
}

/// Who has the gate's key, and, where it takes that, a key of the service.
struct Forger<'l> {
    log: &'l Log<'l>,
    gate: Signer,
    service: SecretKey,
    origin: String,
    /// After all that the log has.
    now: UnixTime,
    /// How many records the earlier checkpoint counts.
    earlier: usize,
}

impl<'l> Forger<'l> {
    fn new(log: &'l Log<'l>, honest: &Honest) -> Result<Self> {
        let seed = base64::decode_array::<32>(log.gate_key).context("the gate's key is not 32 bytes")?;
        let mut note = log.earlier.lines();
        let origin = note.next().context("the earlier checkpoint is empty")?.to_owned();
        let earlier = note.next().and_then(|size| size.parse().ok());
        let earlier = earlier.context("the earlier checkpoint has no size")?;
        ensure!(
            (1..honest.records.len()).contains(&earlier),
            "the earlier checkpoint is of {earlier} records"
        );
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
        Ok(Forger {
            log,
            gate: Signer::new(&SecretKey::from_seed(seed).attestation_key()),
            service: SecretKey::from_seed([0x5e; 32]),
            origin,
            now: UnixTime::from_millis(i64::try_from(now)?),
            earlier,
        })
    }

    /// A record in the middle says something else, signed anew.
    fn remade(&self, honest: &Honest) -> Result<Case> {
        let (middle, place) = (honest.middle, honest.place(honest.middle)?);
        let mut before = honest.records.iter().take(middle).rev();
        let before = before.find(|before| before.lane == place.lane).context("the lane begins late")?;
        let mut lines = honest.lines.clone();
        let line = lines.get_mut(place.line).context("the line is there")?;
        *line = self.again(line, &before.chain_hash, true)?.text;
        Ok(Case { what: "a record is made anew", code: "chain_broken", index: honest.next, lines })
    }

    /// A further record of the last lane, at a number that it has had.
    fn appended(&self, honest: &Honest) -> Result<Vec<Case>> {
        let last = honest.last()?;
        let numbers = [
            ("a lane starts again with an old number", "lane_restarted", last.number.div_euclid(2)),
            ("a lane starts again", "lane_restarted", 1),
            ("a lane's last number comes once more", "sequence_repeated", last.number),
        ];
        let cases = numbers.map(|(what, code, number)| {
            let signed = self.further(honest, number)?;
            let (mut lines, mut frontier) = (honest.body(), honest.frontier(honest.records.len()));
            frontier.push(leaf(&signed.chain_hash, &signed.signature));
            lines.push(signed.text);
            lines.push(self.trailer(&frontier, self.now));
            Ok(Case { what, code, index: honest.records.len(), lines })
        });
        cases.into_iter().collect()
    }

    /// A record that comes into the log after a checkpoint of all others; the times of that
    /// checkpoint and of the first that covers it.
    fn late(&self, honest: &Honest) -> Result<(Case, UnixTime, UnixTime)> {
        let signed = self.further(honest, honest.last()?.number.saturating_add(1))?;
        let (mut lines, mut frontier) = (honest.body(), honest.frontier(honest.records.len()));
        let appended = self.now.plus_millis(60_000);
        lines.push(ExportLine::Checkpoint(self.checkpoint(&frontier, self.now)).to_json());
        frontier.push(leaf(&signed.chain_hash, &signed.signature));
        lines.push(signed.text);
        lines.push(self.trailer(&frontier, appended));
        let what = "a key signs after its time, and claims an earlier one";
        let case = Case { what, code: "key_retired", index: honest.records.len(), lines };
        Ok((case, self.now, appended))
    }

    /// The log without what came last of what the earlier checkpoint counts, and how many
    /// records it then has.
    fn dropped(&self, honest: &Honest) -> Result<(Case, usize)> {
        let left = self.earlier.saturating_sub(1);
        let mut lines = honest.body();
        lines.truncate(honest.line(left)?);
        lines.push(self.trailer(&honest.frontier(left), self.now));
        let what = "the service drops what it has acknowledged";
        Ok((Case { what, code: "checkpoint_inconsistent", index: left, lines }, left))
    }

    /// The log with another record in the place of the last that the earlier checkpoint counts,
    /// and with all that follows on it signed anew; how many records it has.
    fn rewritten(&self, honest: &Honest) -> Result<(Case, usize)> {
        let from = self.earlier.saturating_sub(1);
        let lane = honest.place(from)?.lane;
        let (mut lines, mut frontier) = (honest.body(), honest.frontier(from));
        let before = honest.records.iter().take(from).rev().find(|before| before.lane == lane);
        let mut previous = before.context("the lane begins late")?.chain_hash;
        for (index, place) in honest.records.iter().enumerate().skip(from) {
            if place.lane != lane {
                frontier.push(place.leaf);
                continue;
            }
            let line = lines.get_mut(place.line).context("the line is there")?;
            let signed = self.again(line, &previous, index == from)?;
            previous = signed.chain_hash;
            frontier.push(leaf(&signed.chain_hash, &signed.signature));
            *line = signed.text;
        }
        // Of the log as it was.
        lines.retain(|line| !line.starts_with("{\"checkpoint\""));
        lines.push(self.trailer(&frontier, self.now));
        let what = "gate and service rewrite the log from a record on";
        let case = Case { what, code: "checkpoint_inconsistent", index: from, lines };
        Ok((case, honest.records.len()))
    }

    /// The record of this line after another one, and with another cost if it `lies`.
    fn again(&self, line: &str, previous: &Hash, lies: bool) -> Result<Signed> {
        let record = Record::read(line.as_bytes())?;
        let mut draft = record.draft().clone();
        if let Some(request) = draft.request.as_mut().filter(|_| lies) {
            request.cost_cents = request.cost_cents.saturating_add(1);
        }
        Ok(draft.unsigned().sign(record.lane(), record.number(), previous, &self.gate))
    }

    /// A record of this number that follows on the last one, and claims to be as old.
    fn further(&self, honest: &Honest, number: u64) -> Result<Signed> {
        let last = honest.last()?;
        let line = honest.lines.get(last.line).context("the line is there")?;
        let mut draft = Record::read(line.as_bytes())?.draft().clone();
        draft.id = [0xa7; 16];
        Ok(draft.unsigned().sign(&last.lane, number, &last.chain_hash, &self.gate))
    }

    fn trailer(&self, frontier: &Frontier, time: UnixTime) -> String {
        let checkpoint = self.checkpoint(frontier, time);
        ExportTrailer { checkpoint, count: frontier.size(), keys: Vec::new() }.to_json()
    }

    fn checkpoint(&self, frontier: &Frontier, time: UnixTime) -> String {
        let (size, root) = (frontier.size(), frontier.root());
        Checkpoint { origin: self.origin.clone(), size, root, time }.sign(&[&self.service])
    }

    /// The keys that the service names, with the forger's; and the gate's valid until `retired`.
    fn believed_keys(&self, retired: Option<UnixTime>) -> Result<PathBuf> {
        let mut keys: Value = serde_json::from_slice(&std::fs::read(self.log.keys)?)?;
        let ours = json!({ "key_id": "forged", "public_key": base64::encode(&self.service.public_key()) });
        let service = keys.get_mut("service_keys").and_then(Value::as_array_mut);
        service.context("the service names none of its keys")?.push(ours);
        for key in keys.get_mut("keys").and_then(Value::as_array_mut).into_iter().flatten() {
            if let (Some(members), Some(time)) = (key.as_object_mut(), retired) {
                members.insert("not_after".to_owned(), json!(time.to_iso()));
            }
        }
        let file = self.log.folder.join("believed-keys.json");
        std::fs::write(&file, keys.to_string())?;
        Ok(file)
    }
}

/// Who judges an export, by the command line.
struct Auditor<'l> {
    log: &'l Log<'l>,
    keys: PathBuf,
    has_earlier: bool,
}

impl Auditor<'_> {
    fn finds(&self, case: &Case) -> Result<()> {
        let Case { what, code, index, lines } = case;
        let found = self.audit(lines)?;
        if found.get("reason_code") != Some(&json!(code)) || found.get("index") != Some(&json!(index)) {
            bail!("{what}: the audit must say {code} of record {index}, and says {found}");
        }
        Ok(())
    }

    fn finds_whole(&self, lines: &[String], records: usize) -> Result<()> {
        let found = self.audit(lines)?;
        let extends = if self.has_earlier { json!(true) } else { Value::Null };
        let is_whole = found.get("valid") == Some(&json!(true))
            && found.get("records") == Some(&json!(records))
            && found.get("extends_older") == Some(&extends);
        ensure!(is_whole, "the audit must find {records} records whole, and says {found}");
        Ok(())
    }

    fn audit(&self, lines: &[String]) -> Result<Value> {
        let export = self.log.folder.join("tampered.jsonl");
        let mut file = BufWriter::new(File::create(&export)?);
        for line in lines {
            writeln!(file, "{line}")?;
        }
        file.into_inner()?;
        let mut command = Command::new(self.log.cli);
        command.args(["audit", "verify", "--json", "--keys"]).arg(&self.keys).arg(&export);
        if self.has_earlier {
            let earlier = self.log.folder.join("earlier.note");
            std::fs::write(&earlier, self.log.earlier)?;
            command.arg("--checkpoint").arg(earlier);
        }
        let output = command.output().with_context(|| format!("cannot run {}", self.log.cli.display()))?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("no audit: {}", String::from_utf8_lossy(&output.stderr).trim_end()))
    }
}

fn next_of_lane(records: &[Place], at: usize) -> Option<usize> {
    let lane = records.get(at)?.lane;
    let after = at.saturating_add(1);
    Some(records.get(after..)?.iter().position(|place| place.lane == lane)?.saturating_add(after))
}

fn change(lines: &mut [String], at: usize, from: &str, to: &str) {
    if let Some(line) = lines.get_mut(at) {
        *line = line.replace(from, to);
    }
}
