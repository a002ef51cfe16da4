//! A user's end of a terminal.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use osmo_protocol::socket::{Decoder, Frame};
use osmo_protocol::terminal::{Exit, Size};

use super::{Sidecar, TOKEN, WATCHDOG};

/// The sidecar's end of a second connection.
pub struct Term {
    pub stream: UnixStream,
    pub seen: Vec<u8>,
}

/// The stream's first value.
pub fn size(rows: u16, cols: u16) -> Size {
    Size { rows, cols, exit_code: false }
}

impl Sidecar {
    /// Asks for a terminal and gives it a size.
    pub fn terminal(&mut self, command: &str, session: u64, size: Size) -> Term {
        let command = command.to_owned();
        self.send(&Frame::UserExecStart { command, session: Some(session) });
        let mut term = Term { stream: self.second(), seen: Vec::new() };
        let mut decoder = Decoder::default();
        let hello = loop {
            if let Some(frame) = decoder.frame().unwrap() {
                break frame;
            }
            let mut byte = [0];
            term.stream.read_exact(&mut byte).unwrap();
            decoder.push(&byte);
        };
        assert_eq!(hello, Frame::Hello { token: TOKEN.into(), session: Some(session) });
        term.send(&size.encode());
        term
    }

    /// The next connection.
    pub fn second(&self) -> UnixStream {
        self.listener.set_nonblocking(true).unwrap();
        let begin = Instant::now();
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
                    stream.set_write_timeout(Some(WATCHDOG)).unwrap();
                    self.listener.set_nonblocking(false).unwrap();
                    return stream;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            assert!(begin.elapsed() < WATCHDOG, "no second connection");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Term {
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads until `text` is on the screen; returns what is there.
    pub fn until(&mut self, text: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let shown = String::from_utf8_lossy(&self.seen).into_owned();
            if shown.contains(text) {
                return shown;
            }
            match self.stream.read(&mut buffer) {
                Ok(count @ 1..) => self.seen.extend_from_slice(&buffer[..count]),
                other => panic!("{other:?} before {text:?}: {shown:?}"),
            }
        }
    }

    /// Everything to the end.
    pub fn rest(mut self) -> Vec<u8> {
        self.stream.read_to_end(&mut self.seen).unwrap();
        self.seen
    }

    /// Everything to the end, as text, and the code in its marker; without the
    /// promise of one, which a program that did not start has not.
    pub fn end(self) -> (String, i32) {
        let rest = self.rest();
        let shown = String::from_utf8_lossy(&rest).into_owned();
        let (text, marker) = shown.rsplit_once("\0EXIT:").unwrap_or_else(|| panic!("{shown:?}"));
        let code = marker.strip_prefix("{\"Code\":").and_then(|rest| rest.strip_suffix('}'));
        let code = code.unwrap().parse().unwrap();
        assert!(rest.ends_with(&Exit { code }.encode()));
        (text.strip_prefix("\0EXIT:{}").unwrap_or(text).to_owned(), code)
    }
}
