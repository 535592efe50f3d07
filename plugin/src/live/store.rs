//! Where the workers of a proxy share trust material.
//!
//! A *base* is all that is revoked, in pages, with the head under which it was fetched.
//! *Entries* follow it: heads with the deltas that lead to them, in their order. The
//! *manifest* says what of it counts, and has the newest head. Hosts delete nothing, so
//! all of it lies in places that are written again: two for bases and for snapshots, in
//! turn, and a ring of entries. Who reads while they are written finds documents that do
//! not fit each other, and refuses them.

use crate::fault::{HostFault, Place, Problem};
use crate::host;
use crate::shared::{self, HostStore, NO_CAS, get, put, set};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Entries between two bases. Each is verified by every worker that starts anew: some
/// 200 us in WebAssembly, so that a start takes some 10 ms more.
const ENTRIES: u64 = 48;

/// What of the shared data counts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Manifest {
    /// How often a manifest was written.
    pub(super) generation: u64,
    /// In which of the two places the base is.
    pub(super) base_place: u64,
    /// The lowest number of its pages: what a delta for all workers must begin with.
    pub(super) base_number: u64,
    /// How many pages it has.
    pub(super) pages: u64,
    /// The first entry after the base, and the one after the last.
    pub(super) first: u64,
    pub(super) end: u64,
    /// In which of the two places the snapshot is.
    pub(super) snapshot_place: u64,
    /// The newest head.
    pub(super) head: String,
}

/// One of the places.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// The head under which a base was fetched.
    BaseHead(u64),
    /// A page of a base.
    Page(u64, u64),
    /// A head and a delta.
    Entry(u64),
    /// A snapshot.
    Snapshot(u64),
}

/// The names of the places, which carry the gate.
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn of(gate: &str) -> Self {
        Names { prefix: shared::name(&format!("trust.{gate}.")) }
    }

    pub(super) fn of_part(&self, part: &str) -> String {
        [&self.prefix, part].concat()
    }

    fn name(&self, part: Part) -> String {
        let part = match part {
            Part::BaseHead(place) => format!("base.{}", place & 1),
            Part::Page(place, index) => format!("page.{}.{index}", place & 1),
            Part::Entry(index) => format!("entry.{}", index.checked_rem(ENTRIES).unwrap_or_default()),
            Part::Snapshot(place) => format!("snapshot.{}", place & 1),
        };
        self.of_part(&part)
    }

    /// Reads a document.
    pub(super) fn read(&self, part: Part) -> Result<Vec<u8>, HostFault> {
        host::shared(&self.name(part)).map(|(document, _)| document)
    }

    /// Writes a document. Nobody reads it before a manifest counts it.
    pub(super) fn write(&self, part: Part, document: &[u8]) -> Result<(), HostFault> {
        if put(&mut HostStore, &self.name(part), document)? {
            Ok(())
        } else {
            Err(HostFault::new(Place::SetSharedData, Problem::Overtaken))
        }
    }

    /// The manifest and its CAS, if there is one that can be read.
    pub(super) fn manifest(&self) -> Result<Option<(Manifest, u32)>, HostFault> {
        let shared = get(&mut HostStore, &self.of_part("manifest"))?;
        Ok(shared.and_then(|(bytes, cas)| Some((Manifest::decode(&bytes)?, cas))))
    }

    /// Writes a manifest in the place of the one of this CAS. Whether it was written;
    /// otherwise another worker has the lease by now.
    pub(super) fn publish(&self, manifest: &Manifest, cas: Option<u32>) -> Result<bool, HostFault> {
        let name = self.of_part("manifest");
        match cas {
            Some(cas) => set(&mut HostStore, &name, &manifest.encode(), cas),
            // The first: on Envoy the first of these creates it, on nginx the second.
            None => {
                if get(&mut HostStore, &name)?.is_some() {
                    // One that cannot be read, as what can be is not passed over.
                    return put(&mut HostStore, &name, &manifest.encode());
                }
                Ok(set(&mut HostStore, &name, &manifest.encode(), NO_CAS)?
                    || set(&mut HostStore, &name, &manifest.encode(), 0)?)
            }
        }
    }

    /// Tells the holder of the lease that what counts by this generation cannot be taken up.
    pub(super) fn ask_for_renewal(&self, generation: u64) -> Result<(), HostFault> {
        put(&mut HostStore, &self.of_part("renew"), &generation.to_le_bytes()).map(|_| ())
    }

    /// The generation for which somebody asked so.
    pub(super) fn renewal_asked(&self) -> Result<Option<u64>, HostFault> {
        let asked = get(&mut HostStore, &self.of_part("renew"))?;
        Ok(asked.and_then(|(bytes, _)| bytes.try_into().ok()).map(u64::from_le_bytes))
    }
}

impl Manifest {
    /// Whether there is no room for another entry.
    pub(super) fn is_full(&self) -> bool {
        self.end.saturating_sub(self.first) >= ENTRIES
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.head.len().saturating_add(64));
        for number in self.numbers() {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(self.head.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, head) = bytes.split_first_chunk::<56>()?;
        let mut numbers = numbers.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let manifest = Manifest {
            generation: numbers.next()?,
            base_place: numbers.next()?,
            base_number: numbers.next()?,
            pages: numbers.next()?,
            first: numbers.next()?,
            end: numbers.next()?,
            snapshot_place: numbers.next()?,
            head: String::from_utf8(head.to_vec()).ok()?,
        };
        let entries = manifest.end.checked_sub(manifest.first)?;
        (entries <= ENTRIES).then_some(manifest)
    }

    fn numbers(&self) -> [u64; 7] {
        [
            self.generation,
            self.base_place,
            self.base_number,
            self.pages,
            self.first,
            self.end,
            self.snapshot_place,
        ]
    }
}
