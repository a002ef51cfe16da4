//! Whom we talk to: every way not to trust somebody, each with its sentence.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use osmo_engine::access::Environment;
use osmo_engine::config::Access;
use osmo_engine::net::Patience;
use osmo_engine::net::tls::Tls;
use osmo_engine::{ErrorKind, RetryClass};

use crate::bench::{content, each_driver, get, https, patiently, trusting};
use crate::pki::{Issued, Pki, json};
use crate::server::Server;

fn refused(issued: &Issued, more: &str, access: &Access, kind: ErrorKind, words: &[&str]) {
    let server = Server::start(issued, "1.3", more);
    refused_by(&server, access, kind, words);
}

fn refused_by(server: &Server, access: &Access, kind: ErrorKind, words: &[&str]) {
    each_driver(&https(server.port), access, async |bench| {
        let fault = get(bench, "body-9", 100).await.unwrap_err();
        assert_eq!((fault.kind(), fault.class()), (kind, RetryClass::Fatal), "{fault}");
        let said = fault.to_string();
        assert!(said.contains(&https(server.port)), "{said}");
        for word in words {
            assert!(said.contains(word), "no {word:?} in: {said}");
        }
    });
}

#[test]
fn certificates_that_are_not_to_be_trusted_are_refused() {
    let Some(pki) = Pki::new() else { return };
    let trusts = trusting(&pki.ca());
    let (long_ago, soon) = ("20200101000000Z", "20991231000000Z");
    let ip = "IP:127.0.0.1";
    let config = ErrorKind::Config;
    let expired = pki.issue("expired", ip, long_ago, "20210101000000Z");
    refused(&expired, "", &trusts, config, &["has expired", "clock"]);
    let early = pki.issue("early", ip, "20980101000000Z", soon);
    refused(&early, "", &trusts, config, &["not valid yet", "clock"]);
    let other = pki.issue("other", "DNS:other.test,IP:127.0.0.2", long_ago, soon);
    refused(&other, "", &trusts, config, &["other.test", "not for 127.0.0.1"]);
    let honest = pki.honest();
    let stranger = Pki::named("stranger").unwrap();
    let words = ["nobody who is trusted", "--ca-bundle", "AWS_CA_BUNDLE"];
    refused(&honest, "", &trusting(&stranger.ca()), config, &words);
    // A CA that was made anew under its old name.
    let again = Pki::new().unwrap();
    refused(&honest, "", &trusting(&again.ca()), config, &["not signed by", "--ca-bundle"]);
    // Whatever the system's roots are, this CA is none of them.
    if Tls::default().client_config().is_ok() {
        refused(&honest, "", &Access::default(), config, &["--ca-bundle"]);
    }
}

#[test]
fn a_peer_that_refuses_us_says_why() {
    let Some(pki) = Pki::new() else { return };
    let (honest, trusts) = (pki.honest(), trusting(&pki.ca()));
    let clients = format!(", \"clients\": {}", json(&pki.ca()));
    // In 1.2 within the handshake, in 1.3 instead of the first answer.
    for version in ["1.2", "1.3"] {
        let server = Server::start(&honest, version, &clients);
        refused_by(&server, &trusts, ErrorKind::Protocol, &["client certificates"]);
    }
}

#[test]
fn insecure_takes_any_certificate() {
    let Some(pki) = Pki::new() else { return };
    let issued = pki.issue("any", "DNS:other.test", "20200101000000Z", "20210101000000Z");
    let access = Access { insecure: true, ..Access::default() };
    for version in ["1.2", "1.3"] {
        let server = Server::start(&issued, version, "");
        each_driver(&https(server.port), &access, async |bench| {
            assert!(get(bench, "body-9", 100).await.unwrap().1 == content(9));
        });
    }
}

