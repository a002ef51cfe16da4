//! One task as its pod's command lines: what the service renders for a
//! cluster, with the tree's paths instead of `/osmo`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use osmo_protocol::items::Output;
use osmo_protocol::layout;

use super::tree::Tree;
use crate::service::RsyncFolder;

/// Bytes per second each way, as a service has it without settings of its own.
const RSYNC_LIMIT: u64 = 2_621_440;

/// Everything a pod is started with.
#[derive(Debug)]
pub struct Order {
    /// `<name>-<n>`.
    pub workflow_id: String,
    /// The group.
    pub group: String,
    /// The task.
    pub task: String,
    /// Attempt, from 0.
    pub retry_id: u32,
    /// `-inputs` values.
    pub inputs: Vec<String>,
    /// `-outputs` values.
    pub outputs: Vec<String>,
    /// `-checkpoint` values.
    pub checkpoints: Vec<String>,
    /// Whether an rsync program was found that the agent can serve with.
    pub rsync: bool,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The command's environment, whole.
    pub environment: Vec<(String, String)>,
    /// Where each placed file shall appear, and where it lies.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// Whether the tree is bound at `/osmo`.
    pub namespace: bool,
    /// From the start of the pod; the command is then stopped.
    pub exec_timeout: Option<Duration>,
    /// The local service.
    pub service: SocketAddr,
    /// Extra environment of the sidecar (a real endpoint's).
    pub sidecar_environment: Vec<(String, String)>,
    /// What the user set for every pod.
    pub settings: Settings,
}

/// What a cluster's settings say of every pod.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `-io`
    pub io: String,
    /// `-memory`
    pub memory_bytes: Option<usize>,
    /// From a stop to the end: `-gracePeriod`.
    pub grace: Duration,
    /// Folders that rsync serves beside the workspace: `-rsyncPathAllowList`.
    pub rsync_allow: Vec<RsyncFolder>,
}

impl Order {
    /// Where the outputs go.
    pub fn output_urls(&self) -> Vec<String> {
        let items = self.outputs.iter().filter_map(|item| item.parse::<Output>().ok());
        items.map(|output| output.url().to_owned()).collect()
    }

    /// `osmo-init …`
    pub fn init_args(&self, tree: &Tree) -> Vec<OsString> {
        let mut args = Vec::new();
        for (flag, place) in [
            ("--data_location", "data"),
            ("--login_location", "login"),
            ("--user_bin_location", "usr/bin"),
            ("--run_location", "run"),
        ] {
            args.push(flag.into());
            args.push(tree.path(place).into());
        }
        args.extend(["--binaries", "none", "--login", "optional"].map(Into::into));
        args
    }

    /// `osmo-ctrl …`
    pub fn ctrl_args(&self, tree: &Tree) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        let mut flag = |name: &str, value: OsString| {
            args.push(name.into());
            args.push(value);
        };
        flag("-socketPath", tree.socket().into());
        flag("-inputPath", tree.path("data/input").into());
        flag("-outputPath", tree.path("data/output").into());
        flag("-workflow", (&self.workflow_id).into());
        flag("-groupName", (&self.group).into());
        flag("-retryId", self.retry_id.to_string().into());
        flag("-logSource", (&self.task).into());
        flag("-host", self.service.ip().to_string().into());
        flag("-port", self.service.port().to_string().into());
        flag("-scheme", "ws".into());
        flag("-refreshScheme", "http".into());
        flag("-refreshToken", tree.path(".refresh_token").into());
        for input in &self.inputs {
            flag("-inputs", input.into());
        }
        for output in &self.outputs {
            flag("-outputs", output.into());
        }
        flag("-userConfig", tree.path("user_config.yaml").into());
        flag("-serviceConfig", tree.path("service_config.yaml").into());
        flag("-terminationLog", tree.path("termination-log").into());
        flag("-events", "json".into());
        flag("-health", tree.health());
        flag("-gracePeriod", self.settings.grace.as_secs().to_string().into());
        flag("-io", (&self.settings.io).into());
        if let Some(bytes) = self.settings.memory_bytes {
            flag("-memory", bytes.to_string().into());
        }
        args
    }

    /// `osmo-exec …`
    pub fn exec_args(&self, tree: &Tree) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec![
            "-socketPath".into(),
            tree.socket().into(),
            "-userBinPath".into(),
            if self.namespace { layout::USER_BIN.into() } else { tree.path("usr/bin").into() },
            "-runLocation".into(),
            tree.path("run").into(),
            "-historyFilePath".into(),
            tree.path("run/.bash_history").into(),
        ];
        if self.namespace {
            args.extend(["-bind".into(), bind(tree.root().into(), "/osmo".into())]);
            for (at, from) in &self.files {
                args.extend(["-bind".into(), bind(from.into(), at.into())]);
            }
        }
        for checkpoint in &self.checkpoints {
            args.extend(["-checkpoint".into(), checkpoint.into()]);
        }
        if self.rsync {
            let limit = RSYNC_LIMIT.to_string();
            args.push("-enableRsync".into());
            for flag in ["-rsyncReadLimit", "-rsyncWriteLimit"] {
                args.extend([flag.into(), limit.clone().into()]);
            }
            if !self.settings.rsync_allow.is_empty() {
                let entries = self.settings.rsync_allow.iter().map(RsyncFolder::to_string);
                let list = entries.collect::<Vec<_>>().join(",");
                args.extend(["-rsyncPathAllowList".into(), list.into()]);
            }
        }
        let mut argv = self.argv.iter();
        if let Some(program) = argv.next() {
            args.extend(["-commands".into(), program.into()]);
        }
        for argument in argv {
            args.extend(["-args".into(), argument.into()]);
        }
        args
    }
}

fn bind(from: OsString, at: OsString) -> OsString {
    let mut value = from;
    value.push(":");
    value.push(at);
    value
}
