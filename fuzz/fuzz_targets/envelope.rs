//! See `tests/src/doors/envelope.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portcullis_tests::doors::envelope(input);
});
