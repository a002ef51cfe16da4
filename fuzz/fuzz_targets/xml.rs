#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| osmo_engine::fuzz::xml(bytes));
