//! See `tests/src/doors/configuration.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portcullis_tests::doors::configuration(input);
});
