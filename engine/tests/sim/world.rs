//! One seed's world: time goes by itself, everything else is dealt from here
//! and written into the trace.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use osmo_engine::clock::Chance;
use osmo_engine::sim::{Fate, Mutant, Step, World};
use rustix::io::Errno;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::disk::{Death, Image};
use crate::faults::Fault;
use crate::life::{Early, Faults};
use crate::rules::{Asked, Finals};
use crate::server;
use crate::store::Stored;

pub(crate) struct Simulation {
    me: Weak<Self>,
    chance: RefCell<Chance>,
    trace: RefCell<DefaultHasher>,
    is_shown: bool,
    /// When this life began.
    pub(crate) born: Cell<Option<Instant>>,
    stir: Notify,
    pub(crate) arrived: Notify,
    pub(crate) died: Notify,
    pub(crate) store: RefCell<Vec<Stored>>,
    pub(crate) part_bytes: u64,
    slowness: u64,
    /// What may happen in this life, once in so many chances.
    pub(crate) faults: RefCell<Faults>,
    pub(crate) root: PathBuf,
    pub(crate) steps: Cell<u64>,
    /// At which step this life ends before its time, and how.
    pub(crate) early: Cell<Early>,
    /// Asks the engine to stop.
    pub(crate) cancel: RefCell<Option<Box<dyn Fn()>>>,
    pub(crate) is_cancelled: Cell<bool>,
    pub(crate) over: Cell<bool>,
    pub(crate) death: RefCell<Option<Death>>,
    pub(crate) durable: RefCell<Image>,
    pub(crate) renamed: RefCell<BTreeMap<u64, PathBuf>>,
    /// Files that a power loss has damaged, until they are whole again.
    pub(crate) doubted: RefCell<BTreeSet<PathBuf>>,
    pub(crate) boots: Cell<u64>,
    pub(crate) keys_drawn: Arc<AtomicU64>,
    expired: Cell<u64>,
    /// Requests of this life that were answered for good.
    pub(crate) finals: RefCell<Finals>,
    /// Requests whose answers are under way.
    pub(crate) open: RefCell<BTreeMap<Asked, u32>>,
    pub(crate) far_ends: RefCell<Vec<Weak<UnixStream>>>,
    pub(crate) broken_rules: RefCell<Vec<String>>,
    mutant: Option<Mutant>,
}

impl Simulation {
    pub(crate) fn new(
        seed: u64,
        (store, part_bytes, slowness): (Vec<Stored>, u64, u64),
        root: &Path,
        mutant: Option<Mutant>,
    ) -> Rc<Self> {
        Rc::new_cyclic(|me| Self {
            me: me.clone(),
            chance: RefCell::new(Chance::from_seed(seed ^ 0x05ee_d0f7_13e3_0fff)),
            trace: RefCell::default(),
            is_shown: std::env::var_os("OSMO_SIM_TRACE").is_some(),
            born: Cell::default(),
            stir: Notify::new(),
            arrived: Notify::new(),
            died: Notify::new(),
            store: RefCell::new(store),
            part_bytes,
            slowness,
            faults: RefCell::default(),
            root: root.to_owned(),
            steps: Cell::new(0),
            early: Cell::default(),
            cancel: RefCell::default(),
            is_cancelled: Cell::default(),
            over: Cell::new(false),
            death: RefCell::default(),
            durable: RefCell::default(),
            renamed: RefCell::default(),
            doubted: RefCell::default(),
            boots: Cell::new(1),
            keys_drawn: Arc::default(),
            expired: Cell::new(0),
            finals: RefCell::default(),
            open: RefCell::default(),
            far_ends: RefCell::default(),
            broken_rules: RefCell::default(),
            mutant,
        })
    }

    /// What happened so far, in one number.
    pub(crate) fn trace(&self) -> u64 {
        self.trace.borrow().finish()
    }

    pub(crate) fn note(&self, what: &str, value: u64) {
        let at = self.born.get().map(|born| born.elapsed()).unwrap_or_default();
        (at.as_millis(), what, value).hash(&mut *self.trace.borrow_mut());
        if self.is_shown {
            eprintln!("{:>9} ms  {what} {value}", at.as_millis());
        }
    }

    pub(crate) fn up_to(&self, most: u64) -> u64 {
        self.chance.borrow_mut().up_to(most)
    }

    /// Some time at the store, this many milliseconds at most where it is fast.
    pub(crate) async fn takes(&self, most_ms: u64) {
        sleep(Duration::from_millis(self.up_to(most_ms * self.slowness))).await;
    }

    pub(crate) fn below(&self, limit: usize) -> usize {
        usize::try_from(self.up_to(limit as u64 - 1)).unwrap_or_default()
    }

    /// Whether the fault happens here.
    pub(crate) fn strikes(&self, fault: Fault) -> bool {
        let once_in = self.faults.borrow().iter().find(|(known, _)| *known == fault).map(|f| f.1);
        let strikes = once_in.is_some_and(|once_in| self.up_to(once_in - 1) == 0);
        if strikes {
            self.note("fault", fault as u64);
        }
        strikes
    }

