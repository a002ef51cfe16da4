//! OpenSSL on the other side: behind Python, where records are to be chosen,
//! and `openssl s_server`, where its operator speaks.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::pki::{Issued, json};

/// A server process; ends with its handle.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// `more` are further JSON members, each with a comma in front.
    pub(crate) fn start(issued: &Issued, version: &str, more: &str) -> Self {
        let setting = format!(
            "{{\"certificate\": {}, \"key\": {}, \"version\": \"{version}\"{more}}}",
            json(&issued.certificate),
            json(&issued.key),
        );
        let mut child = Command::new("python3")
            .args(["-c", include_str!("server.py"), &setting])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `openssl s_server`, which sends what it is told to.
pub(crate) struct Operator {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    pub(crate) port: u16,
}

impl Operator {
    pub(crate) fn start(issued: &Issued) -> Self {
        // What it says is waited for, so it must not lie in a buffer.
        let mut child = Command::new("stdbuf")
            .args(["-o0", "openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-cert"])
            .arg(&issued.certificate)
            .arg("-key")
            .arg(&issued.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let port = loop {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "s_server ended");
            if let Some(address) = line.trim().strip_prefix("ACCEPT ") {
                break address.rsplit(':').next().unwrap().parse().unwrap();
            }
        };
        Self { child, stdin, stdout, port }
    }

    /// Reads on until `words` were said.
    pub(crate) fn until(&mut self, words: &str) {
        let mut said = Vec::new();
        while !said.ends_with(words.as_bytes()) {
            let mut byte = [0];
            let read = self.stdout.read(&mut byte).unwrap();
            assert!(read > 0, "no {words:?} in {}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
    }

    /// Types.
    pub(crate) fn say(&mut self, words: &str) {
        self.stdin.write_all(words.as_bytes()).unwrap();
        self.stdin.flush().unwrap();
    }

    /// Updates its keys and asks the client to do the same.
    pub(crate) fn update_keys(&mut self) {
        self.say("K\n");
        self.until("SSL_do_handshake -> 1");
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
