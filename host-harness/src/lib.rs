//! host-harness
