//! See `tests/src/doors/guardrails.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portcullis_tests::doors::guardrails(input);
});
