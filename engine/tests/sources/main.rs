//! Every source of credentials against a stand-in of the protocol that AWS
//! documents for it. The environment is read once, so each case is a process
//! of its own: this very test.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the child reports on stdout")]

mod answering;
mod cases;

use std::process::Command;

use osmo_engine::Patience;
use osmo_engine::config::Access;
use osmo_engine::job::StoreOptions;
use osmo_engine::s3::open;
use osmo_engine::uri::Uri;

use answering::Answering;

/// Set in the child.
const CHILD: &str = "OSMO_TEST_SOURCES_CHILD";
/// The URI that the child opens.
const URI: &str = "OSMO_TEST_SOURCES_URI";

/// What a child said, and what the store heard from it.
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) store: Vec<String>,
}

impl Said {
    /// The store was asked with this key and token.
    #[track_caller]
    pub(crate) fn signed_with(&self, id: &str, token: Option<&str>) {
        let head = self.store.first().unwrap_or_else(|| panic!("never asked: {}", self.text));
        assert!(head.contains(&format!("Credential={id}/")), "{head}");
        let sent = answering::field(head, "x-amz-security-token");
        assert_eq!(sent.as_deref(), token, "{head}");
        assert!(self.text.contains("head None"), "{}", self.text);
    }
}

/// A home folder, with these files below it.
pub(crate) fn home(files: &[(&str, String)]) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    home
}

/// Heads an object in a process with nothing but `variables`.
pub(crate) fn ask(home: &tempfile::TempDir, variables: &[(&str, &str)]) -> Said {
    ask_of("s3://bkt", home, variables)
}

pub(crate) fn ask_of(uri: &str, home: &tempfile::TempDir, variables: &[(&str, &str)]) -> Said {
    let store = Answering::start(|_| answering::status("404 Not Found", ""));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ENDPOINT_URL_S3", store.url())
        .env("AWS_REGION", "eu-west-3")
        // Of no use to anybody: whoever asks through a proxy fails.
        .env("http_proxy", "socks5://nobody.test")
        .env(URI, uri)
        .env(CHILD, "1");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Said { text, store: store.heads() }
}

#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let uri = Uri::parse(&std::env::var(URI).unwrap()).unwrap();
    let anonymous = std::env::var_os("OSMO_TEST_ANONYMOUS").is_some();
    let access = Access { anonymous, ..Access::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match open(&access, &uri, &StoreOptions::default(), &Patience::DEFAULT).await {
            Ok(opened) => println!("head {:?}", opened.control.head("bkt", "k").await.unwrap()),
            Err(fault) => println!("refused {:?}: {fault}", fault.kind()),
        }
    });
}
