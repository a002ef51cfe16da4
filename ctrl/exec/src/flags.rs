//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use osmo_protocol::flags::{Flag, FlagError, parse};
use osmo_protocol::layout;

use crate::namespace::Bind;

/// What the program is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    /// The program and its first arguments.
    pub commands: Vec<String>,
    /// The arguments that follow.
    pub args: Vec<String>,
    /// `path;url;seconds;regex` each.
    pub checkpoints: Vec<String>,
    /// Where the sidecar listens.
    pub socket: PathBuf,
    /// How long to look for the sidecar.
    pub dial_limit: Duration,
    /// How long lines wait for a sidecar that went away; ours.
    pub away_limit: Duration,
    /// Appended to the command's `PATH`.
    pub user_bin: PathBuf,
    /// History of terminals.
    pub history_file: PathBuf,
    /// Run-time state of the rsync daemon.
    pub run: PathBuf,
    /// Serve rsync.
    pub rsync: bool,
    /// Bytes per second that clients may send; 0 is no limit.
    pub rsync_read_limit: u64,
    /// Bytes per second that clients may fetch; 0 is no limit.
    pub rsync_write_limit: u64,
    /// Port of the rsync daemon on the loopback; ours.
    pub rsync_port: u16,
    /// `name:path:writable`, comma-separated.
    pub rsync_allow: String,
    /// Sourced by interactive shells.
    pub autocomplete: PathBuf,
    /// What the command sees at which place; ours, for local runs.
    pub binds: Vec<Bind>,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            commands: Vec::new(),
            args: Vec::new(),
            checkpoints: Vec::new(),
            socket: PathBuf::new(),
            dial_limit: minutes(120),
            away_limit: Duration::from_secs(60),
            user_bin: layout::USER_BIN.into(),
            history_file: "/osmo/data/.bash_history".into(),
            run: layout::RUN.into(),
            rsync: false,
            rsync_read_limit: 0,
            rsync_write_limit: 0,
            rsync_port: 16000,
            rsync_allow: String::new(),
            autocomplete: "/osmo/usr/bin/osmo_cli/osmo/autocomplete.bash".into(),
            binds: Vec::new(),
        }
    }
}

impl Flags {
    /// Reads the command line, without the program's name.
    ///
    /// # Errors
    /// The first word that cannot be understood.
    pub fn parse<I>(args: I) -> Result<Self, FlagError>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let mut flags = Self::default();
        parse(&table(), &mut flags, args)?;
        Ok(flags)
    }

    /// The command and its arguments.
    pub fn argv(&self) -> Vec<String> {
        [&self.commands[..], &self.args].concat()
    }
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count.saturating_mul(60))
}

fn table() -> Vec<Flag<Flags>> {
    type F = Flags;
    let path = |name, about, set: fn(&mut F, String)| Flag::text(name, about, set);
    vec![
        Flag::list("commands", "program, then its first arguments", |f: &mut F, v| {
            f.commands.push(v);
        }),
        Flag::list("args", "arguments that follow", |f: &mut F, v| f.args.push(v)),
        Flag::list("checkpoint", "path;url;seconds;regex", |f: &mut F, v| f.checkpoints.push(v)),
        path("socketPath", "where the sidecar listens", |f, v| f.socket = v.into()),
        Flag::number("unixTimeout", "minutes to look for the sidecar (120)", |f: &mut F, v| {
            f.dial_limit = minutes(v);
        }),
        path("userBinPath", "appended to PATH", |f, v| f.user_bin = v.into()),
        path("historyFilePath", "history of terminals", |f, v| f.history_file = v.into()),
        path("runLocation", "run-time state", |f, v| f.run = v.into()),
        Flag::switch("enableRsync", "serve rsync", |f: &mut F, on| f.rsync = on),
        Flag::number("rsyncReadLimit", "bytes/s that clients may send", |f: &mut F, v| {
            f.rsync_read_limit = v;
        }),
        Flag::number("rsyncWriteLimit", "bytes/s that clients may fetch", |f: &mut F, v| {
            f.rsync_write_limit = v;
        }),
        Flag::checked("rsyncPort", "port of the rsync daemon (16000)", |f: &mut F, v| {
            f.rsync_port = v.parse().map_err(|_| "expected a port".to_owned())?;
            Ok(())
        }),
        path("rsyncPathAllowList", "name:path:writable,…", |f, v| f.rsync_allow = v),
        path("cliAutoCompleteScriptPath", "for interactive shells", |f, v| {
            f.autocomplete = v.into();
        }),
        Flag::number("sidecarTimeout", "seconds to wait for a lost osmo-ctrl", |f: &mut F, v| {
            f.away_limit = Duration::from_secs(v);
        }),
        Flag::checked("bind", "SRC:DST, what the command sees at DST", |f: &mut F, v| {
            f.binds.push(v.parse()?);
            Ok(())
        }),
    ]
}