#[test]
fn the_environment_s_bundle_stands_in_for_the_flag() {
    let Some(pki) = Pki::new() else { return };
    let bundle = pki.ca().to_str().unwrap().to_owned();
    let environment =
        Environment::from_lookup(|name| (name == "AWS_CA_BUNDLE").then(|| bundle.clone()));
    assert_eq!(environment.ca_bundle, Some(pki.ca()));
    Tls::open_in(&Access::default(), &environment).unwrap().client_config().unwrap();
    let nowhere = Environment::from_lookup(|_| Some("/nowhere/ca.pem".to_owned()));
    let fault = Tls::open_in(&Access::default(), &nowhere).unwrap_err();
    assert!(fault.to_string().contains("AWS_CA_BUNDLE"), "{fault}");
    // The flag wins.
    Tls::open_in(&trusting(&pki.ca()), &nowhere).unwrap();
}

#[test]
fn bundles_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let begin = "-----BEGIN CERTIFICATE-----\n";
    let end = "-----END CERTIFICATE-----\n";
    for (name, content, words) in [
        ("empty.pem", String::new(), "holds no certificate"),
        ("text.pem", "certificates, soon\n".to_owned(), "holds no certificate"),
        ("cut.pem", format!("{begin}MIIB"), "not well-formed PEM"),
        ("other.pem", format!("{begin}aGVsbG8=\n{end}"), "can be parsed"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let fault = Tls::open_in(&trusting(&path), &Environment::default()).unwrap_err();
        assert_eq!(fault.kind(), ErrorKind::Config);
        let said = fault.to_string();
        for word in [path.to_str().unwrap(), words, "--ca-bundle"] {
            assert!(said.contains(word), "no {word:?} in: {said}");
        }
    }
    for path in [folder.path().join("missing.pem"), folder.path().to_owned()] {
        let fault = Tls::open_in(&trusting(&path), &Environment::default()).unwrap_err();
        assert_eq!(fault.kind(), ErrorKind::Config);
        assert!(fault.to_string().contains("cannot be read"), "{fault}");
    }
}

/// Serves one connection for each driver with `serve`.
fn peer(
    serve: impl Fn(std::net::TcpStream) + Send + 'static,
) -> (u16, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        for _ in 0..2 {
            serve(listener.accept().unwrap().0);
        }
    });
    (port, serving)
}

fn insecure() -> Access {
    Access { insecure: true, ..Access::default() }
}

#[test]
fn a_peer_without_tls_is_told_apart() {
    let (port, serving) = peer(|mut stream| {
        let mut hello = [0; 64];
        let _ = stream.read(&mut hello).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    each_driver(&https(port), &insecure(), async |bench| {
        let fault = get(bench, "k", 100).await.unwrap_err();
        assert_eq!((fault.kind(), fault.class()), (ErrorKind::Config, RetryClass::Fatal));
        assert!(fault.to_string().contains("does not speak TLS"), "{fault}");
        assert!(fault.to_string().contains("http://"), "{fault}");
    });
    serving.join().unwrap();
}

#[test]
fn a_handshake_that_breaks_off_may_be_tried_again() {
    let (port, serving) = peer(|mut stream| {
        let mut hello = [0; 64];
        let _ = stream.read(&mut hello).unwrap();
    });
    each_driver(&https(port), &insecure(), async |bench| {
        let fault = get(bench, "k", 100).await.unwrap_err();
        assert_eq!((fault.kind(), fault.class()), (ErrorKind::Unreachable, RetryClass::Retry));
    });
    serving.join().unwrap();
}

#[test]
fn a_handshake_that_stalls_is_given_up() {
    let (port, serving) = peer(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let patience = Patience { handshake: Duration::from_millis(20), ..Patience::DEFAULT };
    patiently(&https(port), &insecure(), patience, async |bench| {
        let fault = get(bench, "k", 100).await.unwrap_err();
        assert_eq!((fault.kind(), fault.class()), (ErrorKind::Unreachable, RetryClass::Retry));
        assert!(fault.to_string().contains("TLS handshake"), "{fault}");
    });
    serving.join().unwrap();
}
