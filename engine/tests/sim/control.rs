//! The control plane, in memory: pages, heads, and its own faults.

use std::rc::Rc;

use osmo_engine::s3::{
    Answer, Completed, Control, Kept, ListedPart, ObjectInfo, Page, PartDone, PartPage, Rung,
};
use osmo_engine::{Error, ErrorKind, Result};

use crate::faults::Fault;
use crate::store::{Stored, base64};
use crate::world::Simulation;

/// Keys of a page at most.
const PAGE_KEYS: usize = 3;

pub(crate) struct Desk(pub(crate) Rc<Simulation>);

impl Desk {
    /// Some time later, unless the store has had enough.
    async fn ask(&self, what: &str) -> Result<()> {
        self.0.note(what, 0);
        self.0.takes(50).await;
        for fault in [Fault::Throttling, Fault::Failing, Fault::Reset] {
            if self.0.strikes(fault) {
                return Err(Error::new(fault.kind(), "the control plane does not feel like it"));
            }
        }
        Ok(())
    }
}

fn info(stored: &Stored, with_checksum: bool) -> ObjectInfo {
    let named = stored.checksum().filter(|_| with_checksum);
    ObjectInfo {
        key: stored.key.clone(),
        bytes: stored.now().bytes.len() as u64,
        etag: Some(stored.now().etag.clone()),
        modified_s: None,
        checksums: named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        encrypted: false,
    }
}

fn never<T: 'static>() -> Answer<'static, T> {
    let error = Error::new(ErrorKind::Unsupported, "no download asks for this");
    Box::pin(std::future::ready(Err(error)))
}

impl Control for Desk {
    fn list<'a>(
        &'a self,
        _bucket: &'a str,
        prefix: &'a str,
        _delimiter: Option<&'a str>,
        next: Option<String>,
    ) -> Answer<'a, Page> {
        Box::pin(async move {
            self.ask("list").await?;
            let store = self.0.store.borrow();
            let after = next.as_deref().unwrap_or_default();
            let rest = store.iter().filter(|o| o.key.starts_with(prefix) && *o.key > *after);
            let rest: Vec<_> = rest.collect();
            let objects: Vec<_> = rest.iter().take(PAGE_KEYS).map(|o| info(o, false)).collect();
            let next = (rest.len() > PAGE_KEYS).then(|| rest[PAGE_KEYS - 1].key.clone());
            Ok(Page { objects, prefixes: Vec::new(), next })
        })
    }

    fn head<'a>(&'a self, _bucket: &'a str, key: &'a str) -> Answer<'a, Option<ObjectInfo>> {
        Box::pin(async move {
            self.ask("head").await?;
            let store = self.0.store.borrow();
            Ok(store.iter().find(|o| o.key == key).map(|o| info(o, true)))
        })
    }

    /// Two at a time, and always: a store that does not tell is another store.
    fn parts<'a>(
        &'a self,
        _bucket: &'a str,
        key: &'a str,
        after: Option<u32>,
    ) -> Answer<'a, PartPage> {
        Box::pin(async move {
            self.0.note("parts", u64::from(after.unwrap_or_default()));
            self.0.takes(50).await;
            let store = self.0.store.borrow();
            let parts = store.iter().find(|o| o.key == key).map(Stored::parts).unwrap_or_default();
            let listed = (1..).zip(&parts).map(|(number, (bytes, value))| ListedPart {
                number,
                bytes: *bytes as u64,
                checksums: vec![("crc32c".into(), base64(*value))],
            });
            let parts: Vec<_> = listed.skip(after.unwrap_or(0) as usize).collect();
            let next = (parts.len() > 2).then(|| after.unwrap_or(0) + 2);
            Ok(PartPage { parts: parts.into_iter().take(2).collect(), next })
        })
    }

    fn create<'a>(
        &'a self,
        _bucket: &'a str,
        _key: &'a str,
        _content_type: &'a str,
        _rung: Rung,
    ) -> Answer<'a, String> {
        never()
    }

    fn complete<'a>(
        &'a self,
        _bucket: &'a str,
        _key: &'a str,
        _upload: &'a str,
        _parts: Vec<PartDone>,
        _crc64nvme: Option<String>,
        _only_new: bool,
    ) -> Answer<'a, Completed> {
        never()
    }

    fn abort<'a>(&'a self, _bucket: &'a str, _key: &'a str, _upload: &'a str) -> Answer<'a, ()> {
        never()
    }

    fn delete_batch<'a>(&'a self, _bucket: &'a str, _keys: &'a [String]) -> Answer<'a, Vec<Kept>> {
        never()
    }

    fn delete<'a>(&'a self, _bucket: &'a str, _key: &'a str) -> Answer<'a, ()> {
        never()
    }

    fn reach<'a>(&'a self, _bucket: &'a str) -> Answer<'a, ()> {
        never()
    }
}
