//! What gate and service tell each other of records, and when a gate may forget them.

use portcullis_core::attestation::log::{Frontier, Plan};
use portcullis_core::attestation::{
    AttestationError, Batch, BatchAnswer, BatchHead, Checkpoint, Known, LaneAnswer, LaneQuestion,
    MAX_BATCH_BYTES, Record, key_hash, verify_batch_answer,
};
use portcullis_core::live::ServiceKeys;
use portcullis_core::receipt::{Attachment, MAX_ATTACHMENT};
use portcullis_core::{KeyConfig, SecretKey, UnixTime, base64, sha256};
use std::collections::BTreeMap;

const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);
const ORIGIN: &str = "control.example/gate_test";

fn key(name: u8) -> SecretKey {
    SecretKey::from_seed([name; 32])
}

fn keys() -> ServiceKeys {
    let config = |name: u8, until: Option<UnixTime>| KeyConfig {
        key_id: format!("trust-{name}"),
        public_key: base64::encode(&key(name).public_key()),
        not_before: None,
        not_after: until.map(UnixTime::to_iso),
    };
    ServiceKeys::new(&[config(1, Some(NOW)), config(2, None)]).unwrap()
}

fn leaf(number: u64) -> [u8; 32] {
    sha256(&number.to_be_bytes())
}

fn frontier(size: u64) -> Frontier {
    let mut frontier = Frontier::default();
    (0..size).for_each(|number| frontier.push(leaf(number)));
    frontier
}

fn known(size: u64) -> Known {
    Known { size, root: frontier(size).root() }
}

fn consistency(old: u64, new: u64) -> Vec<[u8; 32]> {
    let (mut frontier, mut kept) = (Frontier::default(), BTreeMap::new());
    for number in 0..new {
        frontier.push_keeping(leaf(number), &mut |node, hash| {
            kept.insert(node, hash);
        });
    }
    Plan::consistency(old, new).unwrap().hashes(|node| kept.get(&node).copied()).unwrap()
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint { origin: ORIGIN.into(), size, root: frontier(size).root(), time: NOW }
}

/// To a batch of leaves `from` to `to`, by whoever knew the first `old`.
fn answer(old: u64, from: u64, to: u64) -> BatchAnswer {
    BatchAnswer {
        checkpoint: checkpoint(to).sign(&[&key(2)]),
        consistency: consistency(old, to),
        first_index: from,
        frontier: frontier(from).hashes().to_vec(),
    }
}

fn judged(answer: &BatchAnswer, from: u64, to: u64, known: Option<Known>) -> Result<Known, &'static str> {
    let leaves: Vec<_> = (from..to).map(leaf).collect();
    verify_batch_answer(answer, "gate_test", &keys(), NOW, &leaves, known.as_ref())
        .map_err(AttestationError::code)
}

#[test]
fn a_batch_that_the_log_has_taken_is_known_to_be_taken() {
    for (old, from, to) in [(0, 0, 1), (0, 7, 9), (1, 1, 4), (3, 7, 9), (7, 7, 8), (5, 40, 70)] {
        let read = BatchAnswer::read(answer(old, from, to).to_json().as_bytes()).unwrap();
        assert_eq!(judged(&read, from, to, Some(known(old))), Ok(known(to)), "{old} {from} {to}");
    }
    // The first time nothing is known, and nothing asked.
    assert_eq!(judged(&answer(0, 7, 9), 7, 9, None), Ok(known(9)));
    // Signed for the same size once more, by another key beside.
    let again = BatchAnswer { checkpoint: checkpoint(9).sign(&[&key(7), &key(2)]), ..answer(3, 7, 9) };
    assert_eq!(judged(&again, 7, 9, Some(known(3))), Ok(known(9)));
}

