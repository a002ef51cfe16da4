//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use osmo_engine::IoChoice;
use osmo_engine::config::MEMORY_BYTES_DEFAULT;
use osmo_engine::units::parse_bytes;
use osmo_protocol::flags::{Flag, FlagError, parse};
use osmo_protocol::layout;

/// What the program is told.
#[derive(Clone, Debug)]
pub struct Flags {
    /// Inputs, as `osmo_protocol::items` reads them.
    pub inputs: Vec<String>,
    /// Outputs, as `osmo_protocol::items` reads them.
    pub outputs: Vec<String>,
    /// The workflow's id.
    pub workflow: String,
    /// The group's name.
    pub group: String,
    /// Which attempt of the task this is.
    pub retry_id: String,
    /// The task's name, which its lines carry.
    pub task: String,
    /// The barrier to wait at before the start; empty for none.
    pub barrier: String,
    /// Where to listen for the agent.
    pub socket: PathBuf,
    /// Where inputs go.
    pub input_folder: PathBuf,
    /// Where outputs come from.
    pub output_folder: PathBuf,
    /// `ws` or `wss`.
    pub scheme: String,
    /// The service.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How long lines may wait for others before an acknowledgement is asked.
    pub logs_period: Duration,
    /// Lines kept until the service has acknowledged them.
    pub logs_buffer: usize,
    /// How long the service may be away.
    pub link_timeout: Duration,
    /// How long the agent may take to come.
    pub agent_timeout: Duration,
    /// How long a terminal's connection may take to come.
    pub exec_timeout: Duration,
    /// How long a transfer may stand still.
    pub data_timeout: Duration,
    /// The file that holds the refresh token.
    pub refresh_token: PathBuf,
    /// `http` or `https`.
    pub refresh_scheme: String,
    /// The header that carries the token.
    pub token_header: String,
    /// The user's credentials.
    pub user_config: PathBuf,
    /// The workflow's own credentials.
    pub service_config: PathBuf,
    /// Accepted; nothing reads it.
    pub metadata: PathBuf,
    /// Whether the service's certificate is checked; ours.
    pub tls_verify: bool,
    /// Certificates trusted besides the system's; ours.
    pub ca_file: Option<PathBuf>,
    /// Where `/metrics`, `/healthz` and `/readyz` are served: `host:port` on
    /// loopback or `unix:/path`; empty for nowhere; ours.
    pub health: String,
    /// Where what a restarted sidecar must know is kept; ours. Empty: beside
    /// the socket.
    pub state: PathBuf,
    /// From SIGTERM to the end; ours.
    pub grace: Duration,
    /// Upload files as soon as they are closed; ours.
    pub upload_early: bool,
    /// Where the termination message goes; ours.
    pub termination_log: PathBuf,
    /// Events as JSON instead of lines for people; ours.
    pub events_json: bool,
    /// The engine's driver; ours.
    pub io: IoChoice,
    /// The engine's buffer memory in bytes; ours.
    pub memory_bytes: usize,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            inputs: Vec::new(),
            outputs: Vec::new(),
            workflow: String::new(),
            group: String::new(),
            retry_id: "0".to_owned(),
            task: String::new(),
            barrier: String::new(),
            socket: PathBuf::new(),
            input_folder: PathBuf::new(),
            output_folder: PathBuf::new(),
            scheme: "ws".to_owned(),
            host: "localhost".to_owned(),
            port: 8000,
            logs_period: Duration::from_millis(100),
            logs_buffer: 10_000,
            link_timeout: minutes(60),
            agent_timeout: minutes(120),
            exec_timeout: minutes(5),
            data_timeout: minutes(10),
            refresh_token: "/osmo/.refresh_token".into(),
            refresh_scheme: "http".to_owned(),
            token_header: "Authorization".to_owned(),
            user_config: "/osmo/user_config.yaml".into(),
            service_config: "/osmo/service_config.yaml".into(),
            metadata: PathBuf::new(),
            tls_verify: true,
            ca_file: None,
            health: String::new(),
            state: PathBuf::new(),
            grace: Duration::from_secs(30),
            upload_early: false,
            termination_log: layout::TERMINATION_LOG.into(),
            events_json: false,
            io: IoChoice::Auto,
            memory_bytes: MEMORY_BYTES_DEFAULT,
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
}

/// Where the termination message goes when `args` cannot be understood: as far
/// as they say it, in either of Go's two ways.
pub(crate) fn termination_log(args: &[OsString]) -> PathBuf {
    let mut place = PathBuf::from(layout::TERMINATION_LOG);
    let mut words = args.iter().filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
            continue;
        };
        match name.split_once('=') {
            Some(("terminationLog", value)) => place = value.into(),
            None if name == "terminationLog" => place = words.next().unwrap_or_default().into(),
            _ => {}
        }
    }
    place
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count.saturating_mul(60))
}

/// A folder ends in a slash: the agent is told it as it stands.
fn folder(mut path: String) -> PathBuf {
    if !path.is_empty() && !path.ends_with('/') {
        path.push('/');
    }
    path.into()
}

