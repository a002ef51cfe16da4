//! A service and an agent, played by the test.
#![allow(dead_code, reason = "no test file plays all of it")]

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use osmo_protocol::socket::{Decoder, Frame};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// Generous: a machine under load must not fail a test.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

pub(crate) const TOKEN: &str = r#"{"token":"jwt-1","expires_at":4102444800}"#;

/// How the service behaves on one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    /// Answers as it should.
    Good,
    /// Resets the connection after so many messages.
    Dies(usize),
    /// Ends the connection without a word when a metric comes.
    HatesMetrics,
    /// Closes with 4000.
    Unknown,
}

/// What the service saw.
#[derive(Debug)]
pub(crate) enum Seen {
    /// A token call: its first line, its body.
    Token(String, String),
    /// A dial: path, `Authorization`.
    Dial(String, String),
    /// An inner message.
    Message(Value),
}

pub(crate) struct Service {
    pub(crate) port: u16,
    pub(crate) seen: Receiver<Seen>,
    pub(crate) actions: tokio::sync::mpsc::UnboundedSender<Message>,
    /// Ends the service when dropped.
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Service {
    /// Answers token calls with `status` and `body`; each connection behaves as
    /// the next of `moods` says, and well after the last.
    pub(crate) fn start(status: u16, body: &'static str, moods: &'static [Mood]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, seen) = mpsc::channel();
        let (actions, mut queue) = tokio::sync::mpsc::unbounded_channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            let answer = async move {
                let mut moods = moods.iter().copied();
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut first = [0; 4];
                    while stream.peek(&mut first).await.unwrap() < 4 {}
                    if &first == b"POST" {
                        answer_token(&mut stream, &sender, status, body).await;
                    } else {
                        let mood = moods.next().unwrap_or(Mood::Good);
                        serve(stream, &sender, &mut queue, mood).await;
                    }
                }
            };
            runtime.block_on(async {
                tokio::select! {
                    () = answer => {}
                    _ = stopped => {}
                }
            });
        });
        Self { port, seen, actions, _stop: stop }
    }

    pub(crate) fn next(&self) -> Seen {
        self.seen.recv_timeout(WATCHDOG).expect("the sidecar says something")
    }

    pub(crate) fn act(&self, action: &str) {
        self.actions.send(Message::binary(action.to_owned().into_bytes())).unwrap();
    }

    /// Waits for a line of this text.
    pub(crate) fn wait_for(&self, text: &str) {
        loop {
            if let Seen::Message(message) = self.next()
                && message["Text"] == text
            {
                return;
            }
        }
    }

    /// Everything seen from now on, once the sidecar has ended.
    pub(crate) fn rest(&self) -> Vec<Value> {
        self.seen
            .try_iter()
            .filter_map(|seen| match seen {
                Seen::Message(message) => Some(message),
                _ => None,
            })
            .collect()
    }
}

async fn answer_token(stream: &mut TcpStream, seen: &Sender<Seen>, status: u16, body: &str) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        request.extend_from_slice(&buffer[..count]);
        if count == 0 || request.ends_with(b"}") {
            break;
        }
    }
    let text = String::from_utf8(request).unwrap();
    let (head, sent) = text.split_once("\r\n\r\n").unwrap();
    let _ = seen.send(Seen::Token(head.lines().next().unwrap().to_owned(), sent.to_owned()));
    let answer = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
}

