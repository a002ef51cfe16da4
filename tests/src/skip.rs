//! Skipping out loud.

/// Says why a test cannot run here; fails instead under `OSMO_TEST_STRICT`.
///
/// # Panics
/// When `OSMO_TEST_STRICT` is set, as in CI.
#[allow(clippy::print_stderr, reason = "a skipped test must be seen")]
pub fn skip(reason: &str) {
    assert!(
        std::env::var_os("OSMO_TEST_STRICT").is_none(),
        "skipped under OSMO_TEST_STRICT: {reason}"
    );
    eprintln!("skipped: {reason}");
}
