//! What the tests of the whole product share: vectors and scenarios.

pub mod scenario;
pub mod vectors;
