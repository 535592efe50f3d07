//! Audits: what is whole is found whole, and each way of tampering has its name.

use crate::common;
use crate::common::log::{
    BEGIN, GATE, Log, audit, audit_keys, draft, gate_key, header, key_config, service_key,
};
use portcullis_core::attestation::export::{ExportHeader, ExportLine, ExportTrailer};
use portcullis_core::attestation::log::Frontier;
use portcullis_core::attestation::{AuditKeys, Checkpoint, Decision, Draft, Dropped, Signer, Verdict};
use portcullis_core::{SecretKey, UnixTime};

const END: UnixTime = BEGIN.plus_millis(3_600_000);

/// Index of the line that is the record of this index.
fn line_of(lines: &[String], record: usize) -> usize {
    let records = lines.iter().enumerate().filter(|(_, line)| line.starts_with("{\"access_mode\""));
    records.map(|(at, _)| at).nth(record).unwrap()
}

fn code(lines: &[String]) -> Result<Verdict, (&'static str, u64)> {
    audit(lines, &audit_keys(None), None).map_err(|broken| (broken.error.code(), broken.index))
}

#[test]
fn a_whole_log_is_found_whole() {
    let mut log = Log::grown(9);
    log.note(BEGIN.plus_millis(60_000));
    log.decide(3, 9);
    let found = audit(&log.export(END), &audit_keys(None), None).unwrap();
    assert_eq!((found.records, found.pruned, found.lanes, found.dropped), (10, 0, 3, 0));
    assert_eq!(found.decisions.get("allow"), Some(&6));
    assert_eq!(found.decisions.get("block"), Some(&4));
    assert_eq!(found.period, Some((BEGIN, BEGIN.plus_millis(9000))));
    assert_eq!(found.checkpoint.unwrap().size, 10);
    assert_eq!(found.extends_older, None);
    let empty = audit(&Log::default().export(END), &audit_keys(None), None).unwrap();
    assert_eq!((empty.records, empty.lanes), (0, 0));
}

#[test]
fn an_export_that_ends_before_its_trailer_is_no_whole_one() {
    let mut log = Log::grown(4);
    log.note(BEGIN.plus_millis(60_000));
    let noted = log.lines.len() + 1;
    log.decide(1, 4);
    let lines = log.export(END);
    assert!(code(&lines).is_ok());
    // Up to a checkpoint all is signed.
    assert_eq!(code(&lines[..noted]), Err(("log_truncated", 4)));
    assert_eq!(code(&lines[..lines.len() - 1]), Err(("log_truncated", 5)));
}

#[test]
fn a_gap_tells_how_many_decisions_were_not_recorded() {
    let mut log = Log::grown(2);
    let dropped = Dropped { count: 17, first_at: BEGIN, last_at: BEGIN };
    let gap = Draft { decision: Decision::Gap, dropped: Some(dropped), request: None, ..draft(2) };
    log.decide_by(1, &gap, &Signer::new(&gate_key(1)));
    let found = audit(&log.export(END), &audit_keys(None), None).unwrap();
    assert_eq!((found.records, found.dropped), (3, 17));
}

/// Changes an honest export of twelve records, in two lanes from the fifth on; says at which
/// record it must be found, and by which name.
type Tampering = (&'static str, &'static str, u64, fn(&mut Vec<String>));

