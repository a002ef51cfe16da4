//! An S3 store on a real socket that misbehaves as a test's script says, call
//! by call, down to the byte.
//!
//! It is: path-style S3 over HTTP/1.1, an object table in memory, and a queue
//! of [`Step`]s per kind of call. It is not fast, nor lasting, nor lenient:
//! what it answers well it has checked.
//!
//! ```text
//!  connection ── head ──► Request ── Call, key ──► Script ──► Step
//!                            │                                │
//!                            ▼ signature, framing, checksums  ▼
//!                          Table ────── Answer ──────────► deliver: as it is,
//!                       objects, uploads                   late, cut, flipped …
//! ```
//!
//! Invariants:
//! * Every request's Signature V4 is computed again, by code that the engine
//!   does not share; a request that does not hold is refused and noted in
//!   [`FaultServer::violations`], whatever the script says.
//! * A step that spoils an answer comes after the deed (a lost answer to a
//!   `Put` leaves the object); one that refuses comes before it.
//! * What is open is counted: connections, unfinished multipart uploads.
//!
//! Limits: a head has 64 KiB, a body [`BODY_BYTES_MAX`]; no wait is longer
//! than [`WATCHDOG`].

mod answer;
mod attributes;
mod checksum;
mod deed;
mod deliver;
mod request;
mod script;
mod serve;
mod signature;
mod table;
mod wire;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub use script::{Call, Step};
pub use table::Declared;

use script::Script;
use table::Table;

/// Nobody waits longer; a test that does has failed.
pub const WATCHDOG: Duration = Duration::from_secs(30);
/// The largest body that is taken.
pub const BODY_BYTES_MAX: usize = 64 << 20;

/// The key that the server knows.
pub const ACCESS_KEY: &str = "AKIDFAULTSERVER";
/// Its secret.
pub const SECRET_KEY: &str = "fault/server+secret";
/// The region that requests must be signed for, unless a script redirected.
pub const REGION: &str = "us-east-1";

/// The server; dropped, it ends with its last connection.
pub struct FaultServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) struct Shared {
    bucket: String,
    stopped: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    script: Script,
    table: Table,
    /// Regions that a script has sent somebody to.
    regions: Vec<String>,
    seen: Vec<Seen>,
    heads: Vec<(Call, Vec<(String, String)>)>,
    violations: Vec<String>,
    served: BTreeMap<String, u64>,
    open: usize,
}

/// A request that came.
pub(crate) struct Seen {
    call: Call,
    subject: String,
    /// What it was signed for; empty for an unsigned one.
    region: String,
    /// Whether its checksum comes behind its body.
    trailed: bool,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultServer {
    /// A server with the empty bucket `bucket`.
    ///
    /// # Errors
    /// No port.
    pub fn start(bucket: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            bucket: bucket.to_owned(),
            stopped: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || serve::serve(&listener, &serving));
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The steps of the next requests of `call` for a key that contains
    /// `key`; afterwards all is well again.
    pub fn script(&self, call: Call, key: &str, steps: impl IntoIterator<Item = Step>) {
        self.shared.state().script.add(call, key, steps.into_iter().collect(), None);
    }

    /// Every request of `call` for a key that contains `key` meets `step`.
    pub fn always(&self, call: Call, key: &str, step: Step) {
        self.shared.state().script.add(call, key, Vec::new(), Some(step));
    }

    /// OSMO's `config.yaml` for the server's bucket: its key, and the endpoint
    /// where it is not told otherwise.
    pub fn config(&self, endpoint: Option<&str>) -> String {
        let bucket = &self.shared.bucket;
        let place = endpoint
            .map(|url| format!(", override_url: '{url}', addressing_style: path"))
            .unwrap_or_default();
        format!(
            "auth: {{data: {{s3://{bucket}: {{access_key_id: {ACCESS_KEY}, \
             access_key: {SECRET_KEY}, region: {REGION}{place}}}}}}}"
        )
    }

    /// Stores an object, as if it had been uploaded.
    pub fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        self.shared.state().table.put(key, bytes.into(), None, None);
    }

    /// Stores an object of which no checksum is declared, with this entity tag
    /// (without its quotes) and perhaps a field that says how it is encrypted.
    pub fn put_tagged(
        &self,
        key: &str,
        bytes: impl Into<Vec<u8>>,
        etag: &str,
        encryption: Option<(&'static str, &'static str)>,
    ) {
        let etag = format!("\"{etag}\"");
        self.shared.state().table.insert_tagged(key, bytes.into(), etag, encryption);
    }

