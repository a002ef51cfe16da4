//! A task's web pages, through the service's browser address: curl, Chromium.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, str};

use super::live::{Live, UNTIL_DONE, WATCHDOG, free_port, has, text};

const CHROMIUM: &str = "chromium-headless-shell";

/// A task's web server and the address that the service gives it.
struct Site {
    live: Live,
    service: String,
    host: String,
}

impl Site {
    /// `serve` starts the server on `port`.
    fn open(port: u16, serve: &str) -> Self {
        let live = Live::start(&format!("{serve} &\n      {UNTIL_DONE}"));
        live.wait_for(port);
        let login = fs::read_to_string(live.login()).unwrap();
        // YAML or JSON: a value begins behind its name and ends before a quote.
        let value = |name: &str| {
            let rest = login.split_once(name).unwrap().1.trim_start_matches(['"', ':', ' ', '\'']);
            rest.split(['"', '\'', ',', '\n', ' ', '}']).next().unwrap().to_owned()
        };
        let (service, bearer) =
            (value("url"), format!("Authorization: Bearer {}", value("id_token")));
        let ask = format!("{service}/api/workflow/live-1/webserver/only?task_port={port}");
        let answer: serde_json::Value =
            serde_json::from_slice(&curl(&["-X", "POST", "-H", &bearer, &ask])).unwrap();
        let key = answer["key"].as_str().unwrap().to_lowercase();
        let alive = format!("{service}/api/router/webserver/{key}");
        let begun = Instant::now();
        while curl(&["-H", &bearer, &alive]) != b"true" {
            assert!(begun.elapsed() < WATCHDOG, "the task's webserver is never alive");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { live, service, host: format!("{key}.localhost") }
    }

    fn end(self) {
        self.live.exec("touch /osmo/output/done");
        assert_eq!(self.live.end(), Some(0));
    }
}

fn curl(words: &[&str]) -> Vec<u8> {
    let output = Command::new("curl").args(["-s", "--max-time", "30"]).args(words).output();
    output.unwrap().stdout
}

#[test]
fn curl_reaches_a_task_through_the_service() {
    if !has("curl") {
        return;
    }
    let port = free_port();
    let site = Site::open(
        port,
        &format!(
            "mkdir -p /osmo/run/web && echo hello from the task >'/osmo/run/web/a b'\n      \
             head -c 3000000 /dev/urandom >/osmo/run/web/big\n      \
             python3 -m http.server --bind 127.0.0.1 --directory /osmo/run/web {port} \
             >/osmo/run/log 2>&1"
        ),
    );
    let (url, host) = (&site.service, format!("Host: {}", site.host));
    let page = text(&curl(&["-i", "-H", &host, &format!("{url}/a%20b")]));
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("hello from the task"), "{page}");
    let missing =
        curl(&["-o", "/dev/null", "-w", "%{http_code}", "-H", &host, &format!("{url}/no")]);
    assert_eq!(text(&missing), "404");
    let sum = site.live.exec("sha256sum </osmo/run/web/big");
    let command = format!("curl -s -H '{host}' {url}/big | sha256sum");
    let got = Command::new("sh").args(["-c", &command]).output().unwrap().stdout;
    assert_eq!(text(&got)[..64], text(&sum.stdout)[..64]);
    site.end();
}

/// The page's own script writes what it saw into it: see `browser/script.js`.
#[test]
fn chromium_runs_a_task_s_page() {
    if !has("curl") || !has(CHROMIUM) {
        return;
    }
    let port = free_port();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run/browser");
    let serve = folder.join("serve.py");
    let site = Site::open(
        port,
        &format!(
            "head -c 3000000 /dev/urandom >/osmo/run/big\n      \
             python3 '{}' {port} /osmo/run/big >/osmo/run/log 2>&1",
            serve.display()
        ),
    );
    let sum = text(&site.live.exec("sha256sum </osmo/run/big").stdout)[..64].to_owned();
    // What `pieces` of serve.py sends, made by other means.
    let pieces =
        "i=0; while [ $i -lt 100 ]; do printf 'piece %d;' $i; i=$((i+1)); done | sha256sum";
    let pieces = Command::new("sh").args(["-c", pieces]).output().unwrap().stdout;
    let pieces = &text(&pieces)[..64];
    let address = format!("http://{}:{}/", site.host, site.service.rsplit(':').next().unwrap());
    let page = dump(site.live.desk.state.path(), &address);
    let told = page.split_once("<pre id=\"told\">").expect(&page).1;
    let told: Vec<&str> = told.split_once("</pre>").unwrap().0.lines().collect();
    let expected = [
        "cookies: from=task own=browser",
        "echo: GET /echo/a%20b?q=%C3%A9%2F from=task; own=browser",
        "posted: POST schöner Tag €",
        "moved: true /echo/after%20a%20move?x=%2F",
        "missing: 404 not here",
        &format!("pieces: {pieces}"),
        &format!("big: {sum}"),
        "many: true",
        "socket: knows from=task; own=browser",
        "text: ein schöner Text €",
        "bytes: true",
        "closed: yes",
        "end: all done",
    ];
    assert_eq!(told, expected, "{}", text(&site.live.exec("cat /osmo/run/log").stdout));
    site.end();
}

/// The document as it is when everything of it was loaded.
fn dump(folder: &Path, address: &str) -> String {
    // Chromium's own sandbox refuses root; nothing foreign is opened here.
    let mut browser = Command::new("timeout");
    browser
        .args(["120", CHROMIUM, "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--no-proxy-server"])
        .arg(format!("--user-data-dir={}", folder.join("chromium").display()))
        .args(["--dump-dom", address]);
    let output = browser.env("HOME", folder).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}: {}", output.status, text(&output.stderr));
    str::from_utf8(&output.stdout).unwrap().to_owned()
}
