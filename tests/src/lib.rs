//! What the tests of the whole product share: vectors, scenarios, and doors for fuzzing.

// The plugin's files that are tested here are without the standard library.
extern crate alloc;

pub mod doors;
pub mod scenario;
pub mod vectors;
