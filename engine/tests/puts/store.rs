//! A small S3 store of one's choosing: what it takes, what it only seems to
//! take, and what it refuses. It keeps objects in memory.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::body::{crc64nvme, decode, hex, md5};

/// Nobody waits longer than this; a test that does has failed.
const WATCHDOG: Duration = Duration::from_secs(60);

/// How a store takes one way of checking.
#[derive(Clone, Copy)]
pub(crate) enum Takes {
    /// Checks, and names the checksum in its answer.
    Checks,
    /// Checks, and says nothing.
    Silently,
    /// Knows nothing of it.
    Ignores,
    /// Status, code and message.
    Refuses(&'static str, &'static str, &'static str),
}

/// How a store ends a multipart upload.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Ends {
    /// With the checksum of the whole.
    Named,
    /// Without.
    Silent,
    /// With one of something else.
    Wrong,
    /// Without, and loses the last byte.
    Short,
    /// With status 200 and an error, the first time.
    ErrorFirst,
    /// And the first answer does not arrive.
    Lost,
    /// Not, where a checksum of the whole is given.
    OnlyBare,
}

#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) trailer: Takes,
    pub(crate) header: Takes,
    pub(crate) md5: Takes,
    /// Beginning a multipart upload with a checksum.
    pub(crate) create: Takes,
    pub(crate) ends: Ends,
    /// Any PUT is refused.
    pub(crate) denies: Option<(&'static str, &'static str)>,
    pub(crate) heads: bool,
    /// `If-None-Match: *` on a PUT.
    pub(crate) conditions: Takes,
    /// Called when half of a body of more than a MiB is there.
    pub(crate) half: Arc<dyn Fn() + Send + Sync>,
}

impl Rules {
    pub(crate) fn all() -> Self {
        let checks = Takes::Checks;
        Self {
            trailer: checks,
            header: checks,
            md5: Takes::Silently,
            create: checks,
            ends: Ends::Named,
            denies: None,
            heads: true,
            conditions: checks,
            half: Arc::new(|| {}),
        }
    }
}

