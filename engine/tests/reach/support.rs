//! Rings, networks and time limits.

use std::future::Future;
use std::time::Duration;

use osmo_engine::IoChoice;
use osmo_engine::access::ProxyVariables;
use osmo_engine::net::Network;
use osmo_engine::net::names::{Hosts, Names, Settings};
use osmo_engine::net::proxy::Proxies;
use osmo_engine::ring::Ring;

/// Far beyond what anything here takes; a test that reaches it has failed.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(20);

/// Runs the test under every driver.
pub(crate) fn each_driver(test: impl AsyncFn(&Ring)) {
    each_driver_with(|| (), async |ring, ()| test(ring).await, drop);
}

/// Runs the test under every driver with what `before` makes; `after` gets it
/// once the ring holds nothing any more.
pub(crate) fn each_driver_with<T>(
    before: impl Fn() -> T,
    test: impl AsyncFn(&Ring, &T),
    after: impl Fn(T),
) {
    for choice in [IoChoice::Uring, IoChoice::Epoll] {
        match Ring::open(choice) {
            Ok((ring, _)) => {
                let made = before();
                let ended = ring.block_on(ring.within(WATCHDOG, test(&ring, &made)));
                assert!(ended.is_some(), "{choice:?}: the test hangs");
                after(made);
            }
            Err(fault) if std::env::var_os("OSMO_TEST_STRICT").is_none() => {
                skipped(&format!("{choice:?}: {fault}"));
            }
            Err(fault) => panic!("{choice:?}: {fault}"),
        }
    }
}

/// Runs the test on tokio.
pub(crate) fn on_tokio<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(WATCHDOG, test).await.expect("the test hangs") })
}

#[allow(clippy::print_stderr, reason = "a test that does not run says so")]
pub(crate) fn skipped(reason: &str) {
    let strict = std::env::var_os("OSMO_TEST_STRICT").is_some();
    assert!(!strict, "skipped under OSMO_TEST_STRICT: {reason}");
    eprintln!("skipped: {reason}");
}

/// Names out of a hosts file alone.
pub(crate) fn hosts(text: &str) -> Names {
    Names::given(Settings::default(), Hosts::parse(text))
}

/// A network with these hosts, and these variables set.
pub(crate) fn network(hosts_text: &str, variables: &[(&str, &str)]) -> Network {
    let lookup = |name: &str| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    Network {
        names: hosts(hosts_text),
        proxies: Proxies::of(&ProxyVariables::from_lookup(lookup)),
        ..Network::default()
    }
}
