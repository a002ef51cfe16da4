//! Names to addresses, from a name server that the test plays.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::join_all;
use osmo_engine::net::names::{Hosts, NameFault, Names, Settings};

use crate::dns::{Kind, NameServer, Query, Reply, ips};
use crate::support::{each_driver, on_tokio};

/// What a pod has, but for the name server's address.
const POD: &str = "search ns.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 \
                   timeout:1 attempts:1";

fn names(server: &NameServer, resolv_conf: &str, hosts: &str) -> Names {
    let mut settings = Settings::parse(resolv_conf);
    settings.servers = vec![server.address];
    Names::given(settings, Hosts::parse(hosts))
}

fn lookup(names: &Names, host: &str) -> Result<Vec<IpAddr>, NameFault> {
    on_tokio(names.lookup(host)).map(|found| found.to_vec())
}

/// Knows one name, with both families.
fn only(name: &'static str) -> impl Fn(&Query) -> Reply {
    move |query| match query.name == name {
        true => Reply::Addresses(ips(&["192.0.2.1", "192.0.2.2", "2001:db8::1"]), 60),
        false => Reply::Code(3),
    }
}

/// A future that ends when all do, in their order.
mod futures {
    use std::future::{Future, poll_fn};
    use std::task::Poll;

    pub(super) async fn join_all<F: Future>(all: impl IntoIterator<Item = F>) -> Vec<F::Output> {
        let mut all: Vec<_> = all.into_iter().map(|f| (Box::pin(f), None)).collect();
        poll_fn(|cx| {
            for (future, done) in all.iter_mut().filter(|(_, done)| done.is_none()) {
                if let Poll::Ready(output) = future.as_mut().poll(cx) {
                    *done = Some(output);
                }
            }
            let over = all.iter().all(|(_, done)| done.is_some());
            if over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        all.into_iter().filter_map(|(_, done)| done).collect()
    }
}

#[test]
fn the_search_list_is_walked_in_order_and_both_families_come() {
    let server = NameServer::start(only("s3.example.com"));
    let names = names(&server, POD, "");
    let all = ips(&["2001:db8::1", "192.0.2.1", "192.0.2.2"]);
    assert_eq!(lookup(&names, "S3.example.com").unwrap(), all);
    let asked = [
        "s3.example.com.ns.svc.cluster.local",
        "s3.example.com.svc.cluster.local",
        "s3.example.com.cluster.local",
        "s3.example.com",
    ];
    assert_eq!(server.names(), asked);
    // Remembered: nobody is asked again.
    assert_eq!(lookup(&names, "s3.example.com").unwrap(), all);
    assert_eq!(server.names(), asked);
    // A last dot ends the search.
    assert_eq!(lookup(&names, "s3.example.com.").unwrap(), all);
    assert!(server.names().len() <= asked.len() + 1);
}

#[test]
fn a_name_with_dots_enough_is_asked_for_as_it_is_first() {
    let server = NameServer::start(only("a.b.c.d.e.f"));
    lookup(&names(&server, POD, ""), "a.b.c.d.e.f").unwrap();
    assert_eq!(server.names(), ["a.b.c.d.e.f"]);
}

#[test]
fn a_service_in_the_pods_own_namespace_is_found_first() {
    let server = NameServer::start(only("minio.ns.svc.cluster.local"));
    lookup(&names(&server, POD, ""), "minio").unwrap();
    assert_eq!(server.names(), ["minio.ns.svc.cluster.local"]);
}

#[test]
fn literals_localhost_and_the_hosts_file_ask_nobody() {
    let server = NameServer::start(|_| Reply::Code(2));
    let names = names(&server, POD, "192.0.2.9 Store.internal store # ours\n::9 store\nbad x\n");
    for (host, found) in [
        ("192.0.2.7", &["192.0.2.7"][..]),
        ("2001:db8::7", &["2001:db8::7"]),
        ("localhost", &["::1", "127.0.0.1"]),
        ("a.LOCALHOST.", &["::1", "127.0.0.1"]),
        ("store", &["192.0.2.9", "::9"]),
        ("STORE.internal.", &["192.0.2.9"]),
    ] {
        assert_eq!(lookup(&names, host).unwrap(), ips(found), "{host}");
    }
    assert_eq!(server.asked(), []);
}

#[test]
fn a_truncated_answer_is_asked_for_over_tcp() {
    let server = NameServer::start(|query| match query.tcp {
        false => Reply::Truncated,
        true => Reply::Addresses((1..=100).map(|n| IpAddr::from([192, 0, 2, n])).collect(), 60),
    });
    let found = lookup(&names(&server, "options timeout:5", ""), "many.test").unwrap();
    assert_eq!(found[0], IpAddr::from([192, 0, 2, 1]));
    assert!(found.len() <= osmo_engine::net::names::ADDRESSES_MAX);
    assert!(server.asked().iter().any(|query| query.tcp && query.kind == Kind::A));
}

#[test]
fn use_vc_asks_over_tcp_only() {
    let server = NameServer::start(only("big.test"));
    lookup(&names(&server, "options use-vc", ""), "big.test").unwrap();
    assert!(server.asked().iter().all(|query| query.tcp), "{:?}", server.asked());
}

#[test]
fn one_family_alone_is_enough() {
    for (address, other) in [("192.0.2.1", Kind::Aaaa), ("2001:db8::1", Kind::A)] {
        // The other family: no records; an error; no answer at all.
        for trouble in 0..3 {
            let server = NameServer::start(move |query| match (query.kind == other, trouble) {
                (false, _) => Reply::Addresses(ips(&[address]), 60),
                (true, 0) => Reply::Code(0),
                (true, 1) => Reply::Code(2),
                (true, _) => Reply::Silence,
            });
            // Longer than the watchdog.
            let names = names(&server, "options timeout:30", "");
            assert_eq!(lookup(&names, "one.test").unwrap(), ips(&[address]));
        }
    }
}

#[test]
fn a_name_that_is_not_there_says_what_was_asked_for() {
    let server = NameServer::start(|_| Reply::Code(3));
    let fault = lookup(&names(&server, POD, ""), "minoi").unwrap_err();
    assert!(!fault.passes());
    let said = fault.to_string();
    for words in ["minoi.ns.svc.cluster.local", "minoi.cluster.local, minoi)", "spelling", "DNS"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_name_without_addresses_is_told_from_one_that_is_not_there() {
    let server = NameServer::start(|_| Reply::Code(0));
    let fault = lookup(&names(&server, "", ""), "bare.test").unwrap_err();
    assert_eq!(fault, NameFault::Bare { host: "bare.test".to_owned() });
    assert!(!fault.passes());
}

#[test]
fn servers_in_trouble_may_be_asked_again() {
    let server = NameServer::start(|_| Reply::Code(2));
    let fault = lookup(&names(&server, POD, ""), "store").unwrap_err();
    assert!(fault.passes());
    assert!(fault.to_string().contains("(2)"), "{fault}");
    // The other names of the list are asked for all the same.
    let server = NameServer::start(|query| match query.name.as_str() {
        "store.ns.svc.cluster.local" => Reply::Code(2),
        "store.svc.cluster.local" => Reply::Addresses(ips(&["192.0.2.1"]), 60),
        _ => Reply::Code(3),
    });
    assert_eq!(lookup(&names(&server, POD, ""), "store").unwrap(), ips(&["192.0.2.1"]));
    // And one that did not answer is no proof against the name.
    let server = NameServer::start(|query| match query.name.as_str() {
        "store.ns.svc.cluster.local" => Reply::Code(5),
        _ => Reply::Code(3),
    });
    assert!(lookup(&names(&server, POD, ""), "store").unwrap_err().passes());
}

#[test]
fn a_silent_server_is_given_up_and_named() {
    let server = NameServer::start(|_| Reply::Silence);
    let fault = lookup(&names(&server, POD, ""), "store").unwrap_err();
    assert!(fault.passes());
    let said = fault.to_string();
    assert!(said.contains(&server.address.to_string()), "{said}");
    assert!(said.contains("1 × 1s"), "{said}");
    // It was not asked for the rest of the list.
    assert!(server.names().iter().all(|name| name == "store.ns.svc.cluster.local"));
}

#[test]
fn the_second_server_answers_for_the_first() {
    let silent = NameServer::start(|_| Reply::Silence);
    let server = NameServer::start(only("store.test"));
    let mut settings = Settings::parse("options timeout:2");
    settings.servers = vec![silent.address, server.address];
    let names = Names::given(settings, Hosts::default());
    assert_eq!(lookup(&names, "store.test").unwrap().len(), 3);
}

#[test]
fn what_cannot_be_a_name_is_not_asked_for() {
    let server = NameServer::start(|_| Reply::Code(3));
    let names = names(&server, "", "");
    for host in ["a..b", "", &"x".repeat(64)] {
        let fault = lookup(&names, host).unwrap_err();
        assert_eq!(fault, NameFault::Malformed { host: host.to_owned() });
        assert!(!fault.passes());
    }
    assert_eq!(server.asked(), []);
}

#[test]
fn however_many_ask_for_a_name_at_once_it_is_asked_for_once() {
    let server = NameServer::start(only("store.test"));
    let names = names(&server, "", "");
    let found = on_tokio(join_all((0..200).map(|_| names.lookup("store.test"))));
    assert!(found.iter().all(|found| found.as_ref().unwrap().len() == 3));
    assert_eq!(server.names(), ["store.test"]);
}

#[test]
fn what_was_known_serves_while_nobody_answers() {
    let broken = Arc::new(AtomicBool::new(false));
    let server = NameServer::start({
        let broken = Arc::clone(&broken);
        move |_| match broken.load(Ordering::SeqCst) {
            false => Reply::Addresses(ips(&["192.0.2.1"]), 0),
            true => Reply::Code(2),
        }
    });
    let names = names(&server, "options attempts:1", "");
    assert_eq!(lookup(&names, "store.test").unwrap(), ips(&["192.0.2.1"]));
    broken.store(true, Ordering::SeqCst);
    names.doubt("store.test");
    let before = server.asked().len();
    assert_eq!(lookup(&names, "store.test").unwrap(), ips(&["192.0.2.1"]));
    assert!(server.asked().len() > before, "it was asked for again");
    assert!(lookup(&names, "other.test").is_err());
}

#[test]
fn files_are_read_and_missing_ones_count_as_empty() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "192.0.2.3 store\n").unwrap();
    let names = Names::from_files(folder.path().join("none"), &hosts);
    assert_eq!(lookup(&names, "store").unwrap(), ips(&["192.0.2.3"]));
    let names = Names::from_files(folder.path().join("none"), folder.path().join("none"));
    assert_eq!(lookup(&names, "192.0.2.3").unwrap(), ips(&["192.0.2.3"]));
}

#[test]
fn a_ring_waits_for_an_answer_as_tokio_does() {
    let server = NameServer::start(only("store.test"));
    each_driver(async |ring| {
        let names = names(&server, "", "");
        let found = ring.within(Duration::from_secs(10), names.lookup("store.test")).await;
        assert_eq!(found.unwrap().unwrap().len(), 3);
    });
}
