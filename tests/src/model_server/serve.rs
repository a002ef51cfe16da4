//! The endpoint: one thread, one task a connection.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use osmo_engine::digest::{Algorithm, Digest};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::catalog::Catalog;
use super::content::{Content, Window};
use super::pace::{Allowance, Pace};
use super::profile::Profile;
use super::reply::{Body, Reply};
use super::request::Inbound;
use super::route;
use super::schedule::{Hang, Schedule};
use super::sink::Sink;
use super::watch::Watch;

/// The one bucket there is.
pub const BUCKET: &str = "bench";
const CONNECTIONS_MAX: usize = 1024;
/// What goes out at once where a rate holds: 5 ms at 12.5 MiB/s.
const PACED_BYTES_MAX: u64 = 64 << 10;

/// The model's state, all of one thread.
pub struct Model {
    profile: Profile,
    schedule: Schedule,
    serial: u64,
    allowance: Option<Allowance>,
    link: Option<Pace>,
    pub(super) catalog: Catalog,
    pub(super) content: Content,
    pub(super) window: Window,
    pub(super) sink: Sink,
    /// CRC64NVME of large generated objects.
    pub(super) checksums: HashMap<u64, String>,
    watch: Option<Arc<Watch>>,
    pub(super) is_silent: bool,
    /// Its seed, where one answer in a hundred hangs.
    hangs: Option<u64>,
    seed: u64,
}

impl Model {
    /// A store like `profile` that holds `catalog`; delays and content come
    /// from `seed`.
    pub fn new(profile: Profile, catalog: Catalog, seed: u64) -> Self {
        let content = Content::new(seed);
        Self {
            profile,
            schedule: Schedule::new(profile.first_byte, seed),
            serial: 0,
            allowance: profile.requests_per_s.map(Allowance::new),
            link: profile.link_bytes_per_s.map(Pace::new),
            catalog,
            content,
            window: content.window(),
            sink: Sink::default(),
            checksums: HashMap::new(),
            watch: None,
            is_silent: false,
            hangs: None,
            seed,
        }
    }

    /// Tells `watch` what object bytes are asked for and sent.
    pub fn watched(self, watch: Arc<Watch>) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// Declares no checksum of what it generates.
    pub fn silent(self) -> Self {
        Self { is_silent: true, ..self }
    }

    /// One answer in a hundred stops for 5 to 15 s ([`Hang`]).
    pub fn hanging(self) -> Self {
        Self { hangs: Some(self.seed), ..self }
    }

    /// Serves until `stop` is notified.
    ///
    /// # Errors
    /// No runtime, or the listener is none.
    pub fn serve(self, listener: std::net::TcpListener, stop: &Notify) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = LocalSet::new();
        local.block_on(&runtime, async {
            let listener = TcpListener::from_std(listener)?;
            tokio::select! {
                () = stop.notified() => Ok(()),
                result = accept(Rc::new(RefCell::new(self)), listener) => result,
            }
        })
    }
}

/// A model on a thread of its own, on loopback; it stops when it is dropped.
pub struct ModelServer {
    address: SocketAddr,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl ModelServer {
    /// Starts `model` on a free port.
    ///
    /// # Errors
    /// No port or no thread.
    pub fn start(model: impl FnOnce() -> Model + Send + 'static) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("model".to_owned())
            .spawn(move || model().serve(listener, &stopped))?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Shared = Rc<RefCell<Model>>;

async fn accept(model: Shared, listener: TcpListener) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let started = Instant::now();
    for number in 0.. {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return Ok(()) };
        let (stream, _) = listener.accept().await?;
        let model = Rc::clone(&model);
        tokio::task::spawn_local(async move {
            // A client that leaves early is the client's affair.
            let _ = Talk::new(model, stream, started, number).run().await;
            drop(place);
        });
    }
    Ok(())
}

/// One connection.
struct Talk {
    model: Shared,
    inbound: Inbound,
    started: Instant,
    profile: Profile,
    pace: Option<Pace>,
    number: u64,
    watch: Option<Arc<Watch>>,
}

impl Talk {
    fn new(model: Shared, stream: TcpStream, started: Instant, number: u64) -> Self {
        let _ = stream.set_nodelay(true);
        let profile = model.borrow().profile;
        let pace = profile.connection_bytes_per_s.map(Pace::new);
        let watch = model.borrow().watch.clone();
        Self { model, inbound: Inbound::new(stream), started, profile, pace, number, watch }
    }

