//! rsync and checkpoints of the real agent, with the machine's own rsync as
//! client and daemon.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use osmo_protocol::socket::{Decoder, Frame};
use tempfile::TempDir;

const WATCHDOG: Duration = Duration::from_secs(60);

struct Pod {
    root: TempDir,
    child: Child,
    stream: UnixStream,
    decoder: Decoder,
    port: u16,
}

impl Pod {
    fn start(script: &str, more: impl FnOnce(&TempDir) -> Vec<String>) -> Self {
        Self::commanded(&["sh", "-c", script], more)
    }

    fn commanded(words: &[&str], more: impl FnOnce(&TempDir) -> Vec<String>) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_at(port, None, words, more)
    }

    /// On `port`, as the user and group `id`, if any.
    fn start_at(
        port: u16,
        id: Option<u32>,
        words: &[&str],
        more: impl FnOnce(&TempDir) -> Vec<String>,
    ) -> Self {
        let root = TempDir::new().unwrap();
        for name in ["data/socket", "data/output", "bin"] {
            fs::create_dir_all(root.path().join(name)).unwrap();
        }
        let path = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
        let more = more(&root);
        let listener = UnixListener::bind(path("data/socket/s")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_osmo-exec"));
        if let Some(id) = id {
            for name in ["", "data/socket/s", "data/output"] {
                chown(root.path().join(name), Some(id), Some(id)).unwrap();
            }
            command.uid(id).gid(id);
        }
        let child = command
            .args(["-socketPath", &path("data/socket/s"), "-runLocation", &path("run")])
            .args(["-userBinPath", &path("bin"), "-rsyncPort", &port.to_string()])
            .args(words.iter().flat_map(|word| ["-commands", word]))
            .args(more)
            .env("TMPDIR", root.path())
            .spawn()
            .unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        let start = Frame::ExecStart { output_folder: path("data/output/") };
        stream.write_all(&start.encode()).unwrap();
        Self { root, child, stream, decoder: Decoder::default(), port }
    }

    fn rsync(more: impl FnOnce(&TempDir) -> Vec<String>) -> Option<Self> {
        if !has_rsync() {
            return None;
        }
        let enabled = |root: &TempDir| [vec!["-enableRsync".to_owned()], more(root)].concat();
        let mut pod = Self::start("exec sleep 300", enabled);
        pod.wait_for_rsync();
        Some(pod)
    }

    /// Takes the port that the daemon tells; returns what was told before.
    fn wait_for_rsync(&mut self) -> Vec<Frame> {
        let mut before = Vec::new();
        loop {
            match self.next().expect("the daemon runs") {
                Frame::UserRsyncStatus { running: true, port } => {
                    self.port = port;
                    return before;
                }
                other => before.push(other),
            }
        }
    }

    fn next(&mut self) -> Option<Frame> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.frame().unwrap() {
                return Some(frame);
            }
            match self.stream.read(&mut buffer).unwrap() {
                0 => return None,
                count => self.decoder.push(&buffer[..count]),
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn url(&self, rest: &str) -> String {
        format!("rsync://127.0.0.1:{}/{rest}", self.port)
    }

    /// Ends the command and returns what was told.
    fn end(mut self) -> Vec<Frame> {
        let _ = self.stream.write_all(&Frame::Terminate { seconds: None }.encode());
        let frames = std::iter::from_fn(|| self.next()).collect();
        self.child.wait().unwrap();
        frames
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // Told so, it takes its command along.
        let _ = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).output();
        let _ = self.child.wait();
    }
}

fn has_rsync() -> bool {
    let is_there = Command::new("rsync").arg("--version").output().is_ok();
    if !is_there {
        assert!(std::env::var_os("OSMO_TEST_STRICT").is_none(), "rsync is missing");
        eprintln!("skipped: no rsync");
    }
    is_there
}

fn client(args: &[&str]) -> Output {
    Command::new("rsync").args(args).output().unwrap()
}

