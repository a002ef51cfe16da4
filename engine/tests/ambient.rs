//! Credentials and endpoints out of the process's environment, which is read
//! once: each case is a process of its own, this very test.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the child reports on stdout")]

mod scripted;

use std::process::Command;

use osmo_engine::config::Access;
use osmo_engine::job::StoreOptions;
use osmo_engine::s3::open;
use osmo_engine::uri::Uri;
use scripted::{Peer, Server, answer, script};

/// Set in the child.
const CHILD: &str = "OSMO_TEST_AMBIENT_CHILD";

fn child(variables: &[(&str, &str)]) -> String {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ambient_child", "--nocapture"])
        .env_clear()
        .envs(variables.iter().copied())
        .env("HOME", home.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env(CHILD, "1")
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn ambient_child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match open(
            &Access::default(),
            &Uri::parse("s3://bkt").unwrap(),
            &StoreOptions::default(),
            &osmo_engine::Patience::DEFAULT,
        )
        .await
        {
            Ok(opened) => {
                println!(
                    "opened {} {}",
                    opened.contact.endpoint.url(),
                    opened.contact.endpoint.region()
                );
                println!("head {:?}", opened.control.head("bkt", "k").await.unwrap());
            }
            Err(fault) => println!("refused {:?} {:?}: {fault}", fault.kind(), fault.class()),
        }
    });
}

#[test]
fn keys_endpoint_and_region_come_from_the_environment() {
    let server = Server::start(vec![script(|peer: &mut Peer| {
        let head = peer.head();
        let scope = "Credential=env-id/";
        assert!(head.contains(scope), "{head}");
        assert!(head.contains("/ap-south-1/s3/aws4_request"), "{head}");
        assert!(head.to_lowercase().contains("x-amz-security-token: env-token"), "{head}");
        peer.send(answer("404 Not Found", "", ""));
        peer.closed();
    })]);
    let said = child(&[
        ("AWS_ACCESS_KEY_ID", "env-id"),
        ("AWS_SECRET_ACCESS_KEY", "env-secret"),
        ("AWS_SESSION_TOKEN", "env-token"),
        ("AWS_REGION", "ap-south-1"),
        ("AWS_ENDPOINT_URL", &server.url()),
    ]);
    assert!(said.contains(&format!("opened {} ap-south-1", server.url())), "{said}");
    assert!(said.contains("head None"), "{said}");
    server.finish();
}

#[test]
fn without_credentials_the_error_says_where_to_put_them() {
    let said = child(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:9")]);
    assert!(said.contains("refused Denied Fatal"), "{said}");
    for words in ["s3://bkt", "config.yaml", "AWS_ACCESS_KEY_ID"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
