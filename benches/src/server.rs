//! The servers that peers are measured against, started here, on loopback.
//!
//! Each is one process tree whose first process is a child of ours: its CPU is
//! known, and it ends when it is dropped. Ports are taken free a moment before;
//! somebody else may be faster, which the start then says.

mod model;
mod nginx;
mod seaweed;

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use osmo_tests::model_server::{BUCKET, Profile};
use serde::{Deserialize, Serialize};

use crate::measure::output;
use crate::workload::{Scale, Source};
use crate::{once, proc};

const START_LIMIT: Duration = Duration::from_secs(60);

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// nginx over HTTP; download only
    Nginx,
    /// nginx over HTTPS with a private CA; download only
    NginxTls,
    /// SeaweedFS, a whole S3 store
    Seaweed,
    /// The model store
    Model,
}

/// What all servers need.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// Their folder; the sources are in `www/bench` below it.
    pub(crate) work: PathBuf,
    /// The peers' programs.
    pub(crate) bin: PathBuf,
    /// Of the data sets.
    pub(crate) scale: Scale,
    /// What the model is like.
    pub(crate) profile: Profile,
    /// The CPU that servers are kept on.
    pub(crate) cpu: Option<usize>,
}

/// A server that answers.
pub(crate) struct Running {
    kind: Kind,
    url: String,
    /// Where what was put can be read without a signature.
    readable: Option<String>,
    /// What gives the space of deleted objects back.
    vacuum: Option<String>,
    child: Child,
    lists: PathBuf,
    /// What it leaves outside of its folder.
    litter: Vec<PathBuf>,
}

impl Ground {
    /// The folder that stands for the bucket.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.work.join("www").join(BUCKET)
    }

    /// The certificate authority that every client is told to trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.work.join("tls/ca.pem")
    }

    /// Starts a server that has `sources`.
    pub(crate) fn start(&self, kind: Kind, sources: &[Source], load: bool) -> Result<Running> {
        let running = match kind {
            Kind::Nginx => nginx::start(self, sources, false),
            Kind::NginxTls => nginx::start(self, sources, true),
            Kind::Seaweed => seaweed::start(self, if load { sources } else { &[] }),
            Kind::Model => model::start(self, None),
        };
        self.pinned(running.with_context(|| format!("start {kind:?}"))?)
    }

    /// Starts a model with a flag of its own: `silent` or `hanging`.
    pub(crate) fn start_model(&self, manner: &str) -> Result<Running> {
        self.pinned(model::start(self, Some(manner)).context("start the model")?)
    }

    fn pinned(&self, running: Running) -> Result<Running> {
        if let Some(cpu) = self.cpu {
            for pid in proc::tree(running.pid()) {
                for thread in proc::threads(pid) {
                    // A thread may have ended meanwhile.
                    let _ = once::pin(i32::try_from(thread)?, cpu);
                }
            }
        }
        Ok(running)
    }
}

impl Running {
    /// Which one.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Its endpoint.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where uploads can be read without a signature.
    pub(crate) fn readable(&self) -> Option<&str> {
        self.readable.as_deref()
    }

    /// What is asked for to give the space of deleted objects back.
    pub(crate) fn vacuum(&self) -> Option<&str> {
        self.vacuum.as_deref()
    }

    /// Its first process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A curl configuration that fetches a workload.
    pub(crate) fn urls(&self, source: &Source) -> PathBuf {
        self.lists.join(format!("{}.curl", source.set.name))
    }

    fn write_urls(&self, sources: &[Source]) -> Result<()> {
        for source in sources {
            let lines = (0..source.set.count).map(|index| {
                let (key, path) = (source.set.key(index), source.set.path(index));
                format!("url=\"{}/{BUCKET}/{key}\"\noutput=\"{path}\"\n", self.url)
            });
            fs::write(self.urls(source), lines.collect::<String>())?;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SeaweedFS takes half a minute to put in order what is thrown away;
        // nginx needs to tell its workers.
        let signal = if self.kind == Kind::Seaweed { Signal::SIGKILL } else { Signal::SIGTERM };
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
        let _ = self.child.wait();
        for path in &self.litter {
            let _ = fs::remove_file(path);
        }
    }
}

/// Starts a process whose output goes to `log`, and waits until it listens.
fn spawn(command: &mut Command, log: &Path, port: u16) -> Result<Child> {
    let out = File::create(log)?;
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    let mut child = command.spawn().context("is it installed? see benches/peers/setup")?;
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("it ended with {status}; see {}", log.display());
        }
        if start.elapsed() > START_LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            bail!("it does not listen; see {}", log.display());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(child)
}

/// Ports that are free now.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// A private CA and a certificate for loopback, made once.
fn certificates(folder: &Path) -> Result<()> {
    if folder.join("cert.pem").exists() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (ca, ca_key, key) = (at("ca.pem"), at("ca.key"), at("key.pem"));
    let (request, extensions, cert) = (at("request.pem"), at("names"), at("cert.pem"));
    fs::write(
        &extensions,
        "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n",
    )?;
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let own = ["req", "-x509", "-days", "3650", "-subj", "/CN=osmo-bench CA", "-keyout", &ca_key];
    output("openssl", &[&own[..], &new_key, &["-out", &ca]].concat())?;
    let asked = ["req", "-subj", "/CN=127.0.0.1", "-keyout", &key, "-out", &request];
    output("openssl", &[&asked[..], &new_key].concat())?;
    let sign = ["x509", "-req", "-days", "3650", "-in", &request, "-CA", &ca, "-CAkey", &ca_key];
    let end = ["-CAcreateserial", "-extfile", &extensions, "-out", &cert];
    output("openssl", &[&sign[..], &end].concat())?;
    Ok(())
}
