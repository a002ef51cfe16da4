//! What the tests share: a ring per driver, a pool, sockets from std.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use osmo_engine::IoChoice;
use osmo_engine::mem::{Buffer, Pool, Slice};
use osmo_engine::ring::{Fd, Ring};
use osmo_engine::sim::{self, World};
use tokio::sync::Notify;

/// Bytes of a test buffer.
pub(crate) const BYTES: usize = 4096;

/// No test comes near it; one that hangs fails instead.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

/// A ring, and a pool whose buffers must all be back when the test ends.
pub(crate) struct Bench {
    pub(crate) ring: Ring,
    pub(crate) pool: Pool,
    /// Where the driver is the simulated one.
    world: Option<Rc<Plain>>,
}

/// A world that holds far ends until somebody takes them.
#[derive(Default)]
pub(crate) struct Plain {
    far: RefCell<Option<TcpStream>>,
    stir: Notify,
}

impl World for Plain {
    fn connected(&self, _to: SocketAddr, far: OwnedFd) {
        // Reading, writing and closing are the same on every stream.
        let far = TcpStream::from(far);
        far.set_nonblocking(false).unwrap();
        *self.far.borrow_mut() = Some(far);
    }

    fn stir(&self) -> &Notify {
        &self.stir
    }
}

/// Runs the test on the simulated driver, in a world where nothing fails.
pub(crate) fn simulate(test: fn(&Bench)) {
    let world = Rc::new(Plain::default());
    let _stay = sim::enter(Rc::clone(&world) as Rc<dyn World>);
    with(IoChoice::Sim, Some(world), test);
}

/// Runs the test on the driver and then checks that everything came back.
pub(crate) fn run(choice: IoChoice, test: fn(&Bench)) {
    with(choice, None, test);
}

fn with(choice: IoChoice, world: Option<Rc<Plain>>, test: fn(&Bench)) {
    let ring = match Ring::open(choice) {
        Ok((ring, _)) => ring,
        Err(refused) if std::env::var_os("OSMO_TEST_STRICT").is_none() => {
            eprintln!("skipped: {refused}");
            return;
        }
        Err(refused) => panic!("{refused}"),
    };
    let _ends = Watched::begin();
    let pool = Pool::new(POOL_BUFFERS, BYTES).unwrap();
    let bench = Bench { ring, pool, world };
    test(&bench);
    let Bench { ring, pool, .. } = bench;
    drop(ring);
    assert_eq!(pool.free(), POOL_BUFFERS, "every buffer is back");
}

/// Ends the process if the test does not end: a loop that never turns again
/// cannot watch itself.
struct Watched(Option<(mpsc::Sender<()>, JoinHandle<()>)>);

impl Watched {
    fn begin() -> Self {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let (ended, ends) = mpsc::channel();
        let watch = std::thread::spawn(move || {
            if ends.recv_timeout(2 * WATCHDOG) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{test} hangs, and its loop with it");
                std::process::abort();
            }
        });
        Self(Some((ended, watch)))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some((ended, watch)) = self.0.take() {
            drop(ended);
            watch.join().unwrap();
        }
    }
}

/// Buffers of a test's pool.
pub(crate) const POOL_BUFFERS: usize = 64;

impl Bench {
    /// Runs a future that must end.
    pub(crate) fn block_on<F: Future>(&self, main: F) -> F::Output {
        let ring = self.ring.clone();
        let watched = async move { ring.within(WATCHDOG, main).await };
        let ended = match self.world {
            None => self.ring.block_on(watched),
            Some(_) => {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = runtime.enable_time().start_paused(true).build().unwrap();
                runtime.block_on(self.ring.drive(watched))
            }
        };
        ended.expect("the test hangs")
    }

    /// A buffer on a lease of its own.
    pub(crate) async fn buffer(&self) -> Buffer {
        self.pool.lease(1).await.take().unwrap()
    }

    /// A slice that holds `bytes`.
    pub(crate) async fn slice(&self, bytes: &[u8]) -> Slice {
        let mut buffer = self.buffer().await;
        buffer[..bytes.len()].copy_from_slice(bytes);
        Slice { buffer, start: 0, end: bytes.len() }
    }

    /// Receives once into a whole buffer.
    pub(crate) async fn recv(&self, fd: &Fd) -> std::io::Result<Vec<u8>> {
        let (count, buffer) = self.ring.recv(fd, self.buffer().await, 0..BYTES).await;
        Ok(buffer[..count?].to_vec())
    }

    /// A connected pair: ours, and a plain blocking socket of std.
    pub(crate) async fn pair(&self) -> (Fd, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = self.ring.connect(listener.local_addr().unwrap()).await.unwrap();
        if let Some(world) = &self.world {
            return (ours, world.far.take().unwrap());
        }
        let (theirs, _) = listener.accept().unwrap();
        theirs.set_read_timeout(Some(WATCHDOG)).unwrap();
        theirs.set_nodelay(true).unwrap();
        (ours, theirs)
    }
}

/// A descriptor of std as the ring takes it.
pub(crate) fn fd(owned: impl Into<OwnedFd>) -> Fd {
    Rc::new(owned.into())
}

/// The errno of a failure.
pub(crate) fn errno<T>(result: std::io::Result<T>) -> i32 {
    match result {
        Ok(_) => panic!("this must fail"),
        Err(error) => {
            error.raw_os_error().unwrap_or_else(|| panic!("no errno: {:?}", error.kind()))
        }
    }
}

/// The kind of a failure.
pub(crate) fn kind<T>(result: std::io::Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("this must fail"),
        Err(error) => error.kind(),
    }
}

/// Lets every test named run under both drivers.
macro_rules! under_both_drivers {
    ($($test:ident),* $(,)?) => {
        mod uring {
            $(#[test] fn $test() {
                crate::support::run(osmo_engine::IoChoice::Uring, super::$test);
            })*
        }
        mod epoll {
            $(#[test] fn $test() {
                crate::support::run(osmo_engine::IoChoice::Epoll, super::$test);
            })*
        }
    };
}
pub(crate) use under_both_drivers;

/// Lets tests that need no other thread run in a simulation too.
macro_rules! under_simulation {
    ($($test:ident),* $(,)?) => {
        mod simulated {
            $(#[test] fn $test() {
                crate::support::simulate(super::$test);
            })*
        }
    };
}
pub(crate) use under_simulation;
