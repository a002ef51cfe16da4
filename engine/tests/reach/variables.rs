//! The proxy variables: which one counts, and what is wrong with one.

use osmo_engine::net::NetError;
use osmo_engine::net::tls::Wire;
use osmo_engine::{ErrorKind, RetryClass};

use crate::support::network;

#[test]
fn a_variable_that_cannot_be_used_is_named_when_it_is_needed() {
    for value in [
        "socks5://Aladdin:sesame@h:1080",
        "https://Aladdin:sesame@h",
        "http://Aladdin:sesame@",
        "http://Aladdin:sesame@h:99999",
        "ftp://Aladdin:sesame@h",
        "http://Ala%3Addin:sesame@h",
    ] {
        let proxies = network("", &[("https_proxy", value)]).proxies;
        assert!(proxies.route(Wire::Plain, "store.test", 80).is_ok());
        let fault = proxies.route(Wire::Tls, "store.test", 443).unwrap_err();
        let fault = NetError::from(fault).at("https://store.test");
        assert_eq!((fault.kind(), fault.class()), (ErrorKind::Config, RetryClass::Fatal));
        let text = format!("{fault} {fault:?} {proxies:?}");
        assert!(text.contains("https_proxy") && text.contains("NO_PROXY"), "{text}");
        assert!(!text.contains("sesame"), "{text}");
    }
}

#[test]
fn variables_count_in_curls_order() {
    let route = |variables: &[(&str, &str)], wire| {
        let port = if wire == Wire::Plain { 80 } else { 443 };
        format!("{:?}", network("", variables).proxies.route(wire, "store.test", port).unwrap())
    };
    let all = [
        ("https_proxy", "a:1"),
        ("HTTPS_PROXY", "b:2"),
        ("all_proxy", "c:3"),
        ("ALL_PROXY", "http://d"),
    ];
    for (from, proxy) in [(0, "a:1"), (1, "b:2"), (2, "c:3"), (3, "d:80")] {
        let expected = format!("Tunnel(Proxy(http://{proxy}))");
        assert_eq!(route(&all[from..], Wire::Tls), expected);
    }
    assert_eq!(route(&all[..2], Wire::Plain), "Direct");
    assert_eq!(route(&all, Wire::Plain), "Forward(Proxy(http://c:3))");
    assert_eq!(route(&[("HTTP_PROXY", "http://h:1")], Wire::Plain), "Direct");
    assert_eq!(route(&[("http_proxy", "[::1]:1")], Wire::Plain), "Forward(Proxy(http://[::1]:1))");
    assert_eq!(route(&[("http_proxy", " ")], Wire::Plain), "Direct");
    let both = [("https_proxy", "a:1"), ("no_proxy", "store.test"), ("NO_PROXY", "other.test")];
    assert_eq!(route(&both, Wire::Tls), "Direct");
}
