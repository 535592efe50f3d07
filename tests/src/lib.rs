//! What the tests of the whole product share: vectors, scenarios, and doors for fuzzing.

pub mod doors;
pub mod scenario;
pub mod vectors;
