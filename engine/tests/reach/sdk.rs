//! The SDK's client: the same names, proxies and limits.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::{Client, Config};
use osmo_engine::net::{Network, Patience};
use osmo_engine::s3::client::http_client;

use crate::scripted::{Peer, Script, Server, answer, script};
use crate::support::{network, on_tokio, skipped};

fn client(network: &Network, url: &str, timeouts: TimeoutConfig) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .endpoint_url(url)
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .http_client(http_client(network, Patience::DEFAULT))
        .build();
    Client::from_conf(config)
}

/// The whole text of a failed HEAD.
async fn fault(client: &Client) -> String {
    let fault = client.head_object().bucket("bkt").key("k").send().await.unwrap_err();
    let mut text = format!("{fault:?}");
    let mut next = std::error::Error::source(&fault);
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}

fn head_answers(times: usize, check: impl Fn(&str) + Send + 'static) -> Script {
    script(move |peer: &mut Peer| {
        for _ in 0..times {
            check(&peer.head());
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nETag: \"e\"\r\n\r\n");
        }
        peer.closed();
    })
}

#[test]
fn requests_share_a_connection_to_a_name_of_ours() {
    let server = Server::start(vec![head_answers(3, |head| {
        assert!(head.starts_with("HEAD /bkt/k "), "{head}");
        assert!(!head.to_lowercase().contains("proxy"), "{head}");
    })]);
    let port = server.url().rsplit_once(':').unwrap().1.to_owned();
    let network = network("::1 store.test\n127.0.0.1 store.test", &[]);
    on_tokio(async {
        let client = client(&network, &format!("http://store.test:{port}"), timeouts());
        for _ in 0..3 {
            let answer = client.head_object().bucket("bkt").key("k").send().await.unwrap();
            assert_eq!(answer.content_length(), Some(9));
        }
    });
    server.finish();
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(10))
        .build()
}

#[test]
fn an_http_endpoint_is_asked_for_through_the_proxy() {
    let server = Server::start(vec![head_answers(2, |head| {
        assert!(head.starts_with("HEAD http://store.test:9000/bkt/k "), "{head}");
        let head = head.to_lowercase();
        assert!(head.contains("\r\nhost: store.test:9000\r\n"), "{head}");
        let field = "\r\nproxy-authorization: basic qwxhzgrpbjpvcgvuihnlc2ftzq==\r\n";
        assert!(head.contains(field), "{head}");
    })]);
    let proxy = server.url().replace("http://", "http://Aladdin:open%20sesame@");
    on_tokio(async {
        let network = network("", &[("http_proxy", &proxy)]);
        let client = client(&network, "http://store.test:9000", timeouts());
        for _ in 0..2 {
            client.head_object().bucket("bkt").key("k").send().await.unwrap();
        }
    });
    server.finish();
}

#[test]
fn a_refusing_proxy_is_named_and_no_secret_is() {
    for (connect, said, words) in [
        (false, answer("407 No", "", ""), "refuses the user name"),
        (true, answer("407 No", "", ""), "refuses the user name"),
        (true, answer("403 No", "", ""), "does not allow connections to store.test:443"),
        (true, answer("502 No", "", ""), "cannot reach store.test:443"),
    ] {
        let server = Server::start(vec![script(move |peer: &mut Peer| {
            let head = peer.head();
            assert_eq!(head.starts_with("CONNECT store.test:443 HTTP/1.1\r\n"), connect, "{head}");
            peer.send(said);
            peer.closed();
        })]);
        let proxy = server.url().replace("http://", "http://Aladdin:open%20sesame@");
        let network = network("", &[("http_proxy", &proxy), ("https_proxy", &proxy)]);
        let url = if connect { "https://store.test" } else { "http://store.test" };
        let text = on_tokio(async { fault(&client(&network, url, timeouts())).await });
        assert!(text.contains(words) && text.contains(&server.url()), "{text}");
        assert!(!text.contains("sesame") && !text.contains("QWxhZGRpb"), "{text}");
        server.finish();
    }
}

#[test]
fn a_name_that_is_not_there_and_a_port_nobody_listens_at() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let network = network("", &[]);
    on_tokio(async {
        let text = fault(&client(&network, "http://a..b", timeouts())).await;
        assert!(text.contains("is not a host name"), "{text}");
        let text = fault(&client(&network, &format!("http://{free}"), timeouts())).await;
        assert!(text.contains(&format!("{free} takes no connection")), "{text}");
    });
}

#[test]
fn a_store_that_says_nothing_is_given_up_at_the_read_limit() {
    let server = Server::start(vec![script(|peer: &mut Peer| {
        peer.head();
        peer.closed();
    })]);
    let hurried = TimeoutConfig::builder().read_timeout(Duration::from_millis(20)).build();
    let text = on_tokio(async { fault(&client(&network("", &[]), &server.url(), hurried)).await });
    assert!(text.contains("no answer came for 20ms"), "{text}");
    server.finish();
}

/// A proxy that others wrote; ended with the test.
struct Tinyproxy {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Tinyproxy {
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (config, log) = (folder.path().join("config"), folder.path().join("log"));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 30\nMaxClients 10\nLogLevel Connect\n\
             LogFile \"{}\"\nBasicAuth Aladdin sesame\nAllow 127.0.0.1\n",
            log.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new("tinyproxy")
            .arg("-d")
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "tinyproxy ended");
            std::thread::yield_now();
        }
        Some(Self { child, port, _folder: folder })
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine that no rule takes for its own; nothing is sent.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[test]
fn tinyproxy_takes_what_we_send() {
    let Some(proxy) = Tinyproxy::start() else { return skipped("tinyproxy is not on PATH") };
    let Some(ip) = own_address() else { return skipped("this machine has loopback only") };
    let listener = std::net::TcpListener::bind((ip, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let store = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut bytes = [0; 4_096];
        while !head.windows(4).any(|w| w == b"\r\n\r\n") {
            let read = stream.read(&mut bytes).unwrap();
            assert!(read > 0);
            head.extend_from_slice(&bytes[..read]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nETag: \"e\"\r\n\r\n").unwrap();
        let head = String::from_utf8(head).unwrap();
        // It speaks to the store in origin form, and keeps its password.
        assert!(head.starts_with("HEAD /bkt/k HTTP/1.1\r\n"), "{head}");
        assert!(!head.to_lowercase().contains("proxy-authorization"), "{head}");
        // CONNECT ends here too; the handshake that follows is cut.
        let (mut stream, _) = listener.accept().unwrap();
        let read = stream.read(&mut bytes).unwrap();
        // RFC 8446, section 5.1: a handshake record.
        assert_eq!(bytes[..read].first(), Some(&22));
    });
    let with = |user: &str| {
        let url = format!("http://{user}@127.0.0.1:{}", proxy.port);
        network("", &[("http_proxy", &url), ("https_proxy", &url)])
    };
    let (plain, tls) = (format!("http://{ip}:{port}"), format!("https://{ip}:{port}"));
    on_tokio(async {
        for url in [&plain, &tls] {
            let text = fault(&client(&with("Aladdin:wrong"), url, timeouts())).await;
            assert!(text.contains("refuses the user name"), "{text}");
        }
        let good = client(&with("Aladdin:sesame"), &plain, timeouts());
        let answer = good.head_object().bucket("bkt").key("k").send().await.unwrap();
        assert_eq!(answer.content_length(), Some(9));
        let text = fault(&client(&with("Aladdin:sesame"), &tls, timeouts())).await;
        assert!(text.contains("connection"), "{text}");
    });
    store.join().unwrap();
}
