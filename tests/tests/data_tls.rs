//! What the command line says about certificates reaches all that it moves:
//! a store behind TLS whose certificate only a private authority vouches for.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use osmo_controller::run::access::StoreAccess;
use osmo_tests::fault_server::{ACCESS_KEY, FaultServer, SECRET_KEY};
use osmo_tests::outside::authority::Authority;
use osmo_tests::program::Programs;
use osmo_tests::skip::skip;
use osmo_tests::{tree, under_both_drivers};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

under_both_drivers!(a_private_authority_is_trusted_where_it_is_named);

/// Ends TLS on a port of its own, which it prints, and hands bytes on to port
/// `argv[3]`.
const FRONT: &str = "
import asyncio, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])

async def pump(source, target):
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        target.close()

async def serve(reader, writer):
    there, back = await asyncio.open_connection('127.0.0.1', int(sys.argv[3]))
    await asyncio.gather(pump(reader, back), pump(there, writer))

async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
";

struct Front {
    child: Child,
    url: String,
}

impl Front {
    fn start(authority: &Authority, store: &FaultServer) -> Self {
        let port = store.url().rsplit(':').next().unwrap().to_owned();
        let mut python = Command::new("python3");
        python.args(["-c", FRONT]).arg(&authority.certificate).arg(&authority.key).arg(port);
        let mut child = python.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, url: format!("https://127.0.0.1:{}", line.trim()) }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn a_private_authority_is_trusted_where_it_is_named(driver: &str) {
    let certificates = tempfile::tempdir().unwrap();
    let authority = match Authority::make(certificates.path()) {
        Ok(authority) => authority,
        Err(error) => return skip(&format!("no certificate: {error:#}")),
    };
    let store = FaultServer::start("bkt").unwrap();
    let front = Front::start(&authority, &store);
    let osmo = |args: &[&str]| -> Output {
        let access = StoreAccess {
            endpoint: front.url.clone(),
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