const TAMPERINGS: [Tampering; 16] = [
    ("a record's text is changed", "signature_invalid", 5, |lines| {
        let at = line_of(lines, 5);
        lines[at] = lines[at].replace("\"path\":\"/5\"", "\"path\":\"/6\"");
    }),
    ("a record is written in another way", "record_not_canonical", 5, |lines| {
        let at = line_of(lines, 5);
        lines[at] = lines[at].replace("\"method\":\"GET\"", "\"method\": \"GET\"");
    }),
    ("a record is cut off", "record_malformed", 5, |lines| {
        let at = line_of(lines, 5);
        lines[at].pop();
    }),
    ("a record is taken out of the middle", "sequence_gap", 6, |lines| {
        let at = line_of(lines, 5);
        lines.remove(at);
    }),
    ("a lane's first record is taken out", "sequence_gap", 4, |lines| {
        let at = line_of(lines, 4);
        lines.remove(at);
    }),
    ("a lane's first record is taken out with its line", "sequence_gap", 5, |lines| {
        let at = line_of(lines, 4);
        lines.drain(at - 1..=at);
    }),
    ("the last record is taken out", "log_truncated", 11, |lines| {
        let at = line_of(lines, 11);
        lines.remove(at);
    }),
    ("the last record is taken out and counted out", "log_truncated", 11, |lines| {
        let at = line_of(lines, 11);
        lines.remove(at);
        let last = lines.len() - 1;
        lines[last] = lines[last].replace("\"count\":12", "\"count\":11");
    }),
    ("the export is cut off", "log_truncated", 9, |lines| {
        let at = line_of(lines, 9);
        lines.truncate(at);
    }),
    ("two records of a lane change places", "sequence_gap", 5, |lines| {
        let (one, other) = (line_of(lines, 5), line_of(lines, 7));
        lines.swap(one, other);
    }),
    ("two records of different lanes change places", "leaf_mismatch", 12, |lines| {
        let (one, other) = (line_of(lines, 6), line_of(lines, 7));
        lines.swap(one, other);
    }),
    ("a record stands twice", "record_doubled", 6, |lines| {
        let at = line_of(lines, 5);
        lines.insert(at + 1, lines[at].clone());
    }),
    ("a lane's line is left out", "lane_root_unknown", 0, |lines| {
        lines.remove(1);
    }),
    ("a lane's line names another hash", "lane_root_unknown", 4, |lines| {
        let at = line_of(lines, 4) - 1;
        lines[at] = ExportLine::Lane { lane: [2; 16], previous: [9; 32] }.to_json();
    }),
    ("a lane's line names a hash that is not its own", "chain_broken", 4, |lines| {
        let at = line_of(lines, 4) - 1;
        lines[at] = ExportLine::Lane { lane: [2; 16], previous: [0; 32] }.to_json();
    }),
    ("the checkpoint is of another key", "checkpoint_invalid", 12, |lines| {
        let log = Log::grown(12);
        let checkpoint =
            Checkpoint { origin: common::log::ORIGIN.into(), size: 12, root: log.frontier.root(), time: END };
        let checkpoint = checkpoint.sign(&[&SecretKey::from_seed([77; 32])]);
        let trailer = ExportTrailer { checkpoint, count: 12, keys: vec![] };
        *lines.last_mut().unwrap() = trailer.to_json();
    }),
];

#[test]
fn each_tampering_is_found_at_its_record_and_by_its_name() {
    let honest = Log::grown(12).export(END);
    assert!(code(&honest).is_ok());
    for (what, name, index, tamper) in TAMPERINGS {
        let mut lines = honest.clone();
        tamper(&mut lines);
        assert_eq!(code(&lines), Err((name, index)), "{what}");
    }
}

/// What only who holds the gate's key can do.
#[test]
fn a_gate_that_rewrites_its_past_is_found() {
    // A record is signed anew: the next one does not follow on it.
    let mut log = Log::default();
    log.decide(1, 0);
    let before = log.clone().decide(1, 1);
    log.decide(1, 7);
    let lines = {
        let mut honest = Log::default();
        honest.decide(1, 0);
        honest.decide(1, 1);
        honest.decide(1, 2);
        let mut lines = honest.export(END);
        let at = line_of(&lines, 1);
        lines[at] = log.lines.last().unwrap().clone();
        lines
    };
    assert_eq!(code(&lines), Err(("chain_broken", 2)));

    // The same number once more, with another record.
    log.append(&before);
    assert_eq!(code(&log.export(END)), Err(("sequence_repeated", 2)));

    // A second record 1, and an older number.
    let signer = Signer::new(&gate_key(1));
    for (number, found) in [(1, "lane_restarted"), (2, "lane_restarted"), (3, "sequence_repeated")] {
        let mut log = Log::default();
        (0..3).for_each(|id| drop(log.decide(1, id)));
        log.append(&draft(99).unsigned().sign(&[1; 16], number, &[0; 32], &signer));
        assert_eq!(code(&log.export(END)), Err((found, 3)), "{number}");
    }
}

