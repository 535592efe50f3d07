//! The part of the service that keeps records, as small as one can be: it checks all that the
//! real one checks of a batch, and proves what it took.

use crate::common::key;
use portcullis_core::attestation::log::{Frontier, Node, Plan, empty_root};
use portcullis_core::attestation::{
    Batch, BatchAnswer, BatchRecord, Checkpoint, Decision, Hash, LaneAnswer, LaneId, LaneQuestion, Record,
};
use portcullis_core::receipt::{Attachment, MAX_ATTACHMENT, SignedReceipt};
use portcullis_core::{PublicKey, SecretKey, UnixTime};
use portcullis_harness::Response;
use std::collections::BTreeMap;

/// What it has of one gate.
pub struct Keeper {
    gate: String,
    /// By which the gate signs.
    key: PublicKey,
    lanes: BTreeMap<LaneId, (u64, Hash)>,
    log: Frontier,
    nodes: BTreeMap<Node, Hash>,
    last: Hash,
    /// The texts, in the log's order.
    pub records: Vec<String>,
    /// The receipts, in this order, each with what its agent has signed.
    pub receipts: Vec<(SignedReceipt, String)>,
    /// How many batches came that it had already.
    pub repeated: usize,
    /// The first lines of the last batch.
    pub dropped: u64,
}

impl Keeper {
    pub fn new(gate: &str, gate_key: &SecretKey) -> Self {
        Keeper {
            gate: gate.to_owned(),
            key: PublicKey::from_bytes(&gate_key.attestation_key().public_key()).expect("a key"),
            lanes: BTreeMap::new(),
            log: Frontier::default(),
            nodes: BTreeMap::new(),
            last: [0; 32],
            records: Vec::new(),
            receipts: Vec::new(),
            repeated: 0,
            dropped: 0,
        }
    }

    pub fn open(&mut self, body: &[u8], now: UnixTime) -> Response {
        let question = LaneQuestion::read(body).expect("a question");
        let last = self.last;
        let (next, previous) = *self.lanes.entry(question.lane).or_insert((1, last));
        let answer = LaneAnswer { previous, next, checkpoint: self.checkpoint(self.log.size(), now) };
        Response::new(200).body(answer.to_json())
    }

    pub fn take(&mut self, body: &[u8], now: UnixTime) -> Response {
        let batch = Batch::read(body).expect("a batch");
        self.dropped = batch.head.dropped;
        let (next, mut hash) = *self.lanes.get(&batch.head.lane).expect("a lane that was opened");
        let records: Vec<_> = batch
            .records
            .iter()
            .map(|record| Record::read(record.text).expect("a canonical record"))
            .collect();
        let first = records.first().expect("a record").number();
        if first < next {
            // All of it, or the gate would have forgotten some of it.
            let at = self.records.iter().position(|text| text.as_bytes() == batch.records[0].text);
            let at = at.expect("the record that it had");
            for (record, had) in batch.records.iter().zip(&self.records[at..]) {
                assert_eq!(record.text, had.as_bytes(), "a record came again, and was another");
            }
            self.repeated += 1;
            return self.answer(at as u64, records.len() as u64, &batch, now);
        }
        for (number, record) in (next..).zip(&records) {
            assert_eq!((record.gate(), record.number()), (self.gate.as_str(), number));
            assert_eq!(*record.lane(), batch.head.lane);
            assert!(record.previous_fits(&hash), "the chain is broken at {number}");
            record.verify(&self.key).expect("the gate's signature");
            hash = *record.chain_hash();
        }
        let at = self.log.size();
        for (record, brought) in records.iter().zip(&batch.records) {
            let nodes = &mut self.nodes;
            self.log.push_keeping(record.leaf(), &mut |node, hash| {
                nodes.insert(node, hash);
            });
            self.records.push(String::from_utf8(brought.text.to_vec()).expect("text"));
            let receipt = self.receipt(record, brought);
            self.receipts.extend(receipt);
        }
        self.last = hash;
        self.lanes.insert(batch.head.lane, (next + records.len() as u64, hash));
        self.answer(at, records.len() as u64, &batch, now)
    }

    /// The receipt that a record stands for, checked as whoever has it checks it.
    fn receipt(&self, record: &Record, brought: &BatchRecord<'_>) -> Option<(SignedReceipt, String)> {
        let draft = record.draft();
        let Some(name) = draft.receipt else {
            assert!(brought.attachment.is_none(), "a record of no receipt came with one");
            return None;
        };
        assert_eq!(draft.decision, Decision::Consumption);
        let line = brought.attachment.expect("the receipt that a record names");
        assert!(line.len() <= MAX_ATTACHMENT);
        let Attachment { base, receipt } = Attachment::read(line).expect("an attachment");
        let signed = SignedReceipt::read(receipt.as_bytes()).expect("a receipt");
        assert_eq!((signed.receipt.id, signed.hash()), (name.id, name.sha256));
        signed.verify(&self.key).expect("the gate's signature");
        signed.receipt.verify_proof(&base).expect("the agent's proof");
        let request = draft.request.as_ref().expect("what was asked for");
        assert_eq!(request.cost_cents, signed.receipt.charge.total_cents());
        let agent = draft.agent.as_ref().expect("who asked");
        assert_eq!(agent.passport_id, signed.receipt.agent.passport_id);
        Some((signed, base))
    }

    fn answer(&self, at: u64, count: u64, batch: &Batch<'_>, now: UnixTime) -> Response {
        let known = batch.head.known.map_or(0, |known| known.size);
        let kept = |node| self.nodes.get(&node).copied();
        let answer = BatchAnswer {
            checkpoint: self.checkpoint(at + count, now),
            consistency: Plan::consistency(known, at + count)
                .and_then(|plan| plan.hashes(kept))
                .unwrap_or_default(),
            first_index: at,
            frontier: Plan::frontier(at).hashes(kept).expect("all nodes are kept"),
        };
        Response::new(200).body(answer.to_json())
    }

    fn checkpoint(&self, size: u64, now: UnixTime) -> String {
        let kept = |node| self.nodes.get(&node).copied();
        let hashes = Plan::frontier(size).hashes(kept).expect("all nodes are kept");
        let root = Frontier::new(size, hashes).map_or_else(empty_root, |frontier| frontier.root());
        let origin = format!("control.internal/{}", self.gate);
        Checkpoint { origin, size, root, time: now }.sign(&[&key(9)])
    }
}
