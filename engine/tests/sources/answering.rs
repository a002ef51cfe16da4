//! A server that answers every request by one rule.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Nobody waits longer; a test that does has failed.
const WATCHDOG: Duration = Duration::from_secs(60);

/// A request: its head, and its body.
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Asked {
    /// Whether the request line is this.
    pub(crate) fn is(&self, line: &str) -> bool {
        self.head.starts_with(&format!("{line} HTTP/1.1\r\n"))
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        field(&self.head, name)
    }
}

pub(crate) fn field(head: &str, name: &str) -> Option<String> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
    Some(found.1.trim().to_owned())
}

/// The server; it ends when it is dropped.
pub(crate) struct Answering {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Answering {
    pub(crate) fn start(rule: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, ended) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (heads, ended, rule) = (Arc::clone(&heads), Arc::clone(&ended), Arc::new(rule));
            move || {
                for stream in listener.incoming().flatten() {
                    if ended.load(Ordering::Acquire) {
                        return;
                    }
                    let (heads, rule) = (Arc::clone(&heads), Arc::clone(&rule));
                    std::thread::spawn(move || serve(stream, &heads, &*rule));
                }
            }
        });
        Self { address, heads, ended, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request a connection.
fn serve(mut stream: TcpStream, heads: &Mutex<Vec<String>>, rule: &dyn Fn(&Asked) -> Vec<u8>) {
    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    let mut bytes = Vec::new();
    let mut block = [0; 4096];
    let mut more = |bytes: &mut Vec<u8>| match stream.read(&mut block) {
        Ok(count) => {
            bytes.extend_from_slice(&block[..count]);
            count > 0
        }
        Err(_) => false,
    };
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if !more(&mut bytes) {
            return;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = field(&head, "content-length").map_or(0, |text| text.parse().unwrap());
    while bytes.len() < end + length && more(&mut bytes) {}
    let body = String::from_utf8(bytes.split_off(end)).unwrap();
    let asked = Asked { head, body };
    heads.lock().unwrap().push(asked.head.clone());
    let _ = stream.write_all(&rule(&asked));
}

/// An answer, after which the connection ends.
pub(crate) fn status(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into()
}

pub(crate) fn ok(body: &str) -> Vec<u8> {
    status("200 OK", body)
}

/// What a client that asks another way than AWS documents gets.
pub(crate) fn wrong(asked: &Asked) -> Vec<u8> {
    status("400 Bad Request", &format!("not as documented: {}", asked.head))
}
