//! The router: paths, what a control pair says, datagrams.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use osmo_protocol::logger::Route;
use osmo_protocol::router::{
    DialBack, DialBackKind, PairKind, Side, UdpSource, WsRequest, pair_path,
};

use super::{expect_every, golden, text, variants};

const KEY: &str = "d32afd01e7be479a81a3c45bcb30460a";

const PATHS: [(&str, PairKind, &str); 4] = [
    ("router/path-exec.txt", PairKind::Exec, "EXEC"),
    ("router/path-portforward.txt", PairKind::PortForward, "PORTFORWARD"),
    ("router/path-rsync.txt", PairKind::Rsync, "RSYNC"),
    ("router/path-webserver.txt", PairKind::WebServer, "WEBSERVER"),
];

fn dial_backs() -> [(&'static str, DialBack); 3] {
    let of_a_user = DialBack {
        key: "PORTFORWARD-b65853b448d7491c99214cf9c8f49e70".into(),
        cookie: r#"_osmo_router_affinity="1758d1c8a4c6b1e2"; Path=/; SameSite=Strict; Secure"#
            .into(),
        kind: None,
        payload: None,
    };
    let tcp = DialBack {
        key: "PORTFORWARD-c58f136f2e3049f6ba3c2765151f2772".into(),
        cookie: "_osmo_router_affinity=abc".into(),
        kind: Some(DialBackKind::Tcp),
        payload: None,
    };
    let headers = [
        ("cookie", "_osmo_router_affinity=abc; session=1"),
        ("host", "webserver-52e9665310834f1d9f820e4a5ad91a7a.localhost:58001"),
        ("origin", "https://example.com"),
        ("sec-websocket-protocol", "chat, superchat"),
    ];
    let headers: BTreeMap<_, _> =
        headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let ws = DialBack {
        key: "PORTFORWARD-f837aa7dd61c4dd2ac28835da4612977".into(),
        kind: Some(DialBackKind::Ws),
        payload: Some(WsRequest { path: "/x?y=1".into(), headers }),
        ..tcp.clone()
    };
    [
        ("router/dial-back.json", of_a_user),
        ("router/dial-back-tcp.json", tcp),
        ("router/dial-back-ws.json", ws),
    ]
}

pub(super) fn files() -> Vec<&'static str> {
    let mut all = vec!["router/route.json", "router/path-client.txt"];
    all.extend(["router/udp.bin", "router/udp-empty.bin"]);
    all.extend(PATHS.map(|(name, ..)| name));
    all.extend(dial_backs().map(|(name, _)| name));
    all
}

#[test]
fn every_kind_has_a_file() {
    let kinds = variants!(PairKind: Exec PortForward Rsync WebServer);
    expect_every(kinds, PATHS.map(|(_, kind, _)| kind));
    let kinds = variants!(DialBackKind: Tcp Ws);
    expect_every(kinds, dial_backs().into_iter().filter_map(|(_, dial)| dial.kind));
    expect_every(variants!(Side: Backend Client), [Side::Backend, Side::Client]);
}

#[test]
fn paths_are_written() {
    for (name, kind, word) in PATHS {
        let key = format!("{word}-{KEY}");
        assert_eq!(pair_path(kind, "wf-1", Side::Backend, &key), text(name));
    }
    let client = pair_path(PairKind::Exec, "wf-1", Side::Client, &format!("EXEC-{KEY}"));
    assert_eq!(client, text("router/path-client.txt"));
}

#[test]
fn control_messages_are_read_and_written() {
    for (name, dial) in dial_backs() {
        assert_eq!(serde_json::from_slice::<DialBack>(&golden(name)).unwrap(), dial, "{name}");
        // OSMO's command line puts spaces between keys and values, which its
        // router does not.
        let compact = text(name).replace("\": ", "\":").replace(", \"", ",\"");
        assert_eq!(serde_json::to_string(&dial).unwrap(), compact, "{name}");
    }
}

#[test]
fn the_answer_to_a_user_is_read_and_written() {
    let route = Route {
        router_address: "ws://127.0.0.1:58001".into(),
        key: format!("EXEC-{KEY}"),
        cookie: "_osmo_router_affinity=abc; Path=/".into(),
    };
    let name = "router/route.json";
    assert_eq!(serde_json::from_slice::<Route>(&golden(name)).unwrap(), route);
    assert_eq!(serde_json::to_string(&route).unwrap(), text(name));
}

#[test]
fn datagrams_are_read_and_written() {
    for (name, address, port, payload) in [
        ("router/udp.bin", Ipv4Addr::LOCALHOST, 40_001, &b"ping 1"[..]),
        ("router/udp-empty.bin", Ipv4Addr::new(10, 1, 2, 3), 258, b""),
    ] {
        let (message, source) = (golden(name), UdpSource { address, port });
        assert_eq!(UdpSource::split(&message), Some((source, payload)), "{name}");
        assert_eq!([&source.encode(), payload].concat(), message, "{name}");
        assert_eq!(UdpSource::split(&message[..UdpSource::LEN - 1]), None);
    }
}
