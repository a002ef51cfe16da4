//! The contestants and their command lines.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::server::{Kind, Running};
use crate::workload::Source;
use osmo_tests::model_server::BUCKET;

/// A program that moves trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// osmo, by io_uring
    OsmoUring,
    /// osmo, by epoll
    OsmoEpoll,
    /// s5cmd with its defaults
    S5cmd,
    /// rclone with its defaults
    Rclone,
    /// rclone with 16 transfers of 16 streams
    RcloneWide,
    /// The AWS command line
    Aws,
    /// boto3's transfer manager
    Boto3,
    /// The AWS common runtime's client
    Crt,
    /// Rust's object_store, from Python
    Obstore,
    /// curl, which is handed the URLs: no listing, no signature
    Curl,
}

/// Down from the store, or up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// Download
    Down,
    /// Upload
    Up,
}

/// What a peer is to do.
pub(crate) struct Order<'a> {
    /// From where, or to where.
    pub(crate) server: &'a Running,
    /// Which way.
    pub(crate) direction: Direction,
    /// What.
    pub(crate) source: &'a Source,
    /// The folder of a download.
    pub(crate) target: &'a Path,
    /// Where the programs are.
    pub(crate) places: &'a Places,
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// osmo itself.
    pub(crate) osmo: PathBuf,
    /// The peers' folder of programs.
    pub(crate) bin: PathBuf,
    /// Our Python scripts.
    pub(crate) scripts: PathBuf,
}

type Words = Vec<OsString>;

fn words<const N: usize>(list: [&str; N]) -> Words {
    list.map(OsString::from).to_vec()
}

impl Peer {
    /// As tables have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OsmoUring => "osmo (uring)",
            Self::OsmoEpoll => "osmo (epoll)",
            Self::S5cmd => "s5cmd",
            Self::Rclone => "rclone",
            Self::RcloneWide => "rclone, wide",
            Self::Aws => "aws",
            Self::Boto3 => "boto3",
            Self::Crt => "AWS CRT",
            Self::Obstore => "obstore",
            Self::Curl => "curl",
        }
    }

    /// Whether it is ours.
    pub(crate) fn is_osmo(self) -> bool {
        matches!(self, Self::OsmoUring | Self::OsmoEpoll)
    }

    fn module(self) -> Option<&'static str> {
        match self {
            Self::Boto3 => Some("boto3"),
            Self::Crt => Some("awscrt"),
            Self::Obstore => Some("obstore"),
            _ => None,
        }
    }

    /// The command that says its version.
    pub(crate) fn version(self, places: &Places) -> (PathBuf, Vec<String>) {
        let args = match (self, self.module()) {
            (_, Some(module)) => {
                let script = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))";
                vec!["-c", script, module]
            }
            (Self::S5cmd | Self::Rclone | Self::RcloneWide, None) => vec!["version"],
            _ => vec!["--version"],
        };
        (self.program(places), args.into_iter().map(str::to_owned).collect())
    }

    /// The program that must be there.
    pub(crate) fn program(self, places: &Places) -> PathBuf {
        let name = match self {
            Self::OsmoUring | Self::OsmoEpoll => return places.osmo.clone(),
            Self::S5cmd => "s5cmd",
            Self::Rclone | Self::RcloneWide => "rclone",
            Self::Aws => "aws",
            Self::Boto3 | Self::Crt | Self::Obstore => "python3",
            Self::Curl => "curl",
        };
        let own = places.bin.join(name);
        if own.exists() { own } else { on_path(name).unwrap_or(own) }
    }

    /// The command; why there is none, where the peer cannot do this.
    pub(crate) fn command(self, order: &Order<'_>) -> Result<Words, &'static str> {
        let url = order.server.url();
        let name = order.source.workload.name();
        let remote = match order.direction {
            Direction::Down => format!("{name}/"),
            Direction::Up => format!("{}/", self.prefix(order)),
        };
        let mut command: Words = vec![self.program(order.places).into()];
        match self {
            Self::OsmoUring | Self::OsmoEpoll => {
                let io = if self == Self::OsmoUring { "uring" } else { "epoll" };
                osmo(&mut command, order, &remote);
                command.extend(words(["--quiet", "--endpoint-url", url, "--io", io]));
            }
            Self::S5cmd => {
                command.extend(words(["--log", "error", "--endpoint-url", url, "cp"]));
                match order.direction {
                    Direction::Down => {
                        command.push(format!("s3://{BUCKET}/{remote}*").into());
                        command.push(slash(order.target));
                    }
                    Direction::Up => {
                        command.push(slash(&order.source.root));
                        command.push(format!("s3://{BUCKET}/{remote}").into());
                    }
                }
            }
            Self::Rclone | Self::RcloneWide => rclone(&mut command, self, order, &remote),
            Self::Aws => {
                let fixed =
                    ["--endpoint-url", url, "s3", "cp", "--recursive", "--only-show-errors"];
                command.extend(words(fixed));
                push_pair(&mut command, order, format!("s3://{BUCKET}/{remote}"));
            }
            Self::Boto3 | Self::Crt | Self::Obstore => {
                let script = format!("move_by_{}.py", self.module().unwrap_or_default());
                command.push(order.places.scripts.join(script).into());
                let (way, folder) = match order.direction {
                    Direction::Down => ("down", order.target),
                    Direction::Up => ("up", order.source.root.as_path()),
                };
                command.extend(words([way, url, &remote]));
                command.push(folder.into());
            }
            Self::Curl => {
                if order.direction == Direction::Up {
                    return Err("curl knows no multipart upload");
                }
                if order.server.kind() == Kind::Seaweed {
                    return Err("curl does not sign, and this server asks for it");
                }
                command.extend(words(["-sSf", "--create-dirs", "--output-dir"]));
                command.push(order.target.into());
                if order.source.set.count > 1 {
                    let at_once = if order.source.workload.is_small() { "64" } else { "16" };
                    command.extend(words(["-Z", "--parallel-max", at_once]));
                }
                command.push("-K".into());
                command.push(order.server.urls(order.source).into());
            }
        }
        Ok(command)
    }

    /// Where its uploads go.
    pub(crate) fn prefix(self, order: &Order<'_>) -> String {
        let name: String = self.name().chars().filter(char::is_ascii_alphanumeric).collect();
        format!("up/{name}/{}", order.source.workload.name())
    }
}

