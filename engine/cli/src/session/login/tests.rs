#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;

use super::*;

// As OSMO's own command line leaves it (PyYAML's dump of its model).
const BY_NAME: &str = "dev_login:\n  username: alice\nname: alice\nosmo_token: false\n\
                       token_login: null\nurl: http://localhost:8000\n";

fn by_token(id: &str, url: &str, osmo: bool) -> String {
    format!(
        "dev_login: null\nname: ''\nosmo_token: {osmo}\ntoken_login:\n  client_id: osmo-cli\n  \
         id_token: {id}\n  refresh_token: r e&f\n  refresh_url: {url}\n  username: null\n\
         url: https://osmo.example.com\n"
    )
}

/// A JWT whose claims are `{"exp": …}`.
fn jwt(exp: u64) -> String {
    format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{exp}}}")))
}

#[test]
fn a_name_is_shown_in_its_header() {
    let account = Account::parse(Path::new("login.yaml"), BY_NAME).unwrap();
    let headers = account.headers().unwrap();
    assert_eq!(headers.get("x-osmo-user").unwrap(), "alice");
    assert!(!headers.contains_key("authorization") && !account.is_over());
}

#[test]
fn a_token_ends_when_it_says_so() {
    let parse = |exp| Account::parse(Path::new("x"), &by_token(&jwt(exp), "''", false)).unwrap();
    assert!(parse(now_s() - 5).is_over());
    assert!(parse(now_s() + MARGIN_S / 2).is_over());
    assert!(!parse(now_s() + 100).is_over());
    let opaque = Account::parse(Path::new("x"), &by_token("opaque", "''", false)).unwrap();
    assert!(!opaque.is_over());
}

#[test]
fn a_bad_file_is_told_without_its_text() {
    for text in ["a: [", "SECRET", "url: SECRET", "- SECRET", "", "url: x\ntoken_login: SECRET\n"] {
        let Err(said) = Account::parse(Path::new("x"), text) else { panic!("{text}") };
        assert!(!said.contains("SECRET"), "{said}");
    }
}

#[test]
fn the_usual_files_in_their_order() {
    let all = |name: &str| Some(PathBuf::from(format!("/{name}")));
    let files: Vec<_> = usual(all).iter().map(|path| path.display().to_string()).collect();
    assert_eq!(
        files,
        [
            "/OSMO_CONFIG_FILE_DIR/login.yaml",
            "/XDG_CONFIG_HOME/osmo/login.yaml",
            "/HOME/.config/osmo/login.yaml",
            "/XDG_STATE_HOME/osmo/service/login.yaml",
        ]
    );
    let home = usual(|name| (name == "HOME").then(|| "/h".into()));
    assert_eq!(home.last().unwrap(), Path::new("/h/.local/state/osmo/service/login.yaml"));
}

/// Answers one call and gives what it was asked.
fn provider(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    use std::io::{BufRead as _, BufReader, Read as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token?x=1", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut asked, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            asked.push_str(&line);
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        (&stream).write_all(head.as_bytes()).unwrap();
        asked + &String::from_utf8(body).unwrap()
    });
    (url, served)
}

fn renewed(osmo: bool, answer: &'static str) -> (String, Account, String) {
    let (url, served) = provider(answer);
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("login.yaml");
    std::fs::write(&path, by_token(&jwt(1), &url, osmo)).unwrap();
    let mut account = Account::find(Some(&path)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let network = Network::open(osmo_link::Trust::default()).unwrap();
    runtime.block_on(account.renew(&network)).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let written = std::fs::read_to_string(&path).unwrap();
    (served.join().unwrap(), account, written)
}

#[test]
fn osmo_s_own_token_is_renewed_with_json() {
    let (asked, account, written) = renewed(true, r#"{"token":"fresh"}"#);
    assert!(asked.starts_with("POST /token?x=1 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.ends_with(r#"{"token":"r e&f"}"#), "{asked}");
    assert_eq!(account.token(), Some("fresh"));
    assert!(written.contains("id_token: fresh") && written.contains("client_id: osmo-cli"));
}

#[test]
fn a_provider_s_token_is_renewed_with_a_form() {
    let (asked, account, written) =
        renewed(false, r#"{"id_token":"fresh","refresh_token":"next"}"#);
    let form = "grant_type=refresh_token&refresh_token=r%20e%26f&client_id=osmo-cli";
    assert!(asked.ends_with(form), "{asked}");
    assert!(asked.to_ascii_lowercase().contains("content-type: application/x-www-form-urlencoded"));
    assert_eq!(account.token(), Some("fresh"));
    assert!(written.contains("refresh_token: next"));
}

#[test]
fn a_token_is_not_sent_in_the_clear_to_another_machine() {
    let text = by_token(&jwt(1), "http://192.0.2.1/token", false);
    let mut account = Account::parse(Path::new("/nowhere/login.yaml"), &text).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let network = Network::open(osmo_link::Trust::default()).unwrap();
    let said = runtime.block_on(account.renew(&network)).unwrap_err().to_string();
    assert!(said.contains("not https") && !said.contains("r e&f"), "{said}");
}
