//! See `tests/src/doors/jwt.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portcullis_tests::doors::jwt(input);
});
