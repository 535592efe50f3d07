//! See `tests/src/doors/mcp.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portcullis_tests::doors::mcp(input);
});
