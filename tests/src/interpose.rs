//! A proxy before a store that spoils the requests a test names.
//!
//! ```text
//!  client ── request ──► Interposer ── request ──► store
//!         ◄─ answer ───      │      ◄─ answer ──
//!                      fault(&Request) per request
//! ```
//!
//! One request a connection: it asks the store to close after its answer, so
//! that nothing but the head has to be understood. It understands no chunked
//! requests; the programs under test send none.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use osmo_controller::run::access::StoreAccess;

/// Nobody waits longer; a test that does has failed.
const WATCHDOG: Duration = Duration::from_secs(60);
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A request's head.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The value of `Range`, where there is one.
    pub range: Option<String>,
    /// The session token that it is signed with, where there is one.
    pub token: Option<String>,
    /// The value of `Proxy-Authorization`, where there is one.
    pub proxy_authorization: Option<String>,
    /// Requests before this one with the same method, target and range.
    pub before: usize,
}

impl Request {
    /// Whether it is this method on a target that contains `text`.
    pub fn is(&self, method: &str, text: &str) -> bool {
        self.method == method && self.target.contains(text)
    }
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing.
    None,
    /// Refused at once with this status and S3 code; the body is not read
    /// before.
    Answer(u16, &'static str),
    /// The store hears of it when the test says so.
    Late(Hold),
    /// The answer names another entity tag.
    Etag(&'static str),
    /// After so many bytes of the answer's body.
    Down(u64, Harm),
    /// After so many bytes of the request's body.
    Up(u64, Harm),
}

/// What happens to a body.
#[derive(Clone, Debug)]
pub enum Harm {
    /// The connection is reset.
    Reset,
    /// The connection ends as if all were well.
    Cut,
    /// One bit of the next byte is another one.
    Flip,
    /// Nothing moves until the test says so.
    Hold(Hold),
}

/// Where a test meets a request.
#[derive(Clone, Debug, Default)]
pub struct Hold(Arc<(Mutex<Held>, Condvar)>);

#[derive(Debug, Default, PartialEq, Eq)]
enum Held {
    #[default]
    Nothing,
    Request,
    Released,
    /// The watchdog let it go.
    Forgotten,
}

impl Hold {
    /// Waits until a request is held.
    ///
    /// # Panics
    /// After a minute.
    pub fn reached(&self) {
        let held = self.wait(|held| *held == Held::Nothing);
        assert_eq!(*held, Held::Request, "no request was held");
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// It was held for a minute: the client waited for it.
    pub fn release(&self) {
        let mut held = lock(&self.0.0);
        assert_ne!(*held, Held::Forgotten, "the client waited for a request that was held");
        *held = Held::Released;
        self.0.1.notify_all();
    }

    fn meet(&self) {
        *lock(&self.0.0) = Held::Request;
        self.0.1.notify_all();
        let mut held = self.wait(|held| *held == Held::Request);
        if *held == Held::Request {
            *held = Held::Forgotten;
        }
    }

    fn wait(&self, during: impl Fn(&Held) -> bool) -> MutexGuard<'_, Held> {
        let held = lock(&self.0.0);
        let waited = self.0.1.wait_timeout_while(held, WATCHDOG, |held| during(held));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Script = dyn Fn(&Request) -> Fault + Send + Sync;

struct Shared {
    store: SocketAddr,
    script: Box<Script>,
    seen: Mutex<Vec<Request>>,
    stopped: AtomicBool,
}

/// The proxy; it takes no more connections once it is dropped.
pub struct Interposer {
    access: StoreAccess,
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Interposer {
    /// A proxy before `store` that asks `script` about every request.
    ///
    /// # Errors
    /// No port, or the store's URL names none.
    pub fn start(
        store: &StoreAccess,
        script: impl Fn(&Request) -> Fault + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let upstream = store.endpoint.trim_start_matches("http://").trim_end_matches('/');
        let shared = Arc::new(Shared {
            store: upstream.parse().context("the store's address")?,
            script: Box::new(script),
            seen: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || serve(&listener, &serving));
        let access = StoreAccess { endpoint: format!("http://{address}"), ..store.clone() };
        Ok(Self { access, address, shared, thread: Some(thread) })
    }

    /// Where it listens, and the store's key.
    pub fn access(&self) -> &StoreAccess {
        &self.access
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Request> {
        lock(&self.shared.seen).clone()
    }
}

impl Drop for Interposer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.stopped.load(Ordering::Acquire) {
            return;
        }
        let shared = Arc::clone(shared);
        // A client that leaves early is part of the game.
        std::thread::spawn(move || drop(exchange(&shared, client)));
    }
}

fn exchange(shared: &Shared, mut client: TcpStream) -> io::Result<()> {
    patient(&client)?;
    let (head, ahead) = read_head(&mut client)?;
    let request = shared.note(&head);
    let fault = (shared.script)(&request);
    if let Fault::Answer(status, code) = fault {
        return refuse(client, status, code);
    }
    if let Fault::Late(hold) = &fault {
        hold.meet();
    }
    let mut store = TcpStream::connect(shared.store)?;
    patient(&store)?;
    // `Connection` is not among the signed fields.
    store.write_all(with_field(&head, "connection", "close").as_bytes())?;
    let length = field(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let harm = if let Fault::Up(at, harm) = &fault { Some((*at, harm)) } else { None };
    if !relay(&mut client, &mut store, &ahead, length, harm)? {
        return Ok(());
    }
    let (mut head, ahead) = read_head(&mut store)?;
    if let Fault::Etag(etag) = fault {
        head = with_field(&head, "etag", etag);
    }
    client.write_all(head.as_bytes())?;
    let harm = if let Fault::Down(at, harm) = &fault { Some((*at, harm)) } else { None };
    relay(&mut store, &mut client, &ahead, u64::MAX, harm).map(drop)
}

impl Shared {
    fn note(&self, head: &str) -> Request {
        let mut line = head.split(' ');
        let mut word = || line.next().unwrap_or_default().to_owned();
        let (method, target) = (word(), word());
        let range = field(head, "range").map(str::to_owned);
        let token = field(head, "x-amz-security-token").map(str::to_owned);
        let proxy_authorization = field(head, "proxy-authorization").map(str::to_owned);
        let mut seen = lock(&self.seen);
        let same = |other: &&Request| {
            other.method == method && other.target == target && other.range == range
        };
        let before = seen.iter().filter(same).count();
        let request = Request { method, target, range, token, proxy_authorization, before };
        seen.push(request.clone());
        request
    }
}

fn patient(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(WATCHDOG))?;
    stream.set_write_timeout(Some(WATCHDOG))
}

/// A head with its empty line, and the body bytes that came along.
fn read_head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut block = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let ahead = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), ahead));
        }
        match stream.read(&mut block)? {
            count if count > 0 && bytes.len() < HEAD_BYTES_MAX => {
                bytes.extend_from_slice(&block[..count]);
            }
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn with_field(head: &str, name: &str, value: &str) -> String {
    let named = format!("{name}:");
    let mut lines: Vec<_> = head
        .trim_end()
        .split("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with(&named))
        .map(str::to_owned)
        .collect();
    lines.push(format!("{name}: {value}"));
    lines.join("\r\n") + "\r\n\r\n"
}

fn refuse(mut client: TcpStream, status: u16, code: &str) -> io::Result<()> {
    let body = format!("<Error><Code>{code}</Code><Message>as scripted</Message></Error>");
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {length}\r\nconnection: close\r\n");
    client.write_all(format!("{head}\r\n{body}").as_bytes())?;
    client.shutdown(Shutdown::Write)?;
    // To close over unread bytes would reset the connection, and the answer
    // with it.
    io::copy(&mut client, &mut io::sink()).map(drop)
}

/// Copies `length` bytes, or up to the end; false when the harm ended it.
fn relay(
    from: &mut TcpStream,
    to: &mut TcpStream,
    ahead: &[u8],
    length: u64,
    mut harm: Option<(u64, &Harm)>,
) -> io::Result<bool> {
    let mut source = ahead.chain(from.try_clone()?);
    let mut block = vec![0; 64 << 10];
    let mut done = 0;
    while done < length {
        if let Some((_, harm)) = harm.take_if(|(at, _)| *at == done) {
            match harm {
                Harm::Reset => {
                    reset(from)?;
                    reset(to)?;
                    return Ok(false);
                }
                Harm::Cut => return Ok(false),
                Harm::Hold(hold) => hold.meet(),
                Harm::Flip => {
                    let mut byte = [0];
                    source.read_exact(&mut byte)?;
                    to.write_all(&[byte[0] ^ 1])?;
                    done += 1;
                    continue;
                }
            }
        }
        let stop = harm.map_or(length, |(at, _)| at.min(length));
        let room = usize::try_from(stop - done).unwrap_or(usize::MAX).min(block.len());
        let count = source.read(&mut block[..room])?;
        if count == 0 {
            return Ok(length == u64::MAX);
        }
        to.write_all(&block[..count])?;
        done += count as u64;
    }
    Ok(true)
}

/// Makes the close that follows a reset.
fn reset(stream: &TcpStream) -> io::Result<()> {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
    Ok(())
}