/// A request's head.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    fields: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn parse(text: &str) -> Self {
        let (line, rest) = text.split_once("\r\n").unwrap();
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap().to_owned();
        let fields = rest.lines().filter_map(|line| line.split_once(": "));
        let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        Self { method: word(), target: word(), fields: fields.collect() }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn key(&self) -> String {
        self.target.split('?').next().unwrap().to_owned()
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Stored {
    bytes: Vec<u8>,
    etag: String,
}

#[derive(Default)]
struct State {
    objects: HashMap<String, Stored>,
    uploads: HashMap<String, BTreeMap<u32, Stored>>,
    begun: usize,
    completions: usize,
    seen: Vec<Head>,
}

struct Shared {
    rules: Rules,
    state: Mutex<State>,
    stopped: AtomicBool,
}

pub(crate) struct Store {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    pub(crate) fn start(rules: Rules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { rules, state: Mutex::default(), stopped: false.into() });
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.stopped.load(Ordering::Acquire) {
                    return;
                }
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || while shared.exchange(&stream).is_some() {});
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn content(&self, key: &str) -> Option<Vec<u8>> {
        let state = self.shared.state.lock().unwrap();
        state.objects.get(&format!("/bkt/{key}")).map(|stored| stored.bytes.clone())
    }

    /// The requests so far with this method and a target that holds `text`.
    pub(crate) fn seen(&self, method: &str, text: &str) -> Vec<Head> {
        let state = self.shared.state.lock().unwrap();
        let is = |head: &&Head| head.method == method && head.target.contains(text);
        state.seen.iter().filter(is).cloned().collect()
    }

    /// Multipart uploads that were begun and not ended.
    pub(crate) fn unfinished(&self) -> usize {
        self.shared.state.lock().unwrap().uploads.len()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

type Answer = (String, Vec<(&'static str, String)>, String);

fn refusal(status: &str, code: &str, message: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    (status.to_owned(), Vec::new(), body)
}

fn ok(fields: Vec<(&'static str, String)>) -> Answer {
    ("200 OK".to_owned(), fields, String::new())
}

impl Shared {
    fn exchange(&self, mut stream: &TcpStream) -> Option<()> {
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = Head::parse(std::str::from_utf8(&head).unwrap());
        self.state.lock().unwrap().seen.push(head.clone());
        assert_eq!(head.field("transfer-encoding"), None);
        let length = head.field("content-length").map_or(0, |length| length.parse().unwrap());
        let early = self.refuses(&head).filter(|_| length > 1 << 20);
        if let Some(answer) = early {
            // At once, and the rest of the body is not looked at.
            self.send(stream, &head, &answer)?;
            stream.shutdown(Shutdown::Write).ok()?;
            return std::io::copy(&mut stream, &mut std::io::sink()).ok().and(None);
        }
        let mut body = vec![0; length];
        let (first, second) = body.split_at_mut(if length > 1 << 20 { length / 2 } else { 0 });
        stream.read_exact(first).ok()?;
        if !first.is_empty() {
            (self.rules.half)();
        }
        stream.read_exact(second).ok()?;
        let answer = match self.refuses(&head) {
            Some(answer) => answer,
            None => self.answer(&head, &body)?,
        };
        self.send(stream, &head, &answer)
    }

    fn send(&self, mut stream: &TcpStream, head: &Head, answer: &Answer) -> Option<()> {
        let (status, fields, body) = answer;
        let mut text = format!("HTTP/1.1 {status}\r\n");
        for (name, value) in fields {
            text += &format!("{name}: {value}\r\n");
        }
        if !fields.iter().any(|(name, _)| *name == "content-length") {
            text += &format!("content-length: {}\r\n", body.len());
        }
        text += "\r\n";
        if head.method != "HEAD" {
            text += body;
        }
        stream.write_all(text.as_bytes()).ok()
    }

    /// What the head alone is refused for.
    fn refuses(&self, head: &Head) -> Option<Answer> {
        let rules = &self.rules;
        let takes = match head.method.as_str() {
            "PUT" if let Some((status, code)) = rules.denies => {
                return Some(refusal(status, code, "as the rules say"));
            }
            "PUT"
                if head.field("if-none-match").is_some()
                    && matches!(rules.conditions, Takes::Refuses(..)) =>
            {
                rules.conditions
            }
            "PUT" if head.field("x-amz-trailer").is_some() => rules.trailer,
            "PUT" if head.field("x-amz-checksum-crc64nvme").is_some() => rules.header,
            "PUT" if head.field("content-md5").is_some() => rules.md5,
            "POST" if head.field("x-amz-checksum-algorithm").is_some() => rules.create,
            "POST"
                if rules.ends == Ends::OnlyBare
                    && head.field("x-amz-checksum-crc64nvme").is_some() =>
            {
                Takes::Refuses("400 Bad Request", "InvalidRequest", "a checksum is not expected")
            }
            _ => return None,
        };
        match takes {
            Takes::Refuses(status, code, message) => Some(refusal(status, code, message)),
            _ => None,
        }
    }

    fn answer(&self, head: &Head, body: &[u8]) -> Option<Answer> {
        match (head.method.as_str(), head.query("uploadId")) {
            ("PUT", upload) => Some(self.put(head, body, upload)),
            ("POST", None) => {
                let mut state = self.state.lock().unwrap();
                state.begun += 1;
                let id = format!("upload-{}", state.begun);
                state.uploads.insert(id.clone(), BTreeMap::new());
                let document = format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId>\
                     </InitiateMultipartUploadResult>"
                );
                Some(("200 OK".to_owned(), Vec::new(), document))
            }
            ("POST", Some(upload)) => self.complete(head, body, upload),
            ("DELETE", Some(upload)) => {
                let gone = self.state.lock().unwrap().uploads.remove(upload).is_none();
                let none = refusal("404 Not Found", "NoSuchUpload", "it is not here");
                Some(if gone { none } else { ("204 No Content".into(), Vec::new(), String::new()) })
            }
            ("HEAD", _) => Some(self.head(head)),
            (method, _) => panic!("{method}"),
        }
    }

    fn put(&self, head: &Head, body: &[u8], upload: Option<&str>) -> Answer {
        let taken = self.state.lock().unwrap().objects.contains_key(&head.key());
        if head.field("if-none-match").is_some() && taken {
            return refusal("412 Precondition Failed", "PreconditionFailed", "it is there");
        }
        let crc = |content: &[u8]| ("x-amz-checksum-crc64nvme", crc64nvme(content));
        let mismatch = || refusal("400 Bad Request", "BadDigest", "it did not match");
        let mut fields = Vec::new();
        let mut content = body.to_vec();
        if head.field("x-amz-trailer").is_some() {
            if !matches!(self.rules.trailer, Takes::Ignores) {
                let (decoded, value) = decode(head, body).unwrap();
                if value != crc64nvme(&decoded) {
                    return mismatch();
                }
                content = decoded;
            }
            fields.extend(matches!(self.rules.trailer, Takes::Checks).then(|| crc(&content)));
        } else if let Some(value) = head.field("x-amz-checksum-crc64nvme") {
            if !matches!(self.rules.header, Takes::Ignores) && value != crc64nvme(body) {
                return mismatch();
            }
            fields.extend(matches!(self.rules.header, Takes::Checks).then(|| crc(body)));
        } else if let Some(value) = head.field("content-md5")
            && value != STANDARD.encode(md5(body))
        {
            return mismatch();
        }
        let etag = hex(&md5(&content));
        fields.push(("etag", format!("\"{etag}\"")));
        let stored = Stored { bytes: content, etag };
        let mut state = self.state.lock().unwrap();
        match upload {
            None => {
                state.objects.insert(head.key(), stored);
            }
            Some(upload) => {
                let number = head.query("partNumber").unwrap().parse().unwrap();
                let Some(parts) = state.uploads.get_mut(upload) else {
                    return refusal("404 Not Found", "NoSuchUpload", "it is not here");
                };
                parts.insert(number, stored);
            }
        }
        ok(fields)
    }

    fn complete(&self, head: &Head, body: &[u8], upload: &str) -> Option<Answer> {
        let rules = &self.rules;
        let mut state = self.state.lock().unwrap();
        state.completions += 1;
        if rules.ends == Ends::ErrorFirst && state.completions == 1 {
            // As S3 does: the status is sent, then spaces, then the error.
            let document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\n<Error><Code>InternalError\
                            </Code><Message>We encountered an internal error.</Message></Error>";
            return Some(("200 OK".to_owned(), Vec::new(), document.to_owned()));
        }
        let Some(parts) = state.uploads.remove(upload) else {
            return Some(refusal("404 Not Found", "NoSuchUpload", "it is not here"));
        };
        // Each part, in order, under the tag it was given, quotes included.
        let document = std::str::from_utf8(body).unwrap();
        let listed: Vec<_> = document.split("<Part>").skip(1).collect();
        assert_eq!(listed.len(), parts.len(), "{document}");
        for (listed, (number, part)) in listed.iter().zip(&parts) {
            assert!(listed.contains(&format!("<PartNumber>{number}</PartNumber>")), "{listed}");
            assert!(listed.contains(&part.etag), "{listed}");
        }
        let mut bytes = parts.values().map(|part| &*part.bytes).collect::<Vec<_>>().concat();
        let crc = crc64nvme(&bytes);
        if let Some(given) = head.field("x-amz-checksum-crc64nvme")
            && given != crc
        {
            return Some(refusal("400 Bad Request", "BadDigest", "it did not match"));
        }
        let tags: Vec<u8> = parts.values().flat_map(|part| md5(&part.bytes)).collect();
        let etag = format!("{}-{}", hex(&md5(&tags)), parts.len());
        if rules.ends == Ends::Short {
            bytes.pop();
        }
        let object = Stored { bytes, etag: etag.clone() };
        state.objects.insert(head.key(), object);
        let named = match rules.ends {
            Ends::Named => Some(crc),
            Ends::Wrong => Some("AAAAAAAAAAA=".to_owned()),
            Ends::Lost if state.completions == 1 => return None,
            _ => None,
        };
        let named = named.map(|crc| format!("<ChecksumCRC64NVME>{crc}</ChecksumCRC64NVME>"));
        let document = format!(
            "<CompleteMultipartUploadResult><ETag>&quot;{etag}&quot;</ETag>{}\
             </CompleteMultipartUploadResult>",
            named.unwrap_or_default()
        );
        Some(("200 OK".to_owned(), Vec::new(), document))
    }

    fn head(&self, head: &Head) -> Answer {
        let state = self.state.lock().unwrap();
        match state.objects.get(&head.key()).filter(|_| self.rules.heads) {
            Some(object) => ok(vec![
                ("content-length", object.bytes.len().to_string()),
                ("etag", format!("\"{}\"", object.etag)),
            ]),
            None if self.rules.heads => ("404 Not Found".to_owned(), Vec::new(), String::new()),
            None => ("403 Forbidden".to_owned(), Vec::new(), String::new()),
        }
    }
}