type F = Flags;

fn path(name: &'static str, about: &'static str, set: fn(&mut F, String)) -> Flag<F> {
    Flag::text(name, about, set)
}

fn time(name: &'static str, about: &'static str, set: fn(&mut F, u64)) -> Flag<F> {
    Flag::number(name, about, set)
}

fn table() -> Vec<Flag<F>> {
    let mut flags = task_flags();
    flags.extend(service_flags());
    flags.extend(own_flags());
    flags
}

fn task_flags() -> Vec<Flag<F>> {
    vec![
        Flag::list("inputs", "kind:folder,url,regex", |f: &mut F, v| f.inputs.push(v)),
        Flag::list("outputs", "kind:url,regex", |f: &mut F, v| f.outputs.push(v)),
        path("workflow", "the workflow's id", |f, v| f.workflow = v),
        path("groupName", "the group's name", |f, v| f.group = v),
        path("retryId", "the attempt (0)", |f, v| f.retry_id = v),
        path("logSource", "the task's name", |f, v| f.task = v),
        path("barrier", "barrier before the start", |f, v| f.barrier = v),
        path("socketPath", "where to listen for the agent", |f, v| f.socket = v.into()),
        path("inputPath", "where inputs go", |f, v| f.input_folder = folder(v)),
        path("outputPath", "where outputs come from", |f, v| f.output_folder = folder(v)),
        path("userConfig", "the user's credentials", |f, v| f.user_config = v.into()),
        path("serviceConfig", "the workflow's credentials", |f, v| f.service_config = v.into()),
        path("metadataFile", "accepted and ignored", |f, v| f.metadata = v.into()),
        time("unixTimeout", "minutes to wait for the agent (120)", |f, v| {
            f.agent_timeout = minutes(v);
        }),
        time("execTimeout", "minutes to wait for a terminal (5)", |f, v| {
            f.exec_timeout = minutes(v);
        }),
        time("dataTimeout", "minutes a transfer may stand still (10)", |f, v| {
            f.data_timeout = minutes(v);
        }),
    ]
}

fn service_flags() -> Vec<Flag<F>> {
    vec![
        path("scheme", "ws or wss (ws)", |f, v| f.scheme = v),
        path("host", "the service (localhost)", |f, v| f.host = v),
        Flag::number("port", "its port (8000)", |f: &mut F, v| f.port = v),
        path("refreshToken", "file with the refresh token", |f, v| f.refresh_token = v.into()),
        path("refreshScheme", "http or https (http)", |f, v| f.refresh_scheme = v),
        path("tokenHeader", "header for the token (Authorization)", |f, v| f.token_header = v),
        Flag::number("logsPeriod", "milliseconds between batches (100)", |f: &mut F, v: i64| {
            f.logs_period = Duration::from_millis(v.max(1).unsigned_abs());
        }),
        Flag::number("logsBufferSize", "lines kept (10000)", |f: &mut F, v: i64| {
            f.logs_buffer = usize::try_from(v).unwrap_or(1).max(1);
        }),
        time("timeout", "minutes the service may be away (60)", |f, v| {
            f.link_timeout = minutes(v);
        }),
    ]
}

fn own_flags() -> Vec<Flag<F>> {
    vec![
        path("terminationLog", "where the termination message goes", |f, v| {
            f.termination_log = v.into();
        }),
        Flag::switch("tlsVerify", "check the service's certificate (true)", |f: &mut F, on| {
            f.tls_verify = on;
        }),
        path("caFile", "certificates to trust besides the system's", |f, v| {
            f.ca_file = Some(v.into());
        }),
        path("health", "serve metrics at host:port or unix:/path", |f, v| f.health = v),
        path("statePath", "what a restarted sidecar must know", |f, v| f.state = v.into()),
        time("gracePeriod", "seconds from SIGTERM to the end (30)", |f, v| {
            f.grace = Duration::from_secs(v);
        }),
        Flag::switch("uploadEarly", "upload files once they are closed", |f: &mut F, on| {
            f.upload_early = on;
        }),
        Flag::checked("events", "plain or json (plain)", |f: &mut F, v| {
            f.events_json = match v {
                "json" => true,
                "plain" => false,
                _ => return Err("expected plain or json".to_owned()),
            };
            Ok(())
        }),
        Flag::checked("io", "auto, uring or epoll (auto)", |f: &mut F, v| {
            f.io = match v {
                "auto" => IoChoice::Auto,
                "uring" => IoChoice::Uring,
                "epoll" => IoChoice::Epoll,
                _ => return Err("expected auto, uring or epoll".to_owned()),
            };
            Ok(())
        }),
        Flag::checked("memory", "transfer buffers (24MiB)", |f: &mut F, v| {
            f.memory_bytes = parse_bytes(v)?;
            Ok(())
        }),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Flags;

    #[test]
    fn small_periods_and_buffers_become_one() {
        let flags = Flags::parse(["-logsPeriod", "0", "-logsBufferSize=-5"]).unwrap();
        assert_eq!((flags.logs_period.as_millis(), flags.logs_buffer), (1, 1));
    }
}