    pub(crate) fn is_fair(&self, fault: Fault, key: &str) -> bool {
        let store = self.store.borrow();
        store.iter().any(|stored| stored.key == key && fault.is_fair(stored, self.part_bytes))
    }

    pub(crate) fn stirs(&self) {
        self.stir.notify_one();
    }

    pub(crate) fn changes(&self, key: &str) {
        let mut store = self.store.borrow_mut();
        let stored = store.iter_mut().find(|stored| stored.key == key);
        stored.into_iter().for_each(|stored| stored.changes(&mut self.chance.borrow_mut()));
    }

    /// The number in `Credential=key-7/…`.
    fn key_of(authorization: Option<&str>) -> u64 {
        let key = authorization.and_then(|field| field.split_once("Credential=key-"));
        let number = key.and_then(|(_, rest)| rest.split('/').next());
        number.and_then(|number| number.parse().ok()).unwrap_or_default()
    }

    pub(crate) fn has_expired(&self, authorization: Option<&str>) -> bool {
        Self::key_of(authorization) <= self.expired.get()
    }

    pub(crate) fn expires(&self, authorization: Option<&str>) {
        self.expired.set(self.expired.get().max(Self::key_of(authorization)));
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.get()
    }
}

impl World for Simulation {
    fn fate(&self, step: Step<'_>) -> Fate {
        self.step();
        let (name, faults): (_, &[(Fault, Errno)]) = match step {
            Step::Connect(_) => ("connect", &[(Fault::Refused, Errno::CONNREFUSED)]),
            Step::Recv => ("recv", &[(Fault::Reset, Errno::CONNRESET)]),
            Step::Send => ("send", &[(Fault::Reset, Errno::PIPE)]),
            Step::Open => ("open", &[(Fault::Broken, Errno::IO)]),
            Step::Write => ("write", &[(Fault::Full, Errno::NOSPC), (Fault::Broken, Errno::IO)]),
            Step::Allocate => ("allocate", &[(Fault::Full, Errno::NOSPC)]),
            Step::Rename(..) => ("rename", &[(Fault::Broken, Errno::IO)]),
            Step::Read => ("read", &[]),
            Step::Sync => ("sync", &[]),
            Step::Unlink => ("unlink", &[]),
            Step::Mkdir => ("mkdir", &[]),
        };
        if let Step::Rename(folder, from) = step {
            self.renames(folder, from);
        }
        let fails = faults.iter().find(|(fault, _)| self.strikes(*fault)).map(|(_, errno)| *errno);
        let after = Duration::from_millis(self.up_to(6));
        let most = (self.up_to(3) == 0).then(|| 1 + self.below(20_000));
        self.note(name, u64::from(fails.is_some()));
        Fate { after, fails, most }
    }

    fn pick(&self, count: usize) -> usize {
        self.step();
        self.note("pick", count as u64);
        self.below(count.max(1))
    }

    fn bits(&self) -> u64 {
        self.chance.borrow_mut().next_bits()
    }

    fn connected(&self, _to: SocketAddr, far: OwnedFd) {
        let far = Rc::new(UnixStream::from(far));
        self.far_ends.borrow_mut().push(Rc::downgrade(&far));
        if let Some(me) = self.me.upgrade() {
            tokio::task::spawn_local(server::serve(me, far));
        }
    }

    fn sent(&self) {
        self.arrived.notify_waiters();
    }

    fn stir(&self) -> &Notify {
        &self.stir
    }

    fn synced(&self, _folder: &OwnedFd) -> Result<(), Errno> {
        self.step();
        if self.over.get() || self.strikes(Fault::Unsynced) {
            return Err(Errno::IO);
        }
        self.note("synced", 0);
        *self.durable.borrow_mut() = Image::of(&self.root).map_err(|_| Errno::IO)?;
        self.renamed.borrow_mut().clear();
        Ok(())
    }

    fn boot(&self) -> u64 {
        self.boots.get()
    }

    fn part_bytes(&self) -> u64 {
        self.part_bytes
    }

    fn is_over(&self) -> bool {
        self.over.get()
    }

    fn plants(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

impl Simulation {
    /// Before a rename: its file's name is remembered, and what earlier ones
    /// made visible is looked at.
    fn renames(&self, folder: BorrowedFd<'_>, from: &CStr) {
        if self.over.get() {
            return;
        }
        self.look("before a rename");
        if let Ok(stat) = rustix::fs::statat(folder, from, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
            let name = Path::new(".osmo-partial").join(&*from.to_string_lossy());
            self.renamed.borrow_mut().insert(stat.st_ino, name);
        }
    }

    /// Draws another key pair's name.
    pub(crate) fn keys(&self) -> impl Fn() -> String + Send + Sync + use<> {
        let drawn = Arc::clone(&self.keys_drawn);
        move || format!("key-{}", 1 + drawn.fetch_add(1, Ordering::Relaxed))
    }
}
