//! What stands in the heads of the sidecar's calls and dials: the token, the
//! action's cookie as it came, and the trace. What comes in `TRACEPARENT` is also
//! the command's, and on no request to a store, which would not be signed as it
//! is sent.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use osmo_controller::service::{LocalService, ServiceConfig, TaskIdentity, TaskKey};
use osmo_protocol::logger::{Action, Route};
use osmo_tests::fault_server::FaultServer;
use osmo_tests::pod::sidecar_args;
use osmo_tests::program::Programs;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::time::timeout;

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));
const WATCHDOG: Duration = Duration::from_secs(120);
/// The example of W3C's Trace Context.
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Passes bytes on and keeps what the clients said.
struct Relay {
    address: SocketAddr,
    said: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Relay {
    async fn before(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, behind, Arc::clone(&kept)));
            }
        });
        Self { address, said }
    }

    /// The heads of requests so far, one string each.
    fn heads(&self) -> Vec<String> {
        let said = self.said.lock().unwrap();
        let texts = said.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        texts.filter(|text| text.contains(" HTTP/1.1\r\n")).collect()
    }
}

async fn pass(client: TcpStream, behind: SocketAddr, kept: Arc<Mutex<Vec<Vec<u8>>>>) {
    let Ok(server) = TcpStream::connect(behind).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let index = {
        let mut kept = kept.lock().unwrap();
        kept.push(Vec::new());
        kept.len() - 1
    };
    let up = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            kept.lock().unwrap()[index].extend_from_slice(&buffer[..count]);
            if to_server.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
        let _ = to_server.shutdown().await;
    };
    let down = async {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(up, down);
}

struct Pod {
    folder: TempDir,
    service: LocalService,
    store: FaultServer,
    to_service: Relay,
    to_store: Relay,
}

fn key() -> TaskKey {
    TaskKey { workflow: "wf-1".into(), task: "t".into(), retry: 0 }
}

