//! Micro-benches of what the byte path calls once a buffer or a request:
//! `cargo bench -p osmo-benches`. The package holds nothing else yet.
