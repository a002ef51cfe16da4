//! Certificates by the openssl program: a private CA and what it signs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const CONFIG: &str = "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\nserial = serial\n\
    new_certs_dir = .\ndefault_md = sha256\npolicy = any\nx509_extensions = server\n\
    unique_subject = no\ncopy_extensions = copy\n[any]\ncommonName = supplied\n\
    [server]\nbasicConstraints = CA:FALSE\nkeyUsage = digitalSignature\n\
    extendedKeyUsage = serverAuth\n";

/// A CA in a folder of its own.
pub(crate) struct Pki {
    folder: TempDir,
}

/// A certificate and its key.
pub(crate) struct Issued {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Pki {
    /// `None`, said aloud, without the openssl program.
    pub(crate) fn new() -> Option<Self> {
        Self::named("own")
    }

    /// One of another name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        for (program, argument) in
            [("openssl", "version"), ("python3", "--version"), ("stdbuf", "--version")]
        {
            let answer = Command::new(program).arg(argument).output();
            if !answer.is_ok_and(|output| output.status.success()) {
                skip(&format!("there is no {program} on PATH"));
                return None;
            }
        }
        let pki = Self { folder: TempDir::new().unwrap() };
        fs::write(pki.path("ca.cnf"), CONFIG).unwrap();
        fs::write(pki.path("index.txt"), "").unwrap();
        fs::write(pki.path("serial"), "1000\n").unwrap();
        pki.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key \
             -out ca.pem -days 30 -subj /CN={name} -addext keyUsage=keyCertSign,cRLSign"
        ));
        Some(pki)
    }

    /// A certificate for `names` (`DNS:…`, `IP:…`), valid from `start` to `end`
    /// (`YYYYMMDDHHMMSSZ`).
    pub(crate) fn issue(&self, name: &str, names: &str, start: &str, end: &str) -> Issued {
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out \
             {name}.csr -subj /CN={name} -addext subjectAltName={names}"
        ));
        self.openssl(&format!(
            "ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in {name}.csr -out \
             {name}.pem -startdate {start} -enddate {end}"
        ));
        Issued {
            certificate: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
        }
    }

    /// One for this machine, for a long time.
    pub(crate) fn honest(&self) -> Issued {
        let (start, end) = ("20200101000000Z", "20991231000000Z");
        self.issue("honest", "IP:127.0.0.1,DNS:localhost", start, end)
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, args: &str) {
        let output = Command::new("openssl")
            .args(args.split_whitespace())
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {args}: {said}");
    }
}

/// As the project's other tests skip: out loud, and not at all when strict.
#[allow(clippy::print_stderr, reason = "a test that does not run says so")]
pub(crate) fn skip(reason: &str) {
    let strict = std::env::var_os("OSMO_TEST_STRICT").is_some();
    assert!(!strict, "skipped under OSMO_TEST_STRICT: {reason}");
    eprintln!("skipped: {reason}");
}

/// A JSON string of a path.
pub(crate) fn json(path: &Path) -> String {
    format!("{:?}", path.to_str().unwrap())
}
