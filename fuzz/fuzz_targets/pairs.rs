//! See `tests/src/doors/pairs.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portcullis_tests::doors::pairs(input);
});