/// What only who holds the service's key can do.
#[test]
fn a_service_that_signs_another_tree_is_found() {
    let log = Log::grown(8);
    let mut other = log.clone();
    other.frontier = Frontier::default();
    (0..8).for_each(|leaf| other.frontier.push([leaf; 32]));
    assert_eq!(code(&other.export(END)), Err(("leaf_mismatch", 8)));

    // A checkpoint on the way, too.
    let mut on_the_way = Log::grown(4);
    let good = on_the_way.frontier.clone();
    on_the_way.frontier = other.frontier.clone();
    on_the_way.note(END);
    on_the_way.frontier = good;
    assert_eq!(code(&on_the_way.export(END)), Err(("log_truncated", 4)));

    // Times that go back would let a retired key sign.
    let mut back = Log::grown(4);
    back.note(END);
    back.decide(1, 4);
    assert_eq!(code(&back.export(BEGIN)), Err(("checkpoint_inconsistent", 5)));
}

#[test]
fn lines_stand_where_they_belong() {
    let log = Log::grown(6);
    let honest = log.export(END);
    // Nothing comes after the trailer, not even what would be whole.
    let mut more = honest.clone();
    more.extend(log.lines.last().cloned());
    assert_eq!(code(&more), Err(("document_malformed", 6)));
    // What was removed comes first, and nothing is removed from a part.
    let removed = ExportLine::Pruned(Log::grown(6).frontier).to_json();
    let mut late = honest.clone();
    late.insert(honest.len() - 1, removed.clone());
    assert_eq!(code(&late), Err(("document_malformed", 6)));
    let trailer = ExportTrailer { checkpoint: log.checkpoint(END), count: 0, keys: vec![] };
    assert_eq!(code(&[header(false, 0), removed, trailer.to_json()]), Err(("document_malformed", 0)));
    // A lane's line stands before its own first record, once.
    let line = line_of(&honest, 4) - 1;
    let mut twice = honest.clone();
    twice.insert(line, honest[line].clone());
    assert_eq!(code(&twice), Err(("sequence_gap", 4)));
    let mut again = honest.clone();
    again.insert(line_of(&honest, 5), ExportLine::Lane { lane: [1; 16], previous: [0; 32] }.to_json());
    assert_eq!(code(&again), Err(("lane_restarted", 5)));
    // A checkpoint on the way is held against the tree as it was there, its size too.
    for (size, root) in [(5, [7; 32]), (4, Log::grown(5).frontier.root())] {
        let other = Checkpoint { origin: common::log::ORIGIN.into(), size, root, time: BEGIN };
        let mut on_the_way = honest.clone();
        let note = ExportLine::Checkpoint(other.sign(&[&service_key()])).to_json();
        on_the_way.insert(line_of(&on_the_way, 5), note);
        assert_eq!(code(&on_the_way), Err(("leaf_mismatch", 5)));
    }
}

#[test]
fn a_service_may_move_to_another_host_and_its_log_with_it() {
    let log = Log::grown(4);
    let (size, root) = (4, log.frontier.root());
    let moved = Checkpoint { origin: format!("moved.example/{GATE}"), size, root, time: BEGIN };
    let note = moved.sign(&[&service_key()]);
    let mut lines = log.export(END);
    lines.insert(lines.len() - 1, ExportLine::Checkpoint(note.clone()).to_json());
    assert!(code(&lines).is_ok());
    assert_eq!(audit(&lines, &audit_keys(None), Some(&note)).unwrap().extends_older, Some(true));
}

#[test]
fn a_log_that_is_not_the_older_one_grown_is_found() {
    let keys = audit_keys(None);
    let older = Log::grown(5).checkpoint(BEGIN);
    let grown = Log::grown(9);
    assert_eq!(audit(&grown.export(END), &keys, Some(&older)).unwrap().extends_older, Some(true));
    let same = grown.checkpoint(END);
    assert_eq!(audit(&grown.export(END), &keys, Some(&same)).unwrap().extends_older, Some(true));
    let empty = Log::default().checkpoint(BEGIN);
    assert_eq!(audit(&grown.export(END), &keys, Some(&empty)).unwrap().extends_older, Some(true));

    // Whole in itself, and another: gate and service have rewritten all of it.
    let mut forged = Log::default();
    (10..19).for_each(|id| drop(forged.decide(1, id)));
    assert!(code(&forged.export(END)).is_ok());
    let found = audit(&forged.export(END), &keys, Some(&older)).unwrap_err();
    assert_eq!((found.error.code(), found.index), ("checkpoint_inconsistent", 4));

    // Shorter than it was.
    let found = audit(&Log::grown(3).export(END), &keys, Some(&older)).unwrap_err();
    assert_eq!(found.error.code(), "checkpoint_inconsistent");
}