#[test]
fn files_go_both_ways_in_both_protocols() {
    let Some(pod) = Pod::rsync(|_| vec![]) else { return };
    let (from, back) = (pod.path("from"), pod.path("back"));
    fs::create_dir_all(from.join("sub")).unwrap();
    for number in 0..300 {
        fs::write(from.join(format!("sub/{number}")), number.to_string()).unwrap();
    }
    let (from, back) = (format!("{}/", from.display()), format!("{}/", back.display()));
    for more in ["--checksum", "--protocol=27", "--delete"] {
        for (one, two) in [(&from, &pod.url("osmo/d/")), (&pod.url("osmo/d/"), &back)] {
            let done = client(&["-av", more, one, two]);
            assert!(done.status.success(), "{more} {done:?}");
        }
        let same = Command::new("diff").args(["-r", &from, &back]).status().unwrap();
        assert!(same.success());
        fs::remove_file(pod.path("from/sub").join(more.len().to_string())).unwrap();
        fs::remove_dir_all(&back).unwrap();
        fs::remove_dir_all(pod.path("run/workspace/d")).unwrap();
    }
    let frames = pod.end();
    assert!(frames.contains(&Frame::UserRsyncStatus { running: false, port: 0 }), "{frames:?}");
}

#[test]
fn nothing_outside_the_modules_is_reached() {
    let Some(pod) = Pod::rsync(|root| {
        fs::create_dir(root.path().join("ro")).unwrap();
        vec!["-rsyncPathAllowList".into(), format!("ro:{}/ro:false", root.path().display())]
    }) else {
        return;
    };
    let here = pod.root.path();
    fs::write(here.join("secret"), "secret").unwrap();
    fs::create_dir(here.join("aside")).unwrap();
    fs::write(here.join("ro/open"), "open").unwrap();
    symlink(here.join("secret"), here.join("run/workspace/link")).unwrap();
    symlink(here.join("aside"), here.join("run/workspace/way")).unwrap();
    let (target, secret) = (format!("{}/got", here.display()), here.join("secret"));
    assert!(client(&["-a", &pod.url("ro/open"), &target]).status.success());
    assert!(!client(&["-a", secret.to_str().unwrap(), &pod.url("ro/")]).status.success());
    fs::remove_file(&target).unwrap();
    let _ = client(&["-aL", &pod.url("osmo/link"), &target]);
    assert!(!here.join("got").is_file());
    let _ = client(&["-aK", secret.to_str().unwrap(), &pod.url("osmo/way/x")]);
    assert!(!here.join("aside/x").exists());
    let list = client(&[&pod.url("")]);
    assert_eq!(
        String::from_utf8_lossy(&list.stdout),
        "osmo           \tosmo\nro             \tro\n"
    );
}

#[test]
fn the_seventeenth_reads_why_and_a_dropped_one_frees_its_place() {
    let Some(pod) = Pod::rsync(|_| vec![]) else { return };
    let dial = || {
        let mut stream = TcpStream::connect(("127.0.0.1", pod.port)).unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"@RSYNCD: ");
        stream
    };
    let held: Vec<_> = (0..16).map(|_| dial()).collect();
    let refused = client(&[&pod.url("")]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("max connections (16) reached"), "{refused:?}");
    drop(held);
    let begin = Instant::now();
    while !client(&[&pod.url("")]).status.success() {
        assert!(begin.elapsed() < WATCHDOG, "no place became free");
    }
}

