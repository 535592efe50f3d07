//! See `tests/src/doors/receipt.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portcullis_tests::doors::receipt(input);
});