async fn serve(
    stream: TcpStream,
    seen: &Sender<Seen>,
    actions: &mut tokio::sync::mpsc::UnboundedReceiver<Message>,
    mood: Mood,
) {
    let dialled = seen.clone();
    #[allow(clippy::result_large_err)]
    let note = move |request: &Request, response: Response| {
        let auth = request.headers().get("authorization").map(|value| value.to_str().unwrap());
        let path = request.uri().path().to_owned();
        let _ = dialled.send(Seen::Dial(path, auth.unwrap_or_default().to_owned()));
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, note).await.unwrap();
    let mut left = match mood {
        Mood::Good | Mood::HatesMetrics => usize::MAX,
        Mood::Dies(count) => count,
        Mood::Unknown => {
            let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame {
                code: 4000.into(),
                reason: "Workflow nope is not found.".into(),
            };
            let _ = socket.close(Some(frame)).await;
            return;
        }
    };
    loop {
        let frame = tokio::select! {
            frame = socket.next() => frame,
            action = actions.recv() => {
                let _ = socket.send(action.unwrap()).await;
                continue;
            }
        };
        let Some(Ok(Message::Text(text))) = frame else { return };
        left -= 1;
        if left == 0 {
            return;
        }
        let inner: String = serde_json::from_str(&text).unwrap();
        let message: Value = serde_json::from_str(&inner).unwrap();
        if matches!(mood, Mood::HatesMetrics) && message.get("MetricType").is_some() {
            return;
        }
        if message["IOType"] == "LOG_DONE" {
            let _ = socket.send(Message::text(r#"{"action": "log_done"}"#)).await;
        } else {
            let _ = seen.send(Seen::Message(message));
        }
    }
}

/// A sidecar under test.
pub(crate) struct Sidecar {
    pub(crate) root: TempDir,
    child: Child,
}

impl Sidecar {
    pub(crate) fn start(port: u16, more: &[&str]) -> Self {
        Self::start_in(Self::root(), port, more)
    }

    pub(crate) fn start_with(port: u16, more: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_all(Self::root(), port, more, variables)
    }

    /// The folders of a task.
    pub(crate) fn root() -> TempDir {
        let root = TempDir::new().unwrap();
        for name in ["socket", "input", "output"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        fs::write(root.path().join("socket/handoff"), "0123456789abcdef").unwrap();
        fs::write(root.path().join("token"), "refresh-me\n").unwrap();
        root
    }

    /// A sidecar of the task whose folders are in `root`.
    pub(crate) fn start_in(root: TempDir, port: u16, more: &[&str]) -> Self {
        Self::start_all(root, port, more, &[])
    }

    fn start_all(root: TempDir, port: u16, more: &[&str], variables: &[(&str, &str)]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_osmo-ctrl"))
            .args(["-socketPath", "socket/data.sock", "-inputPath", "input/"])
            .args(["-outputPath", "output/", "-workflow", "wf-1", "-groupName", "g"])
            .args(["-logSource", "t1", "-host", "127.0.0.1", "-port", &port.to_string()])
            .args(["-refreshToken", "token", "-terminationLog", "termination", "-events", "json"])
            .args(more)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env_remove("TRACEPARENT")
            .envs(variables.iter().copied())
            .current_dir(root.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self { root, child }
    }

    /// Killed without a word; the folders, for the next.
    #[allow(dead_code, reason = "not every file of tests kills it")]
    pub(crate) fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.root
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.root.path().join("socket/data.sock")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let killed = Command::new("sh").args(["-c", "kill -$0 $1", name, &id]).status().unwrap();
        assert!(killed.success());
    }

    /// Exit code, termination message, events.
    pub(crate) fn end(mut self) -> (Option<i32>, String, Vec<Value>) {
        let begin = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            if begin.elapsed() > WATCHDOG {
                let _ = self.child.kill();
                panic!("the sidecar does not end");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = self.child.wait_with_output().unwrap();
        let events = String::from_utf8(output.stdout).unwrap();
        let events = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told = fs::read_to_string(self.root.path().join("termination")).unwrap_or_default();
        (output.status.code(), told, events)
    }
}

/// An agent played by the test.
pub(crate) struct Agent {
    stream: UnixStream,
    decoder: Decoder,
}

impl Agent {
    /// Dials until the sidecar listens, and says `hello`.
    pub(crate) fn dial(sidecar: &Sidecar, hello: &Frame) -> Self {
        Self::dial_at(&sidecar.socket(), hello)
    }

    /// The same at a socket.
    pub(crate) fn dial_at(socket: &std::path::Path, hello: &Frame) -> Self {
        let begin = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(begin.elapsed() < WATCHDOG, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        let mut agent = Self { stream, decoder: Decoder::default() };
        agent.say(hello);
        agent
    }

    pub(crate) fn good(sidecar: &Sidecar) -> Self {
        Self::dial(sidecar, &Frame::Hello { token: "0123456789abcdef".into(), session: None })
    }

    pub(crate) fn say(&mut self, frame: &Frame) {
        self.stream.write_all(&frame.encode()).unwrap();
    }

    /// The sidecar's next word but for `LinesStored`, which comes at any time;
    /// `None` when it has hung up.
    pub(crate) fn hear(&mut self) -> Option<Frame> {
        loop {
            match self.hear_any() {
                Some(Frame::LinesStored { .. }) => {}
                word => return word,
            }
        }
    }

    /// The sidecar's next word; `None` when it has hung up.
    pub(crate) fn hear_any(&mut self) -> Option<Frame> {
        use std::io::Read as _;
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.frame().unwrap() {
                return Some(frame);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.decoder.push(&buffer[..count]),
            }
        }
    }

    pub(crate) fn wait_for_start(&mut self) {
        let start = Frame::ExecStart { output_folder: "output/".into() };
        assert_eq!(self.hear(), Some(start));
    }
}
