//! Catalogs of gates: what they offer, who finds it, and which passports have its terms.

mod discover;
mod pins;
mod support;
mod versions;
