//! `osmo port-forward` to servers of Python behind a sidecar that the test
//! plays; curl and Python's sockets are the clients.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use osmo_controller::service::TaskStatus;
use osmo_protocol::logger::{Action, Route};
use osmo_protocol::router::PairKind;
use osmo_tests::program::Programs;
use osmo_tests::sidecar::{Sidecar, WATCHDOG, next, send};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

/// A program that is ended with the test, and the lines that it says.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(mut command: Command, says_on_stdout: bool) -> Self {
        let output = if says_on_stdout {
            command.stdout(Stdio::piped())
        } else {
            command.stderr(Stdio::piped())
        };
        let mut child = output.spawn().unwrap();
        let stream: Box<dyn std::io::Read + Send> = if says_on_stdout {
            Box::new(child.stdout.take().unwrap())
        } else {
            Box::new(child.stderr.take().unwrap())
        };
        let (say, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// `osmo port-forward wf-1 …`
    fn osmo(sidecar: &Sidecar, folder: &Path, args: &[&str]) -> Self {
        let mut command = PROGRAMS.command("osmo", ["port-forward", "wf-1"]);
        command.args(args).arg("--login").arg(sidecar.login(folder));
        Self::start(command, false)
    }

    fn python(script: &str, folder: &Path) -> (Self, u16) {
        let mut command = Command::new("python3");
        command.args(["-u", "-c", script]).current_dir(folder).stderr(Stdio::null());
        let server = Self::start(command, true);
        let port = server.line("").parse().unwrap();
        (server, port)
    }

    /// The next line that holds `part`.
    fn line(&self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(WATCHDOG).unwrap_or_else(|_| panic!("no {part:?}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The local port of `Forwarding 127.0.0.1:PORT -> task t1:REMOTE`.
    fn forwarding(&self, remote: u16) -> u16 {
        let line = self.line("Forwarding ");
        let port = line.strip_prefix("Forwarding 127.0.0.1:").unwrap();
        let port = port.strip_suffix(&format!(" -> task t1:{remote}")).unwrap();
        port.parse().unwrap()
    }

    fn signalled(mut self, signal: rustix::process::Signal) -> Option<i32> {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn asked(sidecar: &mut Sidecar, port: u16, udp: bool) -> Route {
    let Action::PortForward { route, task_port, use_udp } = sidecar.action().await else {
        panic!("no port-forward")
    };
    assert_eq!((task_port, use_udp), (port, udp));
    route
}

fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

const HTTP: &str = "import http.server\n\
    s=http.server.ThreadingHTTPServer(('127.0.0.1',0),http.server.SimpleHTTPRequestHandler)\n\
    print(s.server_port)\ns.serve_forever()";

const ECHO: &str = "import socket,threading\n\
    s=socket.create_server(('127.0.0.1',0),backlog=2048)\nprint(s.getsockname()[1])\n\
    def serve(c):\n \
     while d:=c.recv(65536): c.sendall(d)\n\
    while True: threading.Thread(target=serve,args=(s.accept()[0],),daemon=True).start()";

#[tokio::test(flavor = "multi_thread")]
async fn curl_downloads_through_it_also_after_the_task_s_side_was_lost() {
    if Command::new("curl").arg("--version").output().is_err() {
        return osmo_tests::skip::skip("there is no curl");
    }
    let mut sidecar = Sidecar::start().await;
    let folder = TempDir::new().unwrap();
    let bytes: Vec<u8> =
        (0..8u32 << 20).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    std::fs::write(folder.path().join("file"), bytes).unwrap();
    let (_server, server) = Running::python(HTTP, folder.path());
    let osmo = Running::osmo(&sidecar, folder.path(), &["t1", "0:80"]);
    let route = asked(&mut sidecar, 80, false).await;
    let control = sidecar.dial(PairKind::PortForward, &route).await;
    let port = osmo.forwarding(80);
    let download = |name: &'static str| {
        let path = folder.path().join(name);
        spawn_blocking(move || {
            let url = format!("http://127.0.0.1:{port}/file");
            let status =
                Command::new("curl").args(["-sS", "-m", "50", "-o"]).arg(&path).arg(url).status();
            assert!(status.unwrap().success());
            path
        })
    };
    let original = sha256(&folder.path().join("file"));
    tokio::select! {
        () = sidecar.forward(control, server) => panic!("the control pair has ended"),
        first = download("first") => assert_eq!(sha256(&first.unwrap()), original),
    }
    // Leaving the select dropped the control pair without a word.
    assert!(osmo.line("was lost").ends_with("again in 5 s"));
    let waiting = download("second");
    let route = asked(&mut sidecar, 80, false).await;
    let control = sidecar.dial(PairKind::PortForward, &route).await;
    tokio::select! {
        () = sidecar.forward(control, server) => panic!("the control pair has ended"),
        second = waiting => assert_eq!(sha256(&second.unwrap()), original),
    }
    assert_eq!(osmo.signalled(rustix::process::Signal::INT), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_and_a_half_close_closes_the_pair() {
    let mut sidecar = Sidecar::start().await;
    let folder = TempDir::new().unwrap();
    let osmo = Running::osmo(&sidecar, folder.path(), &["--port", "0:81", "t1"]);
    let route = asked(&mut sidecar, 81, false).await;
    let mut control = sidecar.dial(PairKind::PortForward, &route).await;
    let port = osmo.forwarding(81);
    // As the recording `portforward-refused` has it.
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let call: serde_json::Value =
        serde_json::from_slice(&next(&mut control).await.unwrap()).unwrap();
    let key = call["key"].as_str().unwrap();
    assert!(key.len() == "PORTFORWARD-".len() + 32 && call["cookie"] == "", "{call}");
    let data =
        |key: &str| Route { router_address: String::new(), key: key.into(), cookie: String::new() };
    let mut pair = sidecar.dial(PairKind::PortForward, &data(key)).await;
    drop(pair.close(None).await);
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    osmo.line("task t1:81: the task closed the connection at once");
    // A client that has said all it has to say.
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"all").unwrap();
    let call: serde_json::Value =
        serde_json::from_slice(&next(&mut control).await.unwrap()).unwrap();
    let mut pair = sidecar.dial(PairKind::PortForward, &data(call["key"].as_str().unwrap())).await;
    assert_eq!(next(&mut pair).await.unwrap(), b"all");
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(next(&mut pair).await, None);
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let call: serde_json::Value =
        serde_json::from_slice(&next(&mut control).await.unwrap()).unwrap();
    let mut pair = sidecar.dial(PairKind::PortForward, &data(call["key"].as_str().unwrap())).await;
    send(&mut pair, b"open").await;
    client.read_exact(&mut [0; 4]).unwrap();
    // The task has ended: so does the command. A connection outlives the
    // control pair.
    sidecar.service.set_status(&sidecar.key, TaskStatus::Completed);
    drop(control.close(None).await);
    osmo.line("was lost");
    client.write_all(b"still").unwrap();
    assert_eq!(next(&mut pair).await.unwrap(), b"still");
    osmo.line("has ended");
    let mut osmo = osmo;
    let code = spawn_blocking(move || osmo.child.wait().unwrap().code()).await.unwrap();
    assert_eq!(code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_are_carried_at_once() {
    const CONNECTIONS: usize = 1_000;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let enough = limit.maximum.is_none_or(|maximum| maximum >= 16_384);
    if !enough || setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_err() {
        return osmo_tests::skip::skip("a thousand connections need 16,384 open files");
    }
    let mut sidecar = Sidecar::start().await;
    let folder = TempDir::new().unwrap();
    let (_server, server) = Running::python(ECHO, folder.path());
    let osmo = Running::osmo(&sidecar, folder.path(), &["t1", "0:7"]);
    let route = asked(&mut sidecar, 7, false).await;
    let control = sidecar.dial(PairKind::PortForward, &route).await;
    let port = osmo.forwarding(7);
    let clients = spawn_blocking(move || {
        let connect = |number: usize| {
            let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
            client.set_read_timeout(Some(WATCHDOG)).unwrap();
            client.write_all(&number.to_le_bytes()).unwrap();
            client
        };
        let mut clients: Vec<_> = (0..CONNECTIONS).map(connect).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            let mut echoed = [0; size_of::<usize>()];
            client.read_exact(&mut echoed).unwrap();
            assert_eq!(usize::from_le_bytes(echoed), number);
        }
    });
    tokio::select! {
        () = sidecar.forward(control, server) => panic!("the control pair has ended"),
        done = clients => done.unwrap(),
    }
}

// Bytes as the recording `cli-portforward-udp` has them.
#[tokio::test(flavor = "multi_thread")]
async fn datagrams_carry_their_client_s_address() {
    let mut sidecar = Sidecar::start().await;
    let folder = TempDir::new().unwrap();
    let osmo = Running::osmo(&sidecar, folder.path(), &["t1", "--port", "0:9000", "--udp"]);
    let route = asked(&mut sidecar, 9000, true).await;
    let mut pair = sidecar.dial(PairKind::PortForward, &route).await;
    let port = osmo.forwarding(9000);
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(WATCHDOG)).unwrap();
    stranger.set_nonblocking(true).unwrap();
    let head = |socket: &std::net::UdpSocket| {
        [&[127, 0, 0, 1], &socket.local_addr().unwrap().port().to_be_bytes()[..]].concat()
    };
    for datagram in [&b"one"[..], b"", &[b'x'; 1400]] {
        client.send_to(datagram, ("127.0.0.1", port)).unwrap();
        assert_eq!(next(&mut pair).await.unwrap(), [&head(&client), datagram].concat());
        // Nobody who has not sent anything gets an answer.
        send(&mut pair, &[&head(&stranger), &b"no"[..]].concat()).await;
        send(&mut pair, &[&head(&client), &b"re: "[..], datagram].concat()).await;
        let mut answer = [0; 2048];
        let count = client.recv(&mut answer).unwrap();
        assert_eq!(answer[..count], [b"re: ", datagram].concat());
    }
    assert!(stranger.recv(&mut [0; 8]).is_err());
    assert_eq!(osmo.signalled(rustix::process::Signal::TERM), Some(0));
}

#[test]
fn a_port_that_is_taken_and_one_that_is_none_are_told() {
    let folder = TempDir::new().unwrap();
    let login = folder.path().join("login.yaml");
    std::fs::write(&login, "url: http://127.0.0.1:1\ndev_login: {username: a}\n").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let run = |args: &[&str]| {
        let mut command = PROGRAMS.command("osmo", ["workflow", "port-forward", "wf-1", "t1"]);
        let output = command.args(args).arg("--login").arg(&login).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&["--port", &port.to_string()]);
    assert!(code == Some(2) && said.contains("cannot listen on 127.0.0.1"), "{said}");
    let (code, said) = run(&["--port", "99999"]);
    assert!(code == Some(1) && said.contains("is no port"), "{said}");
    let (code, said) = run(&["--port", "0:80", "--host", "localhost"]);
    assert!(code == Some(2) && said.contains("cannot reach the service"), "{said}");
}
