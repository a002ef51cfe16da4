//! The control plane over TLS: the SDK through our client, a private CA.

use std::sync::Arc;

use osmo_engine::access::Environment;
use osmo_engine::config::Access;
use osmo_engine::job::StoreOptions;
use osmo_engine::s3::{Opened, PartDone, Rung, open_in};
use osmo_engine::uri::Uri;
use osmo_engine::{ErrorKind, Patience, RetryClass};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::bench::{each_driver, get, https, trusting};
use crate::pki::{Issued, Pki, json};
use crate::scripted::{Peer, Script, Server, answer, script};
use crate::server::Server as OpenSsl;

/// Runs the test beside something that ends TLS in front of `store`; the test
/// gets its port.
fn behind_tls<T>(issued: &Issued, store: &Server, test: impl AsyncFn(u16) -> T) -> T {
    let chain = vec![CertificateDer::from_pem_file(&issued.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&issued.key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let inner = store.url().strip_prefix("http://").unwrap().to_owned();
    on_tokio(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let relay = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (acceptor, inner) = (acceptor.clone(), inner.clone());
                tokio::spawn(async move {
                    // A client that does not trust us leaves in the handshake.
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    let mut plain = TcpStream::connect(inner).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut tls, &mut plain).await;
                });
            }
        });
        let done = test(port).await;
        relay.abort();
        done
    })
}

fn on_tokio<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let watchdog = std::time::Duration::from_secs(20);
    runtime.block_on(async { tokio::time::timeout(watchdog, test).await.expect("the test hangs") })
}

async fn opened(access: &Access, port: u16) -> Opened {
    let access = Access {
        endpoint_url: Some(https(port)),
        region: Some("us-east-1".to_owned()),
        anonymous: true,
        ..access.clone()
    };
    let uri = Uri::parse("s3://bkt").unwrap();
    let options = StoreOptions::default();
    let environment = Environment::default();
    open_in(&access, &environment, &uri, &options, &Patience::DEFAULT).await.unwrap()
}

/// A listing, and the life of a multipart upload, on one connection. The
/// documents are the examples of S3's API reference, shortened.
fn life() -> Vec<Script> {
    vec![script(|peer: &mut Peer| {
        let head = peer.head();
        assert!(head.starts_with("GET /bkt") && head.contains("list-type=2"), "{head}");
        peer.send(answer(
            "200 OK",
            "Content-Type: application/xml\r\n",
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bkt</Name>\
             <KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>\
             <Contents><Key>my-image.jpg</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified>\
             <ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag><Size>434234</Size>\
             </Contents></ListBucketResult>",
        ));
        let head = peer.head();
        assert!(head.starts_with("POST /bkt/example-object?uploads"), "{head}");
        peer.send(answer(
            "200 OK",
            "",
            "<InitiateMultipartUploadResult><Bucket>bkt</Bucket><Key>example-object</Key>\
             <UploadId>VXBsb2FkIElE</UploadId></InitiateMultipartUploadResult>",
        ));
        let head = peer.head();
        assert!(head.starts_with("POST /bkt/example-object?"), "{head}");
        assert!(head.contains("uploadId=VXBsb2FkIElE"), "{head}");
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
        });
        let body = String::from_utf8(peer.body(length.unwrap())).unwrap();
        assert!(body.contains("<PartNumber>1</PartNumber>"), "{body}");
        peer.send(answer(
            "200 OK",
            "",
            "<CompleteMultipartUploadResult><Bucket>bkt</Bucket><Key>example-object</Key>\
             <ETag>\"3858f62230ac3c915f300c664312c11f-9\"</ETag></CompleteMultipartUploadResult>",
        ));
        peer.closed();
    })]
}

fn lives(issued: &Issued, access: &Access) {
    let store = Server::start(life());
    behind_tls(issued, &store, async |port| {
        let Opened { control, .. } = opened(access, port).await;
        let page = control.list("bkt", "", None, None).await.unwrap();
        assert_eq!(page.objects[0].key, "my-image.jpg");
        assert_eq!(page.objects[0].bytes, 434_234);
        let key = "example-object";
        let upload = control.create("bkt", key, "text/plain", Rung::None).await.unwrap();
        assert_eq!(upload, "VXBsb2FkIElE");
        let part = PartDone { number: 1, etag: "\"e\"".to_owned(), crc64nvme: None };
        control.complete("bkt", key, &upload, vec![part], None, false).await.unwrap();
    });
    store.finish();
}

#[test]
fn a_private_ca_vouches_for_the_control_plane_s_store() {
    let Some(pki) = Pki::new() else { return };
    lives(&pki.honest(), &trusting(&pki.ca()));
}

#[test]
fn insecure_takes_any_certificate_for_the_control_plane() {
    let Some(pki) = Pki::new() else { return };
    let expired = pki.issue("any", "DNS:other.test", "20200101000000Z", "20210101000000Z");
    lives(&expired, &Access { insecure: true, ..Access::default() });
}

/// What both ways out say of one server.
fn same_words(server: &OpenSsl, access: &Access, kind: ErrorKind) {
    let control = on_tokio(async {
        let opened = opened(access, server.port).await;
        opened.control.list("bkt", "", None, None).await.unwrap_err()
    });
    let (control, class) = (control.to_string(), (control.kind(), control.class()));
    assert_eq!(class, (kind, RetryClass::Fatal), "{control}");
    each_driver(&https(server.port), access, async |bench| {
        let bytes = get(bench, "body-9", 100).await.unwrap_err().to_string();
        // The causes of the SDK's own stand between the sentence and ours.
        let (sentence, cause) = bytes.split_once(": ").unwrap();
        assert!(control.starts_with(sentence), "{control}\n{bytes}");
        let cause = cause.rsplit(": ").next().unwrap();
        assert!(control.ends_with(cause), "{control}\n{bytes}");
    });
}

#[test]
fn both_ways_out_refuse_a_certificate_in_the_same_words() {
    let Some(pki) = Pki::new() else { return };
    let stranger = Pki::named("stranger").unwrap();
    let honest = OpenSsl::start(&pki.honest(), "1.3", "");
    same_words(&honest, &trusting(&stranger.ca()), ErrorKind::Config);
    let other = pki.issue("other", "DNS:other.test", "20200101000000Z", "20991231000000Z");
    same_words(&OpenSsl::start(&other, "1.3", ""), &trusting(&pki.ca()), ErrorKind::Config);
}

#[test]
fn both_ways_out_explain_a_peer_that_wants_client_certificates() {
    let Some(pki) = Pki::new() else { return };
    let clients = format!(", \"clients\": {}", json(&pki.ca()));
    for version in ["1.2", "1.3"] {
        let server = OpenSsl::start(&pki.honest(), version, &clients);
        same_words(&server, &trusting(&pki.ca()), ErrorKind::Protocol);
    }
}
