//! A private certificate authority, made by the `openssl` program: nothing
//! trusts it but who is given its certificate.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A server's certificate for 127.0.0.1 and `localhost`, and who signed it.
#[derive(Clone, Debug)]
pub struct Authority {
    /// What a client has to trust.
    pub ca: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

const SCRIPT: &str = "
set -e
ec='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
openssl req -x509 $ec -days 2 -subj '/CN=private test CA' -keyout ca.key -out ca.pem
openssl req $ec -subj /CN=localhost -keyout key.pem -out request.pem
echo 'subjectAltName=IP:127.0.0.1,DNS:localhost' >extensions
openssl x509 -req -in request.pem -days 2 -CA ca.pem -CAkey ca.key -CAcreateserial \
  -extfile extensions -out cert.pem
";

impl Authority {
    /// Makes both in `folder`.
    ///
    /// # Errors
    /// There is no `openssl`, or it failed.
    pub fn make(folder: &Path) -> Result<Self> {
        let made = Command::new("sh").args(["-c", SCRIPT]).current_dir(folder).output();
        let made = made.context("run sh")?;
        ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
        let at = |name| folder.join(name);
        Ok(Self { ca: at("ca.pem"), certificate: at("cert.pem"), key: at("key.pem") })
    }
}
