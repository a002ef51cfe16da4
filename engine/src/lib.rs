//! The engine: moves data sets between object stores and a pod's volume.
//!
//! It is a library with one door, [`Engine`]: configure it once, hand it
//! [`Job`]s, watch their [`Progress`] and collect a [`Report`] each.
//!
//! Modules stand in rows; a module imports strictly lower rows only
//! (`docs/ARCHITECTURE.md` draws them):
//!
//! ```text
//! 7  engine     facade: Engine, JobHandle       fuzz (tests)
//! 6  worker     one shard's loop
//! 5  download   upload            (never each other)
//! 4½ site (on a shard)   desk (on the control thread): what stages work with
//! 4  s3         get, put, multipart on the ring; control on the SDK
//! 3  net        connect, pool, http1        disk   file, partial, publish
//! 2  ring       operations, drivers, executor            (unsafe island)
//! 1½ object     a key at one version, with what its store declares
//! 1  mem (unsafe island)   flow   digest
//! 0  error  config  access  clock  sim (tests)  range  part  uri  path  job  report  tally
//!    units  waits
//! ```

pub mod access;
pub mod clock;
pub mod config;
pub mod desk;
pub mod digest;
pub mod disk;
pub mod download;
pub mod engine;
pub mod error;
pub mod flow;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod job;
pub mod mem;
pub mod net;
pub mod object;
pub mod part;
pub mod path;
pub mod range;
pub mod report;
pub mod ring;
pub mod s3;
#[cfg(feature = "sim")]
pub mod sim;
pub mod site;
pub mod tally;
pub mod telemetry;
pub mod units;
pub mod upload;
pub mod uri;
pub mod waits;
pub mod worker;

pub use config::{EngineConfig, IoChoice};
pub use engine::{Engine, JobHandle};
pub use error::{Error, ErrorKind, Result, RetryClass};
pub use job::{CheckJob, DeleteJob, DownloadJob, Job, ListJob, ListedObject, UploadJob};
pub use job::{Journaling, Ledger, LocalFile, UploadOrder};
pub use report::{FileFailure, IoReport, JobEvent, Progress, Report, Usage, Verification};
pub use tally::{Unfinished, UploadLeft};
pub use waits::{Backoff, Patience, RetryPolicy, Waits};
