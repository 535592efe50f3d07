//! See `tests/src/doors/delegation.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portcullis_tests::doors::delegation(input);
});
