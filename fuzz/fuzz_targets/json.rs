//! See `tests/src/doors/json.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portcullis_tests::doors::json(input);
});
