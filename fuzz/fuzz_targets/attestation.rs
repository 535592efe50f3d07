//! See `tests/src/doors/attestation.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portcullis_tests::doors::attestation(input);
});
