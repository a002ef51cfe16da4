//! `NO_PROXY`, compared with what curl does.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use osmo_engine::net::proxy::Route;
use osmo_engine::net::tls::Wire;

use crate::support::{network, skipped};

fn direct(no_proxy: &str, host: &str, port: u16) -> bool {
    let variables = [("http_proxy", "http://proxy.test:3128"), ("NO_PROXY", no_proxy)];
    let proxies = network("", &variables).proxies;
    proxies.route(Wire::Plain, host, port).unwrap() == Route::Direct
}

/// List, host, whether it is reached directly: where we do what curl does.
const AGREED: &[(&str, &str, bool)] = &[
    ("", "a.test", false),
    ("*", "a.test", true),
    ("*", "192.0.2.1", true),
    ("a.test", "a.test", true),
    ("a.test", "A.TEST", true),
    ("A.Test", "a.test", true),
    ("a.test", "b.a.test", true),
    ("a.test", "ba.test", false),
    (".a.test", "b.a.test", true),
    (".a.test", "a.test", true),
    (".a.test", "ba.test", false),
    ("b.a.test", "a.test", false),
    ("x.test, a.test ,y.test", "a.test", true),
    ("x.test a.test", "a.test", true),
    ("a.test.", "a.test", true),
    ("a.test", "a.test.", true),
    ("192.0.2.1", "192.0.2.1", true),
    ("192.0.2.1", "192.0.2.11", false),
    ("192.0.2.0/24", "192.0.2.77", true),
    ("192.0.2.0/25", "192.0.2.200", false),
    ("192.0.2.0/24", "a.test", false),
    ("2001:db8::1", "2001:db8::1", true),
    ("2001:db8::/32", "2001:db9::1", false),
    ("2.1", "192.0.2.1", false),
    ("local", "localhost.test", false),
];

/// Where curl differs, or cannot be asked.
const OURS: &[(&str, &str, bool)] = &[
    // Brackets as in URLs, which older versions of curl do not know.
    ("[2001:db8::1]", "2001:db8::1", true),
    // As Go has it; curl 7.88 does not match this one.
    ("2001:db8::/32", "2001:db8:1::1", true),
    // Go's forms: a port, a leading star. The port below is 8080.
    ("a.test:8080", "a.test", true),
    ("a.test:80", "a.test", false),
    ("[2001:db8::1]:8080", "2001:db8::1", true),
    ("192.0.2.1:80", "192.0.2.1", false),
    ("*.a.test", "b.a.test", true),
    // This machine and its link are never asked for through a proxy.
    ("", "localhost", true),
    ("", "store.localhost", true),
    ("", "localhost.test", false),
    ("", "127.1.2.3", true),
    ("", "::1", true),
    ("", "::ffff:127.0.0.1", true),
    ("", "169.254.169.254", true),
    ("", "169.254.170.2", true),
    ("", "fe80::1", true),
    ("", "fd00:ec2::254", true),
    ("", "fd00:ec3::254", false),
    ("0.0.0.0/0", "198.51.100.1", true),
    ("::/0", "2001:db8::1", true),
    ("192.0.2.0/33,10.0.0.0/x,/8,:,[", "192.0.2.1", false),
];

#[test]
fn the_table() {
    for (list, host, expected) in AGREED.iter().chain(OURS) {
        assert_eq!(direct(list, host, 8080), *expected, "no_proxy={list} {host}");
    }
}

/// Two listeners that answer with their names.
fn answering(name: &'static str) -> (u16, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut bytes = [0; 1_024];
            while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                match stream.read(&mut bytes).unwrap() {
                    0 => return,
                    read => head.extend_from_slice(&bytes[..read]),
                }
            }
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{name}");
        }
    });
    (port, thread)
}

#[test]
fn curl_decides_alike() {
    if Command::new("curl").arg("--version").output().is_err() {
        return skipped("curl is not installed");
    }
    let ((proxy, proxy_thread), (store, store_thread)) = (answering("proxy"), answering("direct"));
    for (list, host, expected) in AGREED {
        let shown = if host.contains(':') { format!("[{host}]") } else { (*host).to_owned() };
        let output = Command::new("curl")
            .args(["-q", "-sS", "--max-time", "20", "--connect-to"])
            .arg(format!("::127.0.0.1:{store}"))
            .arg(format!("http://{shown}:8080/"))
            .env_clear()
            .env("http_proxy", format!("http://127.0.0.1:{proxy}"))
            .env("no_proxy", list)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        // With `--connect-to`, curl asks a proxy for the other host by CONNECT:
        // the proxy's plain answer then ends it, and it says nothing.
        let went_direct = said == "direct";
        let fault = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(went_direct, *expected, "no_proxy={list} {host}: {said} {fault}");
    }
    for (port, thread) in [(proxy, proxy_thread), (store, store_thread)] {
        drop(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
        thread.join().unwrap();
    }
}
