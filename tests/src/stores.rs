//! One scenario, every store: a [`Place`] is an empty bucket in one of them.
//!
//! | store | is | left out, and why |
//! |---|---|---|
//! | `embedded` | the store of `osmo-controller` | |
//! | `seaweedfs`, `seaweedfs_https` | SeaweedFS, its own HTTP and TLS ports | keys with `..`, `.` or empty components, `\` (it rewrites them), an object that is another's folder: it keeps files and folders |
//! | `nginx`, `nginx_https` | nginx with ranges, listings written beforehand | uploads; refusals of signatures and of buckets, of which it knows nothing; keys that no file can have |
//!
//! A scenario names the stores that it runs against in [`crate::on_stores!`].

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use osmo_controller::run::access::StoreAccess;
use tempfile::TempDir;

use crate::outside::nginx::Nginx;
use crate::outside::seaweed::Seaweed;
use crate::program::Programs;
use crate::skip::skip;
use crate::store::TestStore;

/// Runs each scenario, a function of a [`Place`] and a driver, against each
/// store and under both drivers: `scenario::store::driver`.
#[macro_export]
macro_rules! on_stores {
    ($($stores:tt => $tests:tt)+) => { $( $crate::on_stores!(@group $stores $tests); )+ };
    (@group $stores:tt { $($test:ident),+ $(,)? }) => {
        $( mod $test { $crate::on_stores!(@one $test $stores); } )+
    };
    (@one $test:ident [$($store:ident),+]) => {
        $(
            mod $store {
                #[test]
                fn uring() {
                    if $crate::uring_works() {
                        $crate::stores::run(stringify!($store), "uring", super::super::$test);
                    } else {
                        $crate::skip::skip("this kernel or container refuses io_uring");
                    }
                }
                #[test]
                fn epoll() {
                    $crate::stores::run(stringify!($store), "epoll", super::super::$test);
                }
            }
        )+
    };
}

enum Server {
    Embedded(TestStore),
    Seaweed(&'static Seaweed),
    Nginx(Box<Nginx>),
}

/// An empty bucket somewhere.
pub struct Place {
    store: &'static str,
    bucket: String,
    server: Server,
    access: StoreAccess,
    ca: Option<PathBuf>,
}

/// Runs `scenario` in a bucket of its own of `store`, or skips it out loud.
///
/// # Panics
/// The scenario's failures, an unknown store, and a skip where that is refused.
pub fn run(store: &'static str, driver: &str, scenario: fn(&mut Place, &str)) {
    match Place::open(store) {
        Ok(mut place) => scenario(&mut place, driver),
        Err(error) => skip(&format!("{store}: {error:#}")),
    }
}

impl Place {
    /// A fresh bucket.
    ///
    /// # Errors
    /// The server is not installed here or did not start.
    pub fn open(store: &'static str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let bucket = format!("bucket-{}-{number}", std::process::id());
        let tls = store.ends_with("_https");
        let (server, access, ca) = match store.trim_end_matches("_https") {
            "embedded" => {
                let server = TestStore::start(&bucket)?;
                let access = server.access().clone();
                (Server::Embedded(server), access, None)
            }
            "seaweedfs" => {
                let server = Seaweed::shared().map_err(anyhow::Error::msg)?;
                server.fill(&bucket, &[])?;
                (Server::Seaweed(server), server.access(tls), Some(server.ca().to_owned()))
            }
            "nginx" => {
                let mut server = Nginx::start()?;
                server.fill(&bucket, &[])?;
                let (access, ca) = (server.access(tls), server.ca().to_owned());
                (Server::Nginx(Box::new(server)), access, Some(ca))
            }
            other => anyhow::bail!("no store is called {other}"),
        };
        Ok(Self { store, bucket, server, access, ca: ca.filter(|_| tls) })
    }

    /// Which store this is.
    pub fn is(&self, store: &str) -> bool {
        self.store.trim_end_matches("_https") == store
    }

    /// `s3://<bucket>/<path>`
    pub fn url(&self, path: &str) -> String {
        format!("s3://{}/{path}", self.bucket)
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// URL and key.
    pub fn access(&self) -> &StoreAccess {
        &self.access
    }

    /// The CA of its certificate, over TLS.
    pub fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// `osmo data …` against this store, trusting its certificate.
    pub fn data(&self, programs: Programs, driver: &str, args: &[&OsStr]) -> Command {
        let mut command = programs.data(&self.access, driver, args);
        if let Some(ca) = &self.ca {
            command.env("AWS_CA_BUNDLE", ca);
        }
        command
    }

    /// Puts `bytes` under each key, without the client under test.
    ///
    /// # Errors
    /// The store refuses a key.
    pub fn put<K: Into<String>, B: AsRef<[u8]>>(
        &mut self,
        objects: impl IntoIterator<Item = (K, B)>,
    ) -> Result<()> {
        let folder = TempDir::new()?;
        let mut pairs = Vec::new();
        for (number, (key, bytes)) in objects.into_iter().enumerate() {
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, bytes)?;
            pairs.push((key.into(), path));
        }
        self.fill(&pairs)
    }

    /// Puts every file below `root` under `prefix` and its path.
    ///
    /// # Errors
    /// As [`Place::put`].
    pub fn put_tree(&mut self, prefix: &str, root: &Path) -> Result<()> {
        let mut pairs = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.strip_prefix(root)?.to_str().context("a name that is no UTF-8")?;
                pairs.push((format!("{prefix}{name}"), path.clone()));
            }
        }
        self.fill(&pairs)
    }

    fn fill(&mut self, pairs: &[(String, PathBuf)]) -> Result<()> {
        match &mut self.server {
            Server::Seaweed(server) => server.fill(&self.bucket, pairs),
            Server::Nginx(server) => server.fill(&self.bucket, pairs),
            Server::Embedded(server) => {
                pairs.iter().try_for_each(|(key, path)| server.put_file(&self.bucket, key, path))
            }
        }
    }
}