#[test]
fn a_key_counts_for_what_the_log_took_while_it_was_valid() {
    let retired = BEGIN.plus_millis(60_000);
    let keys = audit_keys(Some(retired));
    let rotated = |noted: UnixTime| {
        let mut log = Log::grown(4);
        log.note(noted);
        log.decide_by(1, &draft(4), &Signer::new(&gate_key(2)));
        log
    };
    let log = rotated(retired.plus_millis(-1));
    assert!(audit(&log.export(END), &keys, None).is_ok());
    let found = audit(&rotated(retired).export(END), &keys, None).unwrap_err();
    assert_eq!((found.error.code(), found.index), ("key_retired", 0));

    // Stolen, and used for a record that claims to be older.
    let mut stolen = log.clone();
    stolen.decide(1, 1);
    let found = audit(&stolen.export(END), &keys, None).unwrap_err();
    assert_eq!((found.error.code(), found.index), ("key_retired", 5));
    assert_eq!(found.record.unwrap().number, 6);

    let known = AuditKeys::new(&[], &[key_config(&service_key(), None)]).unwrap();
    let found = audit(&log.export(END), &known, None).unwrap_err();
    assert_eq!((found.error.code(), found.index), ("key_unknown", 0));
}

#[test]
fn what_retention_has_removed_is_still_in_the_tree() {
    let log = Log::grown(12);
    let removed = Log::grown(6);
    let mut lines = log.export(END);
    let first = line_of(&lines, 6);
    lines.drain(1..first);
    lines.insert(1, ExportLine::Pruned(removed.frontier.clone()).to_json());
    lines[0] = header(true, 6);
    let last = lines.len() - 1;
    lines[last] = lines[last].replace("\"count\":12", "\"count\":6");
    let keys = audit_keys(None);
    let found = audit(&lines, &keys, Some(&removed.checkpoint(BEGIN))).unwrap();
    assert_eq!((found.records, found.pruned, found.extends_older), (6, 6, Some(true)));
    // Of what was removed, what an older checkpoint says can no longer be compared.
    let found = audit(&lines, &keys, Some(&Log::grown(5).checkpoint(BEGIN))).unwrap();
    assert_eq!(found.extends_older, None);

    let mut taken = lines.clone();
    taken.remove(2);
    taken[last - 1] = taken[last - 1].replace("\"count\":6", "\"count\":5");
    assert_eq!(code(&taken), Err(("log_truncated", 11)));
    let mut other = lines.clone();
    other[1] = ExportLine::Pruned(Log::grown(5).frontier).to_json();
    assert_eq!(code(&other), Err(("document_malformed", 11)));
    let mut frontier = removed.frontier.hashes().to_vec();
    frontier[0][0] ^= 1;
    other[1] = ExportLine::Pruned(Frontier::new(6, frontier).unwrap()).to_json();
    assert_eq!(code(&other), Err(("leaf_mismatch", 12)));
    lines[0] = header(true, 0);
    assert_eq!(code(&lines), Err(("document_malformed", 12)));
}

#[test]
fn a_lane_may_follow_on_a_record_that_was_removed() {
    let (removed, mut log) = (Log::grown(5), Log::grown(5));
    log.decide(3, 5);
    let lane = ExportLine::Lane { lane: [3; 16], previous: [9; 32] }.to_json();
    let mut lines = log.export(END);
    let first = line_of(&lines, 5) - 1;
    lines.drain(1..first);
    lines.insert(1, ExportLine::Pruned(removed.frontier).to_json());
    lines[0] = header(true, 5);
    let last = lines.len() - 1;
    lines[last] = lines[last].replace("\"count\":6", "\"count\":1");
    assert_eq!(code(&lines).unwrap().records, 1);
    // What it says of that record is in its chain.
    lines[2] = lane;
    assert_eq!(code(&lines), Err(("chain_broken", 5)));
}