impl Pod {
    async fn new() -> Self {
        let service = LocalService::start(ServiceConfig::default()).await.unwrap();
        let TaskKey { workflow, task, retry } = key();
        let identity = TaskIdentity { workflow, group: "g".into(), task, retry, lead: true };
        let token = service.add_task(identity);
        let store = FaultServer::start("bkt").unwrap();
        store.put("in/file", "data");
        let to_service = Relay::before(service.address()).await;
        let behind = store.url().trim_start_matches("http://").parse().unwrap();
        let to_store = Relay::before(behind).await;
        let folder = TempDir::new().unwrap();
        let pod = Self { folder, service, store, to_service, to_store };
        for folder in ["socket", "input", "output"] {
            std::fs::create_dir(pod.path(folder)).unwrap();
        }
        let config = pod.store.config(Some(&format!("http://{}", pod.to_store.address)));
        std::fs::write(pod.path("config.yaml"), config).unwrap();
        std::fs::write(pod.path("token"), token).unwrap();
        pod
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The head of the first request whose first line has `part`, once it is
    /// whole.
    fn head(&self, part: &str) -> Option<String> {
        let heads = self.to_service.heads();
        let head = heads.into_iter().find(|head| head.lines().next().unwrap().contains(part))?;
        Some(head.split_once("\r\n\r\n")?.0.to_owned() + "\r\n")
    }

    fn ctrl(&self, more: &[&str]) -> Child {
        let args = sidecar_args(self.folder.path(), "t", self.to_service.address.port());
        let mut command = PROGRAMS.command("osmo-ctrl", args);
        command.args(["-inputs", "task:0,s3://bkt/in,", "-outputs", "task:s3://bkt/out"]);
        command.args(more);
        spawn(command)
    }

    /// Its command tells its trace, makes an output, and stays until the test
    /// has made a file.
    fn exec(&self) -> Child {
        let go = self.path("go");
        let script = format!(
            "echo trace $TRACEPARENT; echo x >\"{}\"; while [ ! -e \"{}\" ]; do sleep 0.02; done",
            self.path("output/result").display(),
            go.display()
        );
        let mut command = PROGRAMS.command("osmo-exec", ["-socketPath"]);
        command.arg(self.path("socket/data.sock")).current_dir(self.path("output"));
        command.args(["-commands", "sh", "-args", "-c", "-args", &script]);
        spawn(command)
    }
}

fn spawn(mut command: std::process::Command) -> Child {
    command.env("TRACEPARENT", TRACE).stdout(Stdio::null());
    tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap()
}

async fn until<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let waited = timeout(WATCHDOG, async {
        loop {
            if let Some(found) = find() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}"))
}

/// As OSMO's router sets it, and as both sides send it.
const COOKIE: &str =
    r#"_osmo_router_affinity="1758d1c8a4c6b1e2"; Path=/; SameSite=Strict; Secure, other=1"#;

fn forward(pod: &Pod) {
    let (router_address, cookie) = (format!("ws://{}", pod.to_service.address), COOKIE.to_owned());
    let route = Route { router_address, key: "PORTFORWARD-1".into(), cookie };
    let action = Action::PortForward { route, task_port: 1, use_udp: false };
    assert!(pod.service.push_action(&key(), action));
}

const TOKEN_CALL: &str = "/api/auth/jwt/refresh_token";
const LOGGER: &str = "/api/logger/workflow/";
const ROUTER: &str = "/api/router/portforward/";

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_through_the_pod_and_to_the_service() {
    let pod = Pod::new().await;
    let (mut ctrl, mut exec) = (pod.ctrl(&[]), pod.exec());
    let said = until("the command's line", || {
        pod.service.logs(&key()).into_iter().find(|line| line.text.starts_with("trace "))
    });
    assert_eq!(said.await.text.as_ref(), format!("trace {TRACE}"));
    forward(&pod);
    let dialled = until("the router's dial", || pod.head(ROUTER)).await;
    std::fs::write(pod.path("go"), "").unwrap();
    let ended = timeout(WATCHDOG, async { (ctrl.wait().await, exec.wait().await) }).await.unwrap();
    assert_eq!((ended.0.unwrap().code(), ended.1.unwrap().code()), (Some(0), Some(0)));

    let line = format!("\r\ntraceparent: {TRACE}\r\n");
    for head in [pod.head(TOKEN_CALL).unwrap(), pod.head(LOGGER).unwrap(), dialled] {
        assert_eq!(head.matches(&line).count(), 1, "{head}");
    }
    // Its store got the requests of a download and an upload, and no trace.
    assert!(pod.store.object("out/result").is_some());
    let requests = pod.to_store.heads();
    assert!(requests.iter().any(|head| head.contains("GET ")));
    assert!(requests.iter().any(|head| head.contains("PUT ")));
    assert!(requests.iter().all(|head| !head.to_lowercase().contains("traceparent")));
}

/// The values of a header, named in any case of letters.
fn values(head: &str, wanted: &str) -> Vec<String> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let ours = fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    ours.map(|(_, value)| value.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_and_the_cookie_stand_on_each_dial() {
    for (flags, header, bearer) in
        [(&[][..], "Authorization", true), (&["-tokenHeader", "x-osmo-auth"], "x-osmo-auth", false)]
    {
        let pod = Pod::new().await;
        let (_ctrl, _exec) = (pod.ctrl(flags), pod.exec());
        let call = until("the token call", || pod.head(TOKEN_CALL)).await;
        assert!(call.starts_with(
            "POST /api/auth/jwt/refresh_token?group_name=g&retry_id=0&task_name=t&workflow_id=wf-1 \
             HTTP/1.1\r\n"
        ));
        assert_eq!(values(&call, "Content-Type"), ["application/json"]);
        assert_eq!(values(&call, header), [""; 0], "the call needs no token");
        forward(&pod);
        for path in [LOGGER, ROUTER] {
            let head = until("the dial", || pod.head(path)).await;
            let [value] = values(&head, header).try_into().unwrap();
            let token = value.strip_prefix("Bearer ").unwrap_or(&value);
            assert_eq!(
                (value.len() > token.len(), token.split('.').count()),
                (bearer, 3),
                "{head}"
            );
            for other in ["Authorization", "x-osmo-auth"].iter().filter(|other| **other != header) {
                assert_eq!(values(&head, other), [""; 0], "{head}");
            }
        }
        let dialled = until("the dial", || pod.head(ROUTER)).await;
        assert_eq!(values(&dialled, "Cookie"), [COOKIE]);
    }
}
