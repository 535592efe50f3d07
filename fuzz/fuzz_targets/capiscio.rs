//! See `tests/src/doors/capiscio.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portcullis_tests::doors::capiscio(input);
});