fn osmo(command: &mut Words, order: &Order<'_>, remote: &str) {
    command.push("data".into());
    let url = format!("s3://{BUCKET}/{remote}");
    match order.direction {
        Direction::Down => {
            command.extend(words(["download", &url]));
            command.push(order.target.into());
        }
        Direction::Up => {
            command.extend(words(["upload", &url]));
            command.push(order.source.root.join("*").into());
        }
    }
}

fn rclone(command: &mut Words, peer: Peer, order: &Order<'_>, remote: &str) {
    let url = order.server.url();
    // nginx's listings know no delimiter, and 5,000 keys are few.
    command.extend(words(["-q", "--fast-list", "--s3-provider", "Other", "--s3-env-auth"]));
    command.extend(words(["--s3-region", "us-east-1", "--s3-list-version", "2"]));
    command.extend(words(["--s3-no-check-bucket", "--s3-endpoint", url]));
    if peer == Peer::RcloneWide {
        command.extend(words(["--transfers", "16", "--checkers", "16"]));
        command.extend(words([
            "--multi-thread-streams",
            "16",
            "--multi-thread-chunk-size",
            "16Mi",
        ]));
        command.extend(words(["--s3-upload-concurrency", "16", "--s3-chunk-size", "8Mi"]));
    }
    command.push("copy".into());
    push_pair(command, order, format!(":s3:{BUCKET}/{}", remote.trim_end_matches('/')));
}

/// Source and destination, in the order of the direction.
fn push_pair(command: &mut Words, order: &Order<'_>, remote: String) {
    match order.direction {
        Direction::Down => command.extend([remote.into(), order.target.into()]),
        Direction::Up => command.extend([order.source.root.clone().into(), remote.into()]),
    }
}

fn slash(folder: &Path) -> OsString {
    let mut text = OsString::from(folder);
    text.push("/");
    text
}

/// Where `name` is on `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Debian keeps servers where users do not look.
    let extra = [PathBuf::from("/usr/sbin")];
    std::env::split_paths(&path)
        .chain(extra)
        .map(|folder| folder.join(name))
        .find(|at| at.is_file())
}
