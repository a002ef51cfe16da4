//! OSMO's credential file: `config.yaml`, `user_config.yaml` and
//! `service_config.yaml` have this one schema.
//!
//! ```yaml
//! auth:
//!   data:
//!     s3://my-bucket: {access_key_id: AK, access_key: SK, region: us-east-1}
//! ```

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::Secret;
use super::environment::Environment;
use crate::config::{Access, without_user};
use crate::error::{Error, ErrorKind, Result};

/// More than this is not a credential file: a thousand entries fit.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The credential file's content. Sections other than `auth.data` belong to
/// other tools and are skipped.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CredentialFile {
    auth: Option<Auth>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Auth {
    data: Option<HashMap<String, Profile>>,
}

/// One store's entry.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// The access key's name.
    pub access_key_id: Option<String>,
    /// The secret that goes with it.
    pub access_key: Option<Secret>,
    /// The store's own URI, as the service writes it.
    pub endpoint: Option<String>,
    /// The store's region.
    pub region: Option<String>,
    /// The URL to talk to in place of the provider's own.
    pub override_url: Option<String>,
    /// `path`, `virtual` or `auto`.
    pub addressing_style: Option<String>,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("access_key_id", &self.access_key_id)
            .field("endpoint", &self.endpoint.as_deref().map(without_user))
            .field("region", &self.region)
            .field("override_url", &self.override_url.as_deref().map(without_user))
            .finish_non_exhaustive()
    }
}

impl CredentialFile {
    /// Parses the text of a file; `name` is what errors call it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with the line; never with any of the text, which
    /// may hold secrets.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_saphyr::from_str::<Option<Self>>(text).map(Option::unwrap_or_default).map_err(
            |fault| {
                let place = fault.location().map_or(String::new(), |at| {
                    format!(", line {}, column {}", at.line(), at.column())
                });
                Error::new(
                    ErrorKind::Config,
                    format!(
                        "{name}{place}: this is not a credential file; write each store as \
                         `auth: data: s3://bucket: {{access_key_id: …, access_key: …}}` in YAML, \
                         indented with spaces"
                    ),
                )
            },
        )
    }

    /// Loads the file that `access` names, else `config.yaml` of the
    /// configuration folder, which need not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when it cannot be read or parsed.
    pub fn load(access: &Access, environment: &Environment) -> Result<Self> {
        let (path, required) = match (&access.config_file, &environment.config_dir) {
            (Some(path), _) => (path.clone(), true),
            (None, Some(dir)) => (dir.join("config.yaml"), false),
            (None, None) => return Ok(Self::default()),
        };
        match read_bounded(&path) {
            Ok(text) => Self::parse(&path.display().to_string(), &text),
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound && !required => {
                Ok(Self::default())
            }
            Err(fault) => Err(Error::new(
                ErrorKind::Config,
                format!(
                    "cannot read the credential file {}: check its path and its permissions",
                    path.display()
                ),
            )
            .because(fault)),
        }
    }

    /// The entry of a store.
    pub fn profile(&self, key: &str) -> Option<&Profile> {
        self.auth.as_ref()?.data.as_ref()?.get(key)
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

impl Profile {
    /// The key pair, `None` when the entry has neither half.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when one half is missing.
    pub fn keys(&self, key: &str) -> Result<Option<(&str, &Secret)>> {
        let id = self.access_key_id.as_deref().filter(|id| !id.is_empty());
        let secret = self.access_key.as_ref().filter(|secret| !secret.reveal().is_empty());
        let missing = match (id, secret) {
            (None, None) => return Ok(None),
            (Some(id), Some(secret)) => return Ok(Some((id, secret))),
            (None, Some(_)) => "access_key_id",
            (Some(_), None) => "access_key",
        };
        Err(Error::new(
            ErrorKind::Config,
            format!("the credential file's entry for {key} has no {missing}: add it"),
        ))
    }
}
