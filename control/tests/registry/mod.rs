//! The badge registry: agents, badges, proofs of possession, revocations.

mod agents;
mod badges;
mod proofs;
mod revocations;
mod support;