#[test]
fn a_filtered_export_shows_what_stands_in_it_and_nothing_of_what_does_not() {
    let mut lines = Log::grown(12).export(END);
    for record in [9, 7, 2] {
        let at = line_of(&lines, record);
        lines.remove(at);
    }
    lines[0] = header(false, 0);
    let last = lines.len() - 1;
    lines[last] = lines[last].replace("\"count\":12", "\"count\":9");
    assert_eq!(code(&lines).unwrap().records, 9);
    // Of a part, its number alone tells that something is missing.
    let mut short = lines.clone();
    short.remove(line_of(&lines, 8));
    assert_eq!(code(&short), Err(("log_truncated", 8)));
    // A lane may begin later there, with no word of what it follows on.
    let mut later = lines.clone();
    later.drain(1..line_of(&lines, 1));
    let last_line = later.len() - 1;
    later[last_line] = later[last_line].replace("\"count\":9", "\"count\":8");
    assert_eq!(code(&later).unwrap().records, 8);
    // The log's index of a part's first record says nothing of what was removed.
    let part = [&[header(false, 4)], &lines[1..]].concat();
    assert_eq!(code(&part).unwrap().records, 9);
    let mut changed = lines.clone();
    let at = line_of(&lines, 1);
    changed[at] = lines[at].replace("/1\"", "/2\"");
    assert_eq!(code(&changed), Err(("signature_invalid", 1)));
    lines.swap(at, at - 1);
    assert!(code(&lines).is_err());

    // There is no checkpoint to judge keys by, so that records' own times must do.
    let found = audit(&changed, &audit_keys(Some(BEGIN)), None).unwrap_err();
    assert_eq!((found.error.code(), found.index), ("key_retired", 0));
}

#[test]
fn records_and_checkpoints_of_another_gate_are_refused() {
    let lines = Log::grown(3).export(END);
    let keys = audit_keys(None);
    let found = keys.check("gate_other", lines[2].as_bytes()).unwrap_err();
    assert_eq!(found.0.code(), "record_malformed");
    assert_eq!(found.1.unwrap().number, 1);
    let found = keys.check("gate_other", lines[lines.len() - 1].as_bytes()).unwrap_err();
    assert_eq!(found.0.code(), "checkpoint_invalid");
    // Nor does one gate pass for another whose id ends as its own.
    assert!(keys.checkpoint("test", &Log::grown(3).checkpoint(END)).is_err());
}

#[test]
fn keys_whose_ids_are_not_their_hashes_are_refused() {
    let service = [key_config(&service_key(), None)];
    let mut key = key_config(&gate_key(1), None);
    key.key_id = key_config(&gate_key(2), None).key_id;
    assert_eq!(AuditKeys::new(&[key], &service).unwrap_err().path, "keys[0].key_id");
    assert!(AuditKeys::new(&[], &[]).is_err());
}

#[test]
fn lines_are_read_as_they_are_written() {
    let header = ExportHeader { complete: false, first_index: 7, gate: GATE.into() };
    assert_eq!(ExportHeader::read(header.to_json().as_bytes()), Ok(header));
    for line in [
        ExportLine::Checkpoint("note".into()),
        ExportLine::Lane { lane: [4; 16], previous: [5; 32] },
        ExportLine::Pruned(Log::grown(5).frontier),
    ] {
        assert_eq!(ExportLine::read(line.to_json().as_bytes()), Ok(line));
    }
    let keys = vec![key_config(&gate_key(1), Some(END))];
    let trailer = ExportTrailer { checkpoint: "note".into(), count: 3, keys };
    assert!(trailer.to_json().contains(r#""not_after":"2026-06-01T13:00:00.000Z""#));
    assert_eq!(ExportTrailer::read(trailer.to_json().as_bytes()).unwrap().count, 3);
    for line in [
        "",
        "[]",
        "{}",
        r#"{"checkpoint":1}"#,
        r#"{"lane":"AAAA","previous":""}"#,
        r#"{"checkpoint":"","lane":""}"#,
        r#"{"pruned":{"from":0,"frontier":"0","to":0}}"#,
        r#"{"pruned":{"from":1,"frontier":"0","to":0}}"#,
    ] {
        assert!(ExportLine::read(line.as_bytes()).is_err(), "{line}");
        assert!(ExportHeader::read(line.as_bytes()).is_err(), "{line}");
        assert!(ExportTrailer::read(line.as_bytes()).is_err(), "{line}");
    }
}