    /// Stores an object with this entity tag (without its quotes), of which this
    /// checksum alone is declared.
    pub fn put_declared(
        &self,
        key: &str,
        bytes: impl Into<Vec<u8>>,
        etag: &str,
        declared: Declared,
    ) {
        self.put_tagged(key, bytes, etag, None);
        self.shared.state().table.declare(key, declared);
    }

    /// The same as [`FaultServer::put`], of bytes that others hold as well and whose CRC64NVME
    /// (base64) is known.
    pub fn share(&self, key: &str, bytes: Arc<Vec<u8>>, crc64nvme: &str) {
        self.shared.state().table.insert(key, bytes, crc64nvme.to_owned());
    }

    /// An object's bytes.
    pub fn object(&self, key: &str) -> Option<Arc<Vec<u8>>> {
        self.shared.state().table.get(key).map(|object| Arc::clone(&object.bytes))
    }

    /// All keys.
    pub fn keys(&self) -> Vec<String> {
        self.shared.state().table.keys().map(str::to_owned).collect()
    }

    /// Keys that a page of a listing has at most; 1,000 without.
    pub fn page_keys(&self, keys_max: usize) {
        self.shared.state().table.page_keys = keys_max;
    }

    /// Parts that a page of GetObjectAttributes has at most; 1,000 without.
    pub fn page_parts(&self, parts_max: usize) {
        self.shared.state().table.page_parts = parts_max;
    }

    /// CRC64NVME in base64.
    pub fn crc64nvme(bytes: &[u8]) -> String {
        checksum::crc64nvme(bytes)
    }

    /// Requests of this kind so far, spoilt ones included.
    pub fn requests(&self, call: Call) -> usize {
        self.shared.state().seen.iter().filter(|seen| seen.call == call).count()
    }

    /// Bytes of objects that answers to GETs of `key` have begun to bring.
    pub fn served(&self, key: &str) -> u64 {
        self.shared.state().served.get(key).copied().unwrap_or_default()
    }

    /// Requests so far: kind and key.
    pub fn seen(&self) -> Vec<(Call, String)> {
        let state = self.shared.state();
        state.seen.iter().map(|seen| (seen.call, seen.subject.clone())).collect()
    }

    /// The regions that requests of this kind were signed for, in their order.
    pub fn signed_for(&self, call: Call) -> Vec<String> {
        let state = self.shared.state();
        let seen = state.seen.iter().filter(|seen| seen.call == call);
        seen.map(|seen| seen.region.clone()).collect()
    }

    /// Requests of this kind so far whose checksum came behind the body.
    pub fn trailed(&self, call: Call) -> usize {
        self.shared.state().seen.iter().filter(|seen| seen.call == call && seen.trailed).count()
    }

    /// The content type that an object was stored with.
    pub fn content_type(&self, key: &str) -> Option<String> {
        self.shared.state().table.get(key)?.content_type.clone()
    }

    /// Batches of deletions keep `key` and say `code`, `times` times; a
    /// deletion of its own is not concerned.
    pub fn keep(&self, key: &str, code: &'static str, times: usize) {
        self.shared.state().table.keep(key, code, times);
    }

    /// What each request of this kind said in its field `name`, in lower case.
    pub fn told(&self, call: Call, name: &str) -> Vec<Option<String>> {
        let state = self.shared.state();
        let heads = state.heads.iter().filter(|(seen, _)| *seen == call);
        let value = |fields: &[(String, String)]| {
            fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone())
        };
        heads.map(|(_, fields)| value(fields)).collect()
    }

    /// Multipart uploads that were begun and neither completed nor aborted.
    pub fn unfinished_uploads(&self) -> usize {
        self.shared.state().table.unfinished()
    }

    /// What no client may do: wrong signatures, framing, checksums.
    pub fn violations(&self) -> Vec<String> {
        self.shared.state().violations.clone()
    }

    /// Waits until all clients have closed their connections; how many have
    /// not after [`WATCHDOG`].
    pub fn connections_left(&self) -> usize {
        let state = self.shared.state();
        let waited =
            self.shared.changed.wait_timeout_while(state, WATCHDOG, |state| state.open > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.open
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if !std::thread::panicking() {
            self.connections_left();
        }
    }
}
