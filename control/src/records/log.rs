//! A gate's log: a Merkle tree over its records, with the hashing of RFC 9162, kept in
//! tiles of 256 hashes. All that is asked of it is made of complete subtrees, and those are
//! read from few tiles however long the log is.

use crate::db::Tx;
use anyhow::{Context, Result, ensure};
use portcullis_core::attestation::Hash;
use portcullis_core::attestation::log::{Frontier, Node, Plan, node_hash};
use portcullis_core::base64;
use std::collections::{BTreeMap, BTreeSet};

/// Binary levels of a tile, and so the hashes in a whole one.
const HEIGHT: u32 = 8;
const WIDTH: u64 = 1 << HEIGHT;

/// Where a tile is: levels of tiles below it, and tiles of its level before it.
type Place = (u32, u64);

/// A log at one moment, in one transaction.
#[derive(Debug)]
pub struct Log {
    gate: String,
    size: u64,
    /// Those that were read or changed: some ten for any answer.
    tiles: BTreeMap<Place, Vec<Hash>>,
    changed: BTreeSet<Place>,
}

impl Log {
    /// The log of a gate, of so many records.
    pub fn new(gate: &str, size: u64) -> Self {
        Log { gate: gate.to_owned(), size, tiles: BTreeMap::new(), changed: BTreeSet::new() }
    }

    /// How many records are in it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds leaves at its end. [`Log::save`] writes them.
    ///
    /// # Errors
    /// No database, or what is there is damaged.
    pub async fn append(&mut self, tx: &mut Tx, leaves: &[Hash]) -> Result<()> {
        for leaf in leaves {
            let (mut hash, mut level, mut position) = (*leaf, 0_u32, self.size);
            // One turn for each level whose tile becomes whole: eight at most.
            loop {
                let place = (level, position.div_euclid(WIDTH));
                let before = position.rem_euclid(WIDTH);
                if before == 0 {
                    self.tiles.insert(place, Vec::new());
                }
                let hashes = self.tile(tx, place).await?;
                ensure!(hashes.len() as u64 == before, "the tile {place:?} is not as long as the log");
                hashes.push(hash);
                let root = (before == WIDTH.saturating_sub(1)).then(|| root_of(hashes)).flatten();
                self.changed.insert(place);
                let Some(root) = root else { break };
                (hash, level, position) = (root, level.saturating_add(1), place.1);
            }
            self.size = self.size.saturating_add(1);
        }
        Ok(())
    }

    /// Writes what was added.
    ///
    /// # Errors
    /// No database.
    pub async fn save(&mut self, tx: &mut Tx) -> Result<()> {
        for place in std::mem::take(&mut self.changed) {
            let hashes = self.tiles.get(&place).context("a changed tile is missing")?;
            sqlx::query(
                "INSERT INTO record_tiles (gate_id, level, tile, hashes) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (gate_id, level, tile) DO UPDATE SET hashes = excluded.hashes",
            )
            .bind(&self.gate)
            .bind(i64::from(place.0))
            .bind(place.1.cast_signed())
            .bind(base64::encode(hashes.as_flattened()))
            .execute(&mut **tx)
            .await?;
        }
        Ok(())
    }

    /// The tree of the first `size` leaves, as far as its root and appending need it.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub async fn frontier(&mut self, tx: &mut Tx, size: u64) -> Result<Frontier> {
        let hashes = self.hashes(tx, &Plan::frontier(size)).await?;
        Frontier::new(size, hashes).context("a frontier has a hash for each bit of its size")
    }

    /// That the leaf at `index` is in the tree of the first `size`.
    ///
    /// # Errors
    /// As [`Log::append`]; or there is no such leaf.
    pub async fn inclusion(&mut self, tx: &mut Tx, index: u64, size: u64) -> Result<Vec<Hash>> {
        self.hashes(tx, &Plan::inclusion(index, size).context("the log has no such leaf")?).await
    }

    /// That the tree of the first `from` leaves begins that of the first `to`.
    ///
    /// # Errors
    /// As [`Log::append`]; or `from` is the larger one.
    pub async fn consistency(&mut self, tx: &mut Tx, from: u64, to: u64) -> Result<Vec<Hash>> {
        self.hashes(tx, &Plan::consistency(from, to).context("the log has no such trees")?).await
    }

    async fn hashes(&mut self, tx: &mut Tx, plan: &Plan) -> Result<Vec<Hash>> {
        for node in plan.nodes() {
            self.tile(tx, span(node).context("a tree is too large")?.0).await?;
        }
        plan.hashes(|node| self.kept(node)).with_context(|| format!("the log of {} is damaged", self.gate))
    }

    /// The hash of a complete subtree whose tile is at hand.
    fn kept(&self, node: Node) -> Option<Hash> {
        let (place, start, count) = span(node)?;
        root_of(self.tiles.get(&place)?.get(start..start.checked_add(count)?)?)
    }

    async fn tile(&mut self, tx: &mut Tx, place: Place) -> Result<&mut Vec<Hash>> {
        if !self.tiles.contains_key(&place) {
            let row: Option<(String,)> = sqlx::query_as(
                "SELECT hashes FROM record_tiles WHERE gate_id = $1 AND level = $2 AND tile = $3",
            )
            .bind(&self.gate)
            .bind(i64::from(place.0))
            .bind(place.1.cast_signed())
            .fetch_optional(&mut **tx)
            .await?;
            let bytes = row.and_then(|(text,)| base64::decode(&text));
            let hashes = bytes.and_then(|bytes| {
                let (hashes, rest) = bytes.as_chunks();
                rest.is_empty().then(|| hashes.to_vec())
            });
            let damaged = || format!("the log of {} has no good tile {place:?}", self.gate);
            self.tiles.insert(place, hashes.with_context(damaged)?);
        }
        self.tiles.get_mut(&place).context("a tile was just read")
    }
}

/// Where a complete subtree stands: its tile, and the first and the number of the hashes in
/// it that it is made of.
fn span(node: Node) -> Option<(Place, usize, usize)> {
    let level = u32::from(node.level);
    let count = 1_usize.checked_shl(level.rem_euclid(HEIGHT))?;
    let first = node.index.checked_mul(u64::try_from(count).ok()?)?;
    let start = usize::try_from(first.rem_euclid(WIDTH)).ok()?;
    Some(((level.div_euclid(HEIGHT), first.div_euclid(WIDTH)), start, count))
}

/// The root of a complete subtree of these.
fn root_of(hashes: &[Hash]) -> Option<Hash> {
    let mut row = hashes.to_vec();
    // Halves each turn.
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied()
}
