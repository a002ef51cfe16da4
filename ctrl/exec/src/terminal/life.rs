//! One terminal, from the second connection to the last byte on it.

use std::path::Path;
use std::time::Duration;

use osmo_protocol::socket::Frame;
use osmo_protocol::terminal::{Exit, PROMISE, Size};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::hang_up::hang_up;
use super::keys::Keys;
use super::pty::{Pty, Refusal};
use super::screen::{Dark, Screen};
use super::{Shared, TERMINALS_MAX, Wanted};
use crate::dial::Backoff;
use crate::reaper::Ended;

/// How long the sidecar may take to answer the second connection.
const DIAL_LIMIT: Duration = Duration::from_secs(5);
/// How long the user may take to come: the router gives up before.
const FIRST_SIZE_LIMIT: Duration = Duration::from_secs(120);
/// How long a program may live on once nobody has its terminal open.
const CLOSED_LIMIT: Duration = Duration::from_secs(1);
/// The code of a program whose end is not known.
const UNKNOWN: u8 = 255;

/// Lives until the terminal is closed and its session told.
pub(super) async fn live(wanted: Wanted, shared: &Shared) {
    let session = wanted.session;
    let stream = tokio::select! {
        stream = connect(session, shared) => stream,
        () = shared.closed() => Err(std::io::Error::other("the task's command has ended")),
    };
    let code = match stream {
        Ok(stream) => serve(stream, &wanted, shared).await,
        Err(error) => {
            let line = format!("cannot open a terminal: {error} at {}", shared.socket.display());
            let _ = shared.frames.send(Frame::MessageOps(line)).await;
            UNKNOWN
        }
    };
    if let Some(session) = session {
        let ended = Frame::TerminalEnded { session, code: code.into() };
        tokio::select! {
            _ = shared.frames.send(ended) => {}
            () = shared.closed() => {}
        }
    }
}

/// The second connection. A sidecar that gave no number takes raw bytes alone.
async fn connect(session: Option<u64>, shared: &Shared) -> std::io::Result<UnixStream> {
    let mut stream = dial(&shared.socket, DIAL_LIMIT).await?;
    if session.is_some() {
        let hello = Frame::Hello { token: shared.token.clone(), session };
        // Without its newline: what follows is the terminal's.
        stream.write_all(hello.encode().trim_ascii_end()).await?;
    }
    Ok(stream)
}

/// Tries again until `limit` has passed: many terminals at once fill the
/// socket's backlog.
async fn dial(socket: &Path, limit: Duration) -> std::io::Result<UnixStream> {
    let (begin, mut backoff) = (Instant::now(), Backoff::default());
    loop {
        match UnixStream::connect(socket).await {
            Err(_) if begin.elapsed() < limit => sleep(backoff.wait()).await,
            result => return result,
        }
    }
}

/// Returns the program's code.
async fn serve(stream: UnixStream, wanted: &Wanted, shared: &Shared) -> u8 {
    let (reader, writer) = stream.into_split();
    let (mut keys, screen) = (Keys::new(reader), Screen::new(writer));
    let size = tokio::select! {
        size = timeout(FIRST_SIZE_LIMIT, keys.first()) => size,
        () = shared.closed() => Ok(Err("the task's command has ended".to_owned())),
    };
    let size = match size {
        Ok(Ok(size)) => size,
        Ok(Err(sentence)) => return refuse(Refusal::new(sentence), screen, false).await,
        Err(_) => {
            let sentence = "the user sent no window size".to_owned();
            return refuse(Refusal::new(sentence), screen, false).await;
        }
    };
    match start(wanted, size, shared) {
        Ok(pty) => run(pty, keys, screen, size.exit_code, shared).await,
        Err(refusal) => refuse(refusal, screen, size.exit_code).await,
    }
}

fn start(wanted: &Wanted, size: Size, shared: &Shared) -> Result<Pty, Refusal> {
    if wanted.is_refused {
        let sentence = format!("{TERMINALS_MAX} terminals are open: close one");
        return Err(Refusal::new(sentence));
    }
    let Some(argv) = shlex::split(&wanted.command) else {
        let sentence = format!("a quote or a backslash is open in `{}`", wanted.command);
        return Err(Refusal::new(sentence));
    };
    if argv.first().is_none_or(String::is_empty) {
        return Err(Refusal::new("no command was given, for example bash".to_owned()));
    }
    Pty::start(&argv, size, shared)
}

async fn refuse(refusal: Refusal, screen: Screen, tells_code: bool) -> u8 {
    let mut last = format!("osmo-exec: {}\r\n", refusal.sentence).into_bytes();
    last.extend(mark(tells_code, refusal.code));
    screen.close(&last).await;
    refusal.code
}

fn mark(tells_code: bool, code: u8) -> Vec<u8> {
    if tells_code { Exit { code: code.into() }.encode() } else { Vec::new() }
}

/// What ended a terminal first.
enum First {
    Program(Ended),
    User,
    Closed,
    Agent,
}

async fn run(pty: Pty, keys: Keys, screen: Screen, tells_code: bool, shared: &Shared) -> u8 {
    let Pty { master, process, mut end } = pty;
    let (mut keys, mut screen) = (keys, screen);
    if tells_code {
        screen.begin(PROMISE);
    }
    let first = tokio::select! {
        biased;
        () = shared.closed() => First::Agent,
        ended = end.wait() => First::Program(ended),
        dark = screen.show(&master.screen) => match dark {
            Dark::Left => First::User,
            Dark::Closed => First::Closed,
        },
        _ = keys.type_into(&master.keyboard) => First::User,
    };
    let first = match first {
        First::Closed => match timeout(CLOSED_LIMIT, end.wait()).await {
            Ok(ended) => First::Program(ended),
            Err(_) => First::Closed,
        },
        first => first,
    };
    let (ended, last) = match first {
        First::Program(ended) => {
            tokio::select! {
                () = screen.show_rest(&master.screen) => {}
                () = shared.closed() => {}
            }
            (Some(ended), "")
        }
        First::User | First::Closed => (hang_up(master, &process, &mut end).await, ""),
        First::Agent => {
            let ended = hang_up(master, &process, &mut end).await;
            (ended, "\r\nosmo-exec: the task's command has ended\r\n")
        }
    };
    let code = ended.map_or(UNKNOWN, |ended| ended.code);
    let last = [last.as_bytes(), &mark(tells_code, code)].concat();
    tokio::select! {
        () = screen.close(&last) => {}
        () = after_close(shared) => {}
    }
    code
}

/// Once the agent ends, a user who reads nothing is given a second.
async fn after_close(shared: &Shared) {
    shared.closed().await;
    sleep(CLOSED_LIMIT).await;
}