/// The recorded exchange: the user's bytes as they were, the daemon's as far as
/// the protocol fixes them (its version, the padding of a name are its own).
#[test]
fn the_recorded_listing_is_answered_alike() {
    let Some(pod) = Pod::rsync(|_| vec![]) else { return };
    let recording = include_str!("../../../tests/fixtures/transcripts/rsync-pair.jsonl");
    let mut stream = TcpStream::connect(("127.0.0.1", pod.port)).unwrap();
    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    let mut said = [String::new(), String::new()];
    for line in recording.lines() {
        let field = |name: &str| {
            let rest = line.split_once(&format!("\"{name}\": \""))?.1;
            Some(rest.split_once('"')?.0.replace("\\n", "\n").replace("\\t", "\t"))
        };
        let (from, kind, conn) = (field("from"), field("kind"), field("conn"));
        if (kind.as_deref(), conn.as_deref()) != (Some("binary"), Some("data")) {
            continue;
        }
        match from.as_deref() {
            Some("client") => said[0] += &field("data").unwrap(),
            Some("user") => said[1] += &field("data").unwrap(),
            _ => {}
        }
    }
    let [daemon, user] = said;
    assert_eq!(user, "@RSYNCD: 27\n\n", "the recording is read");
    stream.write_all(user.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (greeting, listing) = answer.split_once('\n').unwrap();
    let (wanted_greeting, wanted_listing) = daemon.split_once('\n').unwrap();
    let version = |line: &str| -> u32 {
        let digits = line.strip_prefix("@RSYNCD: ").unwrap();
        digits.split(['.', ' ']).next().unwrap().parse().unwrap()
    };
    assert!(version(greeting) >= version(wanted_greeting), "{greeting}");
    let plain = |line: &str| match line.split_once('\t') {
        Some((name, about)) => format!("{}\t{about}\n", name.trim_end()),
        None => format!("{line}\n"),
    };
    assert_eq!(listing.lines().map(plain).collect::<String>(), wanted_listing);
}

#[test]
fn why_a_copy_failed_is_told() {
    let Some(pod) = Pod::rsync(|root| {
        fs::create_dir(root.path().join("ro")).unwrap();
        vec!["-rsyncPathAllowList".into(), format!("ro:{}/ro:false", root.path().display())]
    }) else {
        return;
    };
    fs::write(pod.path("file"), "x").unwrap();
    fs::write(pod.path("run/workspace/plain"), "x").unwrap();
    let file = pod.path("file").to_str().unwrap().to_owned();
    assert!(client(&["-a", &file, &pod.url("osmo/fine")]).status.success());
    assert!(!client(&["-a", &file, &pod.url("ro/x")]).status.success());
    assert!(!client(&["-a", &file, &pod.url("nowhere/x")]).status.success());
    assert!(!client(&["-a", &file, &pod.url("osmo/plain/x/y")]).status.success());
    for _ in 0..50 {
        client(&[&pod.url("nowhere/x")]);
    }
    let frames = pod.end();
    let told: Vec<_> = frames
        .iter()
        .filter_map(|frame| match frame {
            Frame::MessageOps(line) => line.strip_prefix("rsync: "),
            _ => None,
        })
        .collect();
    for what in ["read only", "nowhere", "Not a directory"] {
        assert!(told.iter().any(|line| line.contains(what)), "{what}: {told:?}");
    }
    assert!(!told.iter().any(|line| line.contains("bytes")), "{told:?}");
    // A flood is cut; a slow machine may need more than one while for it.
    assert!((3..50).contains(&told.len()), "{told:?}");
}

#[test]
fn where_the_port_is_taken_another_one_is_told() {
    if Pod::rsync(|_| vec![]).is_none() {
        return;
    }
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().port();
    let mut pod = Pod::start_at(taken, None, &["sleep", "300"], |_| vec!["-enableRsync".into()]);
    let before = pod.wait_for_rsync();
    assert_ne!(pod.port, taken);
    let told = format!("port {taken} is taken");
    let is_it = |frame: &Frame| matches!(frame, Frame::MessageOps(line) if line.contains(&told));
    assert!(before.iter().any(is_it), "{before:?}");
    fs::write(pod.path("file"), "x").unwrap();
    let done = client(&["-a", pod.path("file").to_str().unwrap(), &pod.url("osmo/")]);
    assert!(done.status.success(), "{done:?}");
    assert!(pod.path("run/workspace/file").exists());
}

#[test]
fn somebody_without_rights_serves_too() {
    const NOBODY: u32 = 65_534;
    let own = Command::new("id").arg("-u").output().unwrap().stdout;
    if Pod::rsync(|_| vec![]).is_none() {
        return;
    }
    if own != b"0\n" {
        // Then every other test of this file is this one.
        return;
    }
    let mut program = Command::new(env!("CARGO_BIN_EXE_osmo-exec"));
    if program.arg("-help").uid(NOBODY).gid(NOBODY).output().is_err() {
        assert!(std::env::var_os("OSMO_TEST_STRICT").is_none(), "nobody may not run the agent");
        eprintln!("skipped: nobody may not run the agent here");
        return;
    }
    let mut pod =
        Pod::start_at(0, Some(NOBODY), &["sleep", "300"], |_| vec!["-enableRsync".to_owned()]);
    pod.wait_for_rsync();
    fs::create_dir(pod.path("from")).unwrap();
    fs::write(pod.path("from/file"), "x").unwrap();
    chown(pod.path("from/file"), Some(0), Some(0)).unwrap();
    let (from, back) = (pod.path("from/"), pod.path("back"));
    let done = client(&["-a", from.to_str().unwrap(), &pod.url("osmo/up/")]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(fs::metadata(pod.path("run/workspace/up/file")).unwrap().uid(), NOBODY);
    let done = client(&["-a", &pod.url("osmo/up/"), back.to_str().unwrap()]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(fs::read_to_string(back.join("file")).unwrap(), "x");
}

#[test]
fn limits_hold_in_both_directions() {
    let limit = ["-rsyncReadLimit", "200000", "-rsyncWriteLimit", "200000"];
    let Some(pod) = Pod::rsync(|_| limit.map(str::to_owned).to_vec()) else { return };
    let (file, back) = (pod.path("file"), pod.path("back"));
    fs::write(&file, vec![7; 300_000]).unwrap();
    let url = pod.url("osmo/file");
    for (one, two) in [(file.to_str().unwrap(), &*url), (&url, back.to_str().unwrap())] {
        let begin = Instant::now();
        assert!(client(&["-a", one, two]).status.success());
        assert!(begin.elapsed() >= Duration::from_millis(1400), "{:?}", begin.elapsed());
    }
    assert_eq!(fs::read(back).unwrap(), vec![7; 300_000]);
}

#[test]
fn checkpoints_upload_what_changed_and_never_fail_the_task() {
    let script = "echo 1 >$CK/a; sleep 2.5; echo 2 >$CK/b; exit 0";
    let mut pod = Pod::start(". \"$0\"", |root| {
        let here = root.path().display();
        fs::create_dir(root.path().join("ck")).unwrap();
        let fake = root.path().join("bin/osmo");
        let text =
            format!("#!/bin/sh\necho \"$@\" >>{here}/log\necho told\n[ \"$3\" != s3://bad ]\n");
        fs::write(&fake, text).unwrap();
        fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
        let script = script.replace("$CK", &format!("{here}/ck"));
        fs::write(root.path().join("script"), script).unwrap();
        let mut args = vec!["-args".to_owned(), format!("{here}/script")];
        for one in
            [format!("{here}/ck;s3://good;1;.*"), format!("{here}/ck;s3://bad;1;"), "no".into()]
        {
            args.extend(["-checkpoint".to_owned(), one]);
        }
        args
    });
    let frames: Vec<_> = std::iter::from_fn(|| pod.next()).collect();
    assert_eq!(frames.last(), Some(&Frame::ExecFinished), "{frames:?}");
    let log = fs::read_to_string(pod.path("log")).unwrap();
    let good: Vec<_> = log.lines().filter(|line| line.contains("s3://good")).collect();
    assert_eq!(good.len(), 2, "{log}");
    assert!(good[1].ends_with("--regex=.* --include=ck/b"), "{log}");
    let has = |what: &str| {
        frames.iter().any(|f| matches!(f, Frame::MessageOps(line) if line.contains(what)))
    };
    assert!(has("told") && has("failed") && has("exit status 1") && has("`no` is not taken"));
    assert!(has("to s3://good finished"), "{frames:?}");
}

/// The connection is served: its greeting is answered.
fn connected(pod: &Pod) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", pod.port)).unwrap();
    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    stream
}

/// A client that sends a file slowly, so that rsync's own child is at work.
fn sending(pod: &Pod) -> Child {
    fs::write(pod.path("large"), vec![7; 40 << 20]).unwrap();
    let large = pod.path("large").to_str().unwrap().to_owned();
    let client = Command::new("rsync")
        .args(["--bwlimit=1m", &large, &pod.url("osmo/large")])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_until("rsync and its child", || servers(pod) >= 3);
    client
}

/// Living guards and rsyncs of `pod`.
fn servers(pod: &Pod) -> usize {
    let here = pod.root.path().canonicalize().unwrap();
    let here = here.to_str().unwrap().to_owned();
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    all.filter_map(|process| fs::read_to_string(process.join("cmdline")).ok())
        .filter(|line| line.contains("--no-detach") && line.contains(&here))
        .count()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < WATCHDOG, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_rsync_at_work_ends_with_its_agent_however_that_ends() {
    for signal in ["-HUP", "-KILL"] {
        let Some(mut pod) = Pod::rsync(|_| vec![]) else { return };
        let mut client = sending(&pod);
        let pid = pod.child.id().to_string();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        pod.child.wait().unwrap();
        match signal {
            "-HUP" => assert_eq!(servers(&pod), 0),
            _ => {
                wait_until("its rsyncs end", || servers(&pod) == 0);
                // The command is the container's to end.
                let left = children.split_whitespace();
                let _ = Command::new("kill").arg("-KILL").args(left).output();
            }
        }
        assert!(!client.wait().unwrap().success());
    }
}

#[test]
fn a_connection_outlives_a_restart_of_the_command() {
    let Some(mut pod) = Pod::rsync(|_| vec![]) else { return };
    let mut stream = connected(&pod);
    for (order, wanted) in [
        (Frame::UserStop, Some(Frame::UserStopFinished)),
        (Frame::UserStart, None),
        (Frame::PortForward { port: 1 }, Some(Frame::PortRefused { port: 1 })),
    ] {
        pod.stream.write_all(&order.encode()).unwrap();
        while wanted.is_some() && pod.next() != wanted {}
    }
    // Its rsync still answers, and there is one daemon.
    stream.write_all(b"@RSYNCD: 31.0\n\n").unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    assert!(told.contains("osmo"), "{told}");
    assert!(client(&[&pod.url("")]).status.success());
    let frames = pod.end();
    let off = Frame::UserRsyncStatus { running: false, port: 0 };
    assert_eq!(frames.iter().filter(|frame| **frame == off).count(), 1);
}

#[test]
fn a_command_that_cannot_start_ends_rsync() {
    if !has_rsync() {
        return;
    }
    let mut pod = Pod::commanded(&["/no/such"], |_| vec!["-enableRsync".to_owned()]);
    let frames: Vec<_> = std::iter::from_fn(|| pod.next()).collect();
    let states = frames.iter().filter_map(|frame| match frame {
        Frame::UserRsyncStatus { running, .. } => Some(*running),
        _ => None,
    });
    assert_eq!(states.collect::<Vec<_>>(), [true, false], "{frames:?}");
    assert_eq!(pod.child.wait().unwrap().code(), Some(127));
    assert!(TcpStream::connect(("127.0.0.1", pod.port)).is_err());
}

#[test]
fn a_configuration_in_an_open_folder_is_not_used() {
    let Some(pod) = Pod::rsync(|root| {
        let run = root.path().join("run");
        fs::create_dir(&run).unwrap();
        fs::set_permissions(&run, fs::Permissions::from_mode(0o777)).unwrap();
        vec![]
    }) else {
        return;
    };
    // Whatever another user leaves there.
    let evil = "[evil]\npath = /\n";
    fs::write(pod.path("run/rsyncd.conf"), evil).unwrap();
    let list = client(&[&pod.url("")]);
    assert_eq!(String::from_utf8_lossy(&list.stdout), "osmo           \tosmo\n");
    let mut names: Vec<_> =
        fs::read_dir(pod.path("run")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["rsyncd.conf", "workspace"]);
    pod.end();
}
