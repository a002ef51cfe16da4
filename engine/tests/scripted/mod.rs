//! A store that follows a script: real sockets, one closure a connection.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses some of it"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A connection's script.
pub type Script = Box<dyn FnOnce(&mut Peer) + Send>;

/// Boxes a script.
pub fn script(steps: impl FnOnce(&mut Peer) + Send + 'static) -> Script {
    Box::new(steps)
}

/// Nobody waits longer than this; a test that does has failed.
const WATCHDOG: Duration = Duration::from_secs(60);

/// The server; the scripts serve the connections in the order they come.
pub struct Server {
    address: SocketAddr,
    /// The address that the connection which ends the server comes from.
    last: Arc<Mutex<Option<SocketAddr>>>,
    thread: Option<JoinHandle<usize>>,
    scripts: usize,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn start(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let last = Arc::new(Mutex::new(None));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let count = scripts.len();
        let thread = std::thread::spawn({
            let (last, heads) = (Arc::clone(&last), Arc::clone(&heads));
            move || accept(&listener, scripts, &last, &heads)
        });
        Self { address, last, thread: Some(thread), scripts: count, heads }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Ends the server; every script must have been played to its end.
    pub fn finish(mut self) {
        let played = self.join();
        assert_eq!(played, self.scripts, "connections that the client made");
    }

    fn join(&mut self) -> usize {
        let Some(thread) = self.thread.take() else { return 0 };
        let mut last = self.last.lock().unwrap();
        // Refused where the last script has been taken.
        if let Ok(stream) = TcpStream::connect(self.address) {
            *last = stream.local_addr().ok();
        }
        drop(last);
        thread.join().expect("a script failed")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.join();
        }
    }
}

fn accept(
    listener: &TcpListener,
    scripts: Vec<Script>,
    last: &Mutex<Option<SocketAddr>>,
    heads: &Arc<Mutex<Vec<String>>>,
) -> usize {
    let mut running = Vec::new();
    for script in scripts {
        let (stream, from) = listener.accept().unwrap();
        if *last.lock().unwrap() == Some(from) {
            break;
        }
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        stream.set_write_timeout(Some(WATCHDOG)).unwrap();
        let mut peer = Peer { stream, heads: Arc::clone(heads), ahead: Vec::new() };
        running.push(std::thread::spawn(move || script(&mut peer)));
    }
    let played = running.len();
    for script in running {
        script.join().expect("a script failed");
    }
    played
}

/// The server's end of a connection.
pub struct Peer {
    stream: TcpStream,
    heads: Arc<Mutex<Vec<String>>>,
    ahead: Vec<u8>,
}

impl Peer {
    /// Reads a request's head.
    pub fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = self.ahead.drain(..end + 4).collect();
                let head = String::from_utf8(head).unwrap();
                self.heads.lock().unwrap().push(head.clone());
                return head;
            }
            assert!(self.more() > 0, "the client left inside a head");
        }
    }

    /// Reads a body of `bytes`.
    pub fn body(&mut self, bytes: usize) -> Vec<u8> {
        while self.ahead.len() < bytes {
            assert!(self.more() > 0, "the client left inside a body");
        }
        self.ahead.drain(..bytes).collect()
    }

    /// Sends.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends what the client takes; it may have left.
    pub fn send_some(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Ends the sending side.
    pub fn end(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Waits until the client has closed.
    pub fn closed(&mut self) {
        while self.more() > 0 {}
    }

    /// Closes with a reset.
    pub fn reset(&mut self) {
        let now = Some(Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&self.stream, now).unwrap();
    }

    fn more(&mut self) -> usize {
        let mut bytes = [0; 65_536];
        let read = match self.stream.read(&mut bytes) {
            Ok(read) => read,
            Err(fault) if fault.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(fault) => panic!("a script waits in vain: {fault}"),
        };
        self.ahead.extend_from_slice(&bytes[..read]);
        read
    }
}

/// An answer with a length.
pub fn answer(status: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes =
        format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// An S3 error document.
pub fn refusal(status: &str, code: &str, message: &str) -> Vec<u8> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>{message}</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>"
    );
    answer(status, "Content-Type: application/xml\r\n", body)
}
