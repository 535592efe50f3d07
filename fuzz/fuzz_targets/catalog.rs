//! See `tests/src/doors/catalog.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portcullis_tests::doors::catalog(input);
});
