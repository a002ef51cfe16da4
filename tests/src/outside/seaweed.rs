//! One SeaweedFS for a whole test program: it takes seconds to start, and each
//! scenario has a bucket of its own in it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use osmo_controller::run::access::StoreAccess;

use super::authority::Authority;
use super::{free_ports, on_path};

const KEY: &str = "outside-key";
const SECRET: &str = "outside-secret-12345";
/// A start takes 5 s on an idle machine, half a minute on a busy one.
const START_MAX: Duration = Duration::from_secs(120);

/// The shell gets SIGTERM when the test program is gone, however it went, and
/// takes the server and its folder with it, and the sockets between its parts,
/// for whose place there is no flag.
const KEEPER: &str = "
clean() {
  rm -rf \"$DIR\"
  for port in $GRPC; do rm -f /tmp/seaweedfs-*-grpc-$port.sock; done
}
trap 'trap : TERM INT HUP; kill -KILL $!; wait; clean; exit' TERM INT HUP
\"$@\" >\"$DIR/log\" 2>&1 & wait
";

/// A running server with an HTTP and an HTTPS port.
#[derive(Debug)]
pub struct Seaweed {
    http: u16,
    https: u16,
    ca: PathBuf,
}

impl Seaweed {
    /// The one of this program, started by whoever asks first.
    ///
    /// # Errors
    /// Why there is none: no `weed` on `PATH`, or it did not start.
    pub fn shared() -> Result<&'static Self, &'static str> {
        static ONE: OnceLock<Result<Seaweed, String>> = OnceLock::new();
        let one = ONE.get_or_init(|| Self::start().map_err(|error| format!("{error:#}")));
        one.as_ref().map_err(String::as_str)
    }

    fn start() -> Result<Self> {
        let weed = on_path("weed").context("no `weed` (SeaweedFS) on PATH")?;
        let folder = tempfile::Builder::new().prefix("osmo-seaweedfs-").tempdir()?.keep();
        let authority = Authority::make(&folder)?;
        let ports = free_ports::<8>()?;
        let mut keeper = command(&weed, &folder, &authority, ports)?;
        let (tell, told) = channel();
        // The kernel sends the signal when the thread that started the child
        // ends, so that thread has to last as long as the program.
        std::thread::spawn(move || match keeper.spawn() {
            Ok(mut child) => {
                let _ = tell.send(Ok(()));
                let _ = child.wait();
            }
            Err(error) => drop(tell.send(Err(error))),
        });
        told.recv()?.context("start setpriv")?;
        let server = Self { http: ports[0], https: ports[1], ca: authority.ca };
        server.wait(&folder)?;
        Ok(server)
    }

    /// Ready is: a bucket can be made and an object be put.
    fn wait(&self, folder: &Path) -> Result<()> {
        let give_up = Instant::now() + START_MAX;
        let pairs = [("ready".to_owned(), folder.join("s3.json"))];
        while let Err(error) = self.fill("ready", &pairs) {
            if Instant::now() > give_up {
                bail!("SeaweedFS did not come up ({error:#}), see {}/log", folder.display());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Puts the file at each path under its key, making the bucket.
    ///
    /// # Errors
    /// The store refused one.
    pub fn fill(&self, bucket: &str, pairs: &[(String, PathBuf)]) -> Result<()> {
        let mut python = Command::new("python3")
            .args(["-c", include_str!("fill.py"), &format!("127.0.0.1:{}", self.http), bucket])
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut input = python.stdin.take().context("no pipe")?;
        // It may have gone already; its exit status says more than EPIPE does.
        let _ = input.write_all(serde_json::to_string(pairs)?.as_bytes());
        drop(input);
        let ended = python.wait_with_output()?;
        ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        Ok(())
    }

    /// URL and key.
    pub fn access(&self, tls: bool) -> StoreAccess {
        let endpoint = if tls {
            format!("https://127.0.0.1:{}", self.https)
        } else {
            format!("http://127.0.0.1:{}", self.http)
        };
        StoreAccess { endpoint, access_key: KEY.to_owned(), secret_key: SECRET.to_owned() }
    }

    /// Who signed the certificate of the HTTPS port.
    pub fn ca(&self) -> &Path {
        &self.ca
    }
}

fn command(weed: &Path, folder: &Path, authority: &Authority, ports: [u16; 8]) -> Result<Command> {
    let config = folder.join("s3.json");
    let identity = serde_json::json!({"identities": [{
        "name": "test",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }]});
    std::fs::write(&config, identity.to_string())?;
    let [http, https, s3, master, master_grpc, volume, volume_grpc, filer] = ports;
    let [filer_grpc] = free_ports::<1>()?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "sh", "-c", KEEPER, "sh"]).arg(weed);
    command.args(["-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]);
    // Each bucket takes seven volumes at once; they are sparse.
    command.args(["-master.telemetry=false", "-master.volumeSizeLimitMB=1024", "-volume.max=4000"]);
    command.args(["-filer", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
    for (name, port) in [
        ("s3.port", http),
        ("s3.port.https", https),
        ("s3.port.grpc", s3),
        ("master.port", master),
        ("master.port.grpc", master_grpc),
        ("volume.port", volume),
        ("volume.port.grpc", volume_grpc),
        ("filer.port", filer),
        ("filer.port.grpc", filer_grpc),
    ] {
        command.arg(format!("-{name}={port}"));
    }
    for (name, path) in [
        ("dir", folder.to_owned()),
        ("s3.config", config),
        ("s3.cert.file", authority.certificate.clone()),
        ("s3.key.file", authority.key.clone()),
        ("s3.localSocket", folder.join("s3.sock")),
        ("filer.localSocket", folder.join("filer.sock")),
    ] {
        command.arg(format!("-{name}={}", path.display()));
    }
    let grpc = format!("{s3} {master_grpc} {volume_grpc} {filer_grpc}");
    command.env("DIR", folder).env("GRPC", grpc).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}
