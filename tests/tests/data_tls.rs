//! What the command line says about certificates reaches all that it moves:
//! a store behind TLS whose certificate only a private authority vouches for.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::process::Output;

use osmo_controller::run::access::StoreAccess;
use osmo_tests::fault_server::{ACCESS_KEY, FaultServer, SECRET_KEY};
use osmo_tests::outside::authority::Authority;
use osmo_tests::program::Programs;
use osmo_tests::skip::skip;
use osmo_tests::tls_front::Front;
use osmo_tests::{tree, under_both_drivers};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

under_both_drivers!(a_private_authority_is_trusted_where_it_is_named);

fn a_private_authority_is_trusted_where_it_is_named(driver: &str) {
    let certificates = tempfile::tempdir().unwrap();
    let authority = match Authority::make(certificates.path()) {
        Ok(authority) => authority,
        Err(error) => return skip(&format!("no certificate: {error:#}")),
    };
    let store = FaultServer::start("bkt").unwrap();
    let port = store.url().rsplit(':').next().unwrap().parse().unwrap();
    let front = Front::start(&authority, port).unwrap();
    let osmo = |args: &[&str]| -> Output {
        let access = StoreAccess {
            endpoint: format!("https://127.0.0.1:{}", front.port),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
        };
        let args: Vec<&OsStr> = args.iter().map(|arg| -> &OsStr { arg.as_ref() }).collect();
        PROGRAMS.data(&access, driver, &args).output().unwrap()
    };
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(from.path().join("small"), "small").unwrap();
    tree::random_file(&from.path().join("large"), (16 << 20) + 4_321, 1).unwrap();
    let (source, path) = (format!("{}/*", from.path().display()), to.path().to_str().unwrap());
    let ca = authority.ca.to_str().unwrap();
    let verbs: [&[&str]; 4] = [
        &["upload", "s3://bkt/p", &source],
        &["list", "s3://bkt", "-r"],
        &["download", "s3://bkt/p", path],
        &["delete", "s3://bkt/p"],
    ];
    for verb in verbs {
        let refused = osmo(verb);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{verb:?}: {said}");
        assert!(said.contains("certificate"), "{verb:?}: {said}");
    }
    assert!(store.seen().is_empty(), "{:?}", store.seen());
    for trust in [&["--ca-bundle", ca][..], &["--insecure"]] {
        for verb in verbs {
            let output = osmo(&[verb, trust].concat());
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{verb:?} {trust:?}: {said}");
        }
        let sums = tree::sha256sums(from.path()).unwrap();
        assert_eq!(tree::sha256sums(to.path()).unwrap(), sums, "{trust:?}");
        fs::remove_file(to.path().join("large")).unwrap();
        assert!(store.keys().is_empty());
    }
    assert_eq!(store.violations(), Vec::<String>::new());
}