    async fn run(mut self) -> io::Result<()> {
        let mut connecting = self.profile.round_trip;
        while let Some(head) = self.inbound.head().await? {
            let first = self.admit();
            let mut digest = Digest::new(Algorithm::Crc64Nvme);
            let trailer = self.inbound.body(&head, |bytes| digest.update(bytes)).await?;
            self.carry(digest.bytes()).await;
            let reply = match first {
                Some(_) => {
                    let mut model = self.model.borrow_mut();
                    route::answer(&mut model, &head, digest, trailer.as_deref())
                }
                None => Reply::refusal(503, "SlowDown", "please reduce your request rate"),
            };
            let reply = if head.method == "HEAD" { reply.bare() } else { reply };
            pause(connecting + self.profile.round_trip + first.unwrap_or_default()).await;
            connecting = Duration::ZERO;
            let hang = self.hang(&reply);
            if let Some(Hang { at_permille: 0, time }) = hang {
                pause(time).await;
            }
            self.send(&reply, hang).await?;
            if head.closes() {
                break;
            }
        }
        Ok(())
    }

    /// The delay of a request, unless there are too many of them.
    fn admit(&self) -> Option<Duration> {
        let mut model = self.model.borrow_mut();
        let now = self.started.elapsed();
        if !model.allowance.as_mut().is_none_or(|allowance| allowance.admits(now)) {
            return None;
        }
        model.serial += 1;
        Some(model.schedule.first_byte(model.serial))
    }

    /// Only bytes of objects hang.
    fn hang(&self, reply: &Reply) -> Option<Hang> {
        let model = self.model.borrow();
        let seed = model.hangs.filter(|_| matches!(reply.body, Body::Generated { .. }))?;
        Hang::of(seed, model.serial)
    }

    async fn send(&mut self, reply: &Reply, hang: Option<Hang>) -> io::Result<()> {
        let head = reply.head();
        match &reply.body {
            Body::Text(text) => self.inbound.send((head + text).as_bytes()).await,
            Body::Absent(_) => self.inbound.send(head.as_bytes()).await,
            Body::Generated { object, offset, bytes } => {
                if let Some(watch) = &self.watch {
                    watch.asked(self.number, *object, *offset..offset + bytes);
                }
                let ahead = self.begin(head, *object, *offset, *bytes).await?;
                let (mut offset, mut left) = (offset + ahead, bytes - ahead);
                if let Some(Hang { at_permille, time }) = hang.filter(|hang| hang.at_permille > 0) {
                    let before = left / 1_000 * at_permille;
                    self.generate(*object, offset, before).await?;
                    pause(time).await;
                    (offset, left) = (offset + before, left - before);
                }
                self.generate(*object, offset, left).await
            }
        }
    }

    /// Sends a head with the first bytes of its body in one call.
    async fn begin(
        &mut self,
        head: String,
        object: u64,
        offset: u64,
        bytes: u64,
    ) -> io::Result<u64> {
        const AHEAD_BYTES_MAX: u64 = 16 << 10;
        let wanted = bytes.min(AHEAD_BYTES_MAX);
        let mut block = head.into_bytes();
        let heads = block.len();
        if wanted > 0 {
            block.extend_from_slice(self.model.borrow_mut().window.at(object, offset, wanted));
        }
        let ahead = (block.len() - heads) as u64;
        self.carry(ahead).await;
        self.inbound.send(&block).await?;
        Ok(ahead)
    }

    async fn generate(&mut self, object: u64, mut offset: u64, mut left: u64) -> io::Result<()> {
        let paced = self.pace.is_some() || self.profile.link_bytes_per_s.is_some();
        while left > 0 {
            let wanted = if paced { left.min(PACED_BYTES_MAX) } else { left };
            let sent = self.write_some(object, offset, wanted)?;
            if sent == 0 {
                self.inbound.stream().writable().await?;
                continue;
            }
            offset += sent as u64;
            left -= sent as u64;
            if let Some(watch) = &self.watch {
                watch.sent(sent as u64);
            }
            if paced {
                self.carry(sent as u64).await;
            } else {
                // One connection must not have the thread to itself.
                tokio::task::coop::consume_budget().await;
            }
        }
        Ok(())
    }

    /// Stamps and sends in one go, for the window belongs to all; 0 when the
    /// socket is full.
    fn write_some(&self, object: u64, offset: u64, wanted: u64) -> io::Result<usize> {
        let mut model = self.model.borrow_mut();
        match self.inbound.stream().try_write(model.window.at(object, offset, wanted)) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// Waits until the connection and the link have carried so much.
    async fn carry(&mut self, bytes: u64) {
        let now = self.started.elapsed();
        let count = usize::try_from(bytes).unwrap_or(usize::MAX);
        let own = self.pace.as_mut().map(|pace| pace.through_at(count, now));
        let link = self.model.borrow_mut().link.as_mut().map(|link| link.through_at(count, now));
        if let Some(through) = own.max(link) {
            pause(through.saturating_sub(now)).await;
        }
    }
}

/// Sleeps; not for less than the runtime's grain, which the pace catches up.
async fn pause(time: Duration) {
    if time >= Duration::from_micros(500) {
        tokio::time::sleep(time).await;
    }
}
