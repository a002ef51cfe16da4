//! What the journal says of an object, and what it is told.

use std::sync::Arc;

use rustix::fs::AtFlags;

use crate::digest::Expected;
use crate::disk::journal::{Journal, Name, Standing, name_of};
use crate::disk::{c_path, look};
use crate::download::landing::{Held, Landing};
use crate::download::verify::ObjectCheck;
use crate::download::{Downloads, resume};
use crate::error::Result;
use crate::object::Object;
use crate::part::Cut;
use crate::path::base_name;
use crate::ring::Fd;

impl Downloads {
    /// The journal, and the object's name in it. An object without an entity tag
    /// has none: nothing would tell its versions apart.
    pub(super) fn recorded(&self, object: &Object) -> Option<(&Arc<Journal>, Name)> {
        let journal = self.journal.as_ref()?;
        let etag = object.etag.as_deref()?;
        let fields: [&[u8]; 4] = [
            object.key.as_bytes(),
            object.path.as_bytes(),
            etag.as_bytes(),
            &object.bytes.to_le_bytes(),
        ];
        Some((journal, name_of(&fields)))
    }

    /// Whether an earlier run of the job has published the object in `folder`,
    /// and nobody has touched it since.
    pub(super) async fn is_done(&self, folder: &Fd, object: &Object) -> Result<bool> {
        let Some(journal) = self.journal.as_ref().filter(|journal| journal.knows_any()) else {
            return Ok(false);
        };
        let Some((_, name)) = self.recorded(object) else { return Ok(false) };
        let file = c_path(base_name(&object.path))?;
        let Ok(stat) = rustix::fs::statat(&**folder, &file, AtFlags::SYMLINK_NOFOLLOW) else {
            return Ok(false);
        };
        let look = look(&stat);
        match journal.is_done(&name, &look) {
            None => Ok(false),
            Some(Standing::Sure) => Ok(true),
            Some(Standing::Doubted) => {
                let holds = resume::holds(&self.site.ring, folder, object).await?;
                if holds {
                    journal.done(name, look);
                }
                Ok(holds)
            }
        }
    }

    /// Where the object lands. One of several parts goes on with what an earlier
    /// run has left of it, which `check` takes into account.
    pub(super) async fn land(
        &self,
        object: &Object,
        (cut, expected): (Cut, Expected),
        check: &mut ObjectCheck,
    ) -> Result<(Landing, Held)> {
        let ring = &self.site.ring;
        match self.recorded(object) {
            Some((journal, name)) if cut.parts() > 1 => {
                let known = (journal, name);
                Landing::resumable(ring, &self.names, known, (cut, expected), check).await
            }
            _ => Ok((Landing::fresh(ring, &self.names, object.bytes).await?, Held::default())),
        }
    }
}