#[test]
fn an_answer_that_does_not_show_it_is_refused() {
    let honest = answer(3, 7, 9);
    let with = |checkpoint: Checkpoint, name: u8| BatchAnswer {
        checkpoint: checkpoint.sign(&[&key(name)]),
        ..honest.clone()
    };
    let later = UnixTime::from_millis(1);
    for (what, answer, found) in [
        ("a key that is over", with(checkpoint(9), 1), "checkpoint_invalid"),
        ("an unknown key", with(checkpoint(9), 7), "checkpoint_invalid"),
        (
            "another gate",
            with(Checkpoint { origin: "control.example/gate_b".into(), ..checkpoint(9) }, 2),
            "checkpoint_invalid",
        ),
        (
            "no authority",
            with(Checkpoint { origin: "/gate_test".into(), ..checkpoint(9) }, 2),
            "checkpoint_invalid",
        ),
        (
            "a longer path",
            with(Checkpoint { origin: "a/b/gate_test".into(), ..checkpoint(9) }, 2),
            "checkpoint_invalid",
        ),
        (
            "another root",
            with(Checkpoint { root: leaf(1), time: later, ..checkpoint(9) }, 2),
            "leaf_mismatch",
        ),
        ("another size of the same tree", with(Checkpoint { size: 10, ..checkpoint(9) }, 2), "leaf_mismatch"),
        ("a tree without them", with(checkpoint(7), 2), "leaf_mismatch"),
        ("a tree that goes on", with(checkpoint(10), 2), "leaf_mismatch"),
        ("another place", BatchAnswer { first_index: 6, ..honest.clone() }, "leaf_mismatch"),
        ("another edge", BatchAnswer { frontier: vec![leaf(1); 3], ..honest.clone() }, "leaf_mismatch"),
        ("no edge", BatchAnswer { frontier: vec![], ..honest.clone() }, "leaf_mismatch"),
        ("no proof", BatchAnswer { consistency: vec![], ..honest.clone() }, "checkpoint_inconsistent"),
        (
            "another proof",
            BatchAnswer { consistency: consistency(4, 9), ..honest.clone() },
            "checkpoint_inconsistent",
        ),
        ("no note", BatchAnswer { checkpoint: "note".into(), ..honest.clone() }, "checkpoint_invalid"),
    ] {
        assert_eq!(judged(&answer, 7, 9, Some(known(3))), Err(found), "{what}");
    }
    // Other records than were sent, or a log that is another than it was.
    assert_eq!(judged(&honest, 6, 8, Some(known(3))), Err("leaf_mismatch"));
    assert_eq!(judged(&honest, 7, 8, Some(known(3))), Err("leaf_mismatch"));
    let other = Known { size: 3, root: leaf(3) };
    assert_eq!(judged(&honest, 7, 9, Some(other)), Err("checkpoint_inconsistent"));
    let more = Known { size: 10, root: frontier(10).root() };
    assert_eq!(judged(&honest, 7, 9, Some(more)), Err("checkpoint_inconsistent"));
}

/// A note of this text by the service's key, and by others beside.
fn note(text: &str, others: usize) -> String {
    let line = |name: u8| {
        let hash = key_hash(ORIGIN, &key(name).public_key());
        let signature = key(name).sign(text.as_bytes());
        format!("\u{2014} {ORIGIN} {}\n", base64::encode(&[&hash[..], &signature].concat()))
    };
    [format!("{text}\n"), line(2), line(7).repeat(others)].concat()
}

#[test]
fn a_checkpoint_is_written_in_one_way_only_and_bounded() {
    let text = |size: &str, more: &str| {
        format!("{ORIGIN}\n{size}\n{}\ntime {}\n{more}", base64::encode(&frontier(9).root()), NOW.to_iso())
    };
    let read = |note: &str| Checkpoint::read(note, "gate_test", &keys(), Some(NOW));
    assert_eq!(read(&note(&text("9", ""), 0)), Ok(checkpoint(9)));
    for (size, more) in [("+9", ""), ("09", ""), ("9", "time again\n"), ("9", "\n")] {
        assert!(read(&note(&text(size, more), 0)).is_err(), "{size} {more}");
    }
    // Signatures of others are let be, up to 8 KiB with all.
    let some = note(&text("9", ""), 20);
    assert!(some.len() < 8 * 1024);
    assert_eq!(read(&some), Ok(checkpoint(9)));
    let long = Checkpoint { origin: format!("{}/gate_test", "a".repeat(8 * 1024)), ..checkpoint(9) };
    assert!(read(&long.sign(&[&key(2)])).is_err());
}

#[test]
fn a_checkpoint_has_one_text() {
    let note = checkpoint(9).sign(&[&key(2)]);
    assert_eq!(Checkpoint::read(&note, "gate_test", &keys(), Some(NOW)), Ok(checkpoint(9)));
    assert!(note.starts_with("control.example/gate_test\n9\n"));
    assert!(note.contains("\ntime 2026-06-01T12:00:00.000Z\n\n\u{2014} control.example/gate_test "));
    // Keys count at the time that is asked for: the gate's own, or the checkpoint's.
    let old = Checkpoint { time: NOW.plus_millis(-1), ..checkpoint(9) };
    let note = old.sign(&[&key(1)]);
    assert!(Checkpoint::read(&note, "gate_test", &keys(), Some(NOW)).is_err());
    assert_eq!(Checkpoint::read(&note, "gate_test", &keys(), None), Ok(old));
}

