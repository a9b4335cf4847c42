#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| turnkeep_fuzz::run("transcript", data));
