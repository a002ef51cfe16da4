//! How many descriptors the sidecar may have.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Agent, Service, Sidecar, TOKEN};
use osmo_protocol::socket::Frame;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Alone in its file: the low limit is the whole test's, and the sidecar
/// inherits it.
#[test]
fn the_sidecar_takes_all_that_it_may_have() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(512);
    setrlimit(Resource::Nofile, limit).unwrap();
    let service = Service::start(200, TOKEN, &[]);
    let sidecar = Sidecar::start(service.port, &[]);
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    let limits = fs::read_to_string(format!("/proc/{}/limits", sidecar.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = [3, 4].map(|at| line.split_whitespace().nth(at).unwrap());
    assert_ne!(hard, "512", "this machine allows no more");
    assert_eq!(soft, hard);
    agent.say(&Frame::ExecFinished);
    assert_eq!(sidecar.end().0, Some(0));
}