#[test]
fn documents_are_read_as_they_are_written() {
    let question = LaneQuestion { lane: [7; 16], attestation_key_id: "k".into() };
    assert_eq!(question.to_json(), r#"{"attestation_key_id":"k","lane":"BwcHBwcHBwcHBwcHBwcHBw"}"#);
    assert_eq!(LaneQuestion::read(question.to_json().as_bytes()), Ok(question));
    let opened = LaneAnswer { previous: [7; 32], next: 3, checkpoint: "note\n".into() };
    assert_eq!(LaneAnswer::read(opened.to_json().as_bytes()), Ok(opened));
    let head = BatchHead { dropped: 1, known: None, lane: [7; 16], waiting: 9 };
    assert_eq!(
        head.to_json(),
        r#"{"dropped":1,"known_root":null,"known_size":0,"lane":"BwcHBwcHBwcHBwcHBwcHBw","waiting":9}"#
    );
    let knowing = BatchHead { known: Some(known(3)), ..head.clone() };
    assert_eq!(BatchHead::read(head.to_json().as_bytes()).as_ref(), Ok(&head));
    assert_eq!(BatchHead::read(knowing.to_json().as_bytes()), Ok(knowing));
    let answered = answer(3, 7, 9);
    assert_eq!(BatchAnswer::read(answered.to_json().as_bytes()), Ok(answered));
    for text in [
        "",
        "{}",
        r#"{"attestation_key_id":"k","lane":"BwcH"}"#,
        r#"{"attestation_key_id":"k","lane":"BwcHBwcHBwcHBwcHBwcHBw","more":1}"#,
        r#"{"dropped":1,"known_root":null,"known_size":1,"lane":"BwcHBwcHBwcHBwcHBwcHBw","waiting":9}"#,
        r#"{"dropped":-1,"known_root":null,"known_size":0,"lane":"BwcHBwcHBwcHBwcHBwcHBw","waiting":9}"#,
        r#"{"checkpoint":"","consistency":["AA"],"first_index":0,"frontier":[]}"#,
        r#"{"checkpoint":"","consistency":{},"first_index":0,"frontier":[]}"#,
        r#"{"checkpoint":"","next":0,"previous":"00"}"#,
    ] {
        let text = text.as_bytes();
        assert!(LaneQuestion::read(text).is_err() && LaneAnswer::read(text).is_err());
        assert!(BatchHead::read(text).is_err() && BatchAnswer::read(text).is_err());
    }
}

#[test]
fn a_batch_is_its_lines_and_no_more_than_it_may_be() {
    let head = BatchHead { dropped: 1, known: None, lane: [7; 16], waiting: 9 };
    let batch = |records: usize| [head.to_json().as_str(), "\n", &"{}\n".repeat(records)].concat();
    let whole = batch(256);
    let read = Batch::read(whole.as_bytes()).unwrap();
    assert_eq!(read.head, head);
    assert_eq!(read.records.len(), 256);
    assert!(read.records.iter().all(|record| record.text == b"{}" && record.attachment.is_none()));
    assert!(Batch::read(batch(257).as_bytes()).is_err());
    assert!(Batch::read(batch(0).as_bytes()).is_err());
    assert!(Batch::read(batch(2).trim_end().as_bytes()).is_err());
    assert!(Batch::read(b"{}\n{}\n").is_err());
    let room = MAX_BATCH_BYTES - head.to_json().len() - 2;
    let long = |length: usize| [head.to_json().as_str(), "\n", &"x".repeat(length), "\n"].concat();
    assert!(Batch::read(long(room).as_bytes()).is_ok());
    assert!(Batch::read(long(room + 1).as_bytes()).is_err());
}

#[test]
fn what_goes_with_a_record_stands_in_the_line_after_it() {
    let head = BatchHead { dropped: 0, known: None, lane: [7; 16], waiting: 2 };
    let attachment = Attachment { base: "a\nb".into(), receipt: "{}".into() };
    let line = attachment.to_json();
    let batch = [head.to_json().as_str(), "{1}", &line, "{2}", ""].join("\n");
    let read = Batch::read(batch.as_bytes()).unwrap().records;
    assert_eq!(read.iter().map(|record| record.text).collect::<Vec<_>>(), [b"{1}", b"{2}"]);
    assert_eq!(read[0].attachment, Some(line.as_bytes()));
    assert_eq!(Attachment::read(line.as_bytes()), Ok(attachment));
    assert!(read[1].attachment.is_none());

    // One without a record is a record that nobody can read, and so is a second one.
    for lines in [vec![line.as_str()], vec!["{1}", &line, &line]] {
        let batch = [head.to_json(), lines.join("\n"), String::new()].join("\n");
        let read = Batch::read(batch.as_bytes()).unwrap().records;
        assert!(Record::read(read.last().unwrap().text).is_err());
    }
    assert!(Attachment::read(br#"{"base":"","receipt":"","more":""}"#).is_err());
    assert!(Attachment::read(br#"{"base":""}"#).is_err());
    let long = Attachment { base: "x".repeat(MAX_ATTACHMENT), receipt: String::new() }.to_json();
    assert!(Attachment::read(long.as_bytes()).is_err());
}
