//! `login.yaml`: where the service is and how to be somebody there.
//!
//! ```yaml
//! url: https://osmo.example.com
//! token_login: {id_token: …, refresh_token: …, refresh_url: …}
//! ---
//! url: http://localhost:8000
//! dev_login: {username: alice}
//! ```
//!
//! `osmo-controller run` writes one for its local service while it lives.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file's content; other keys are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Login {
    /// The service.
    pub url: String,
    /// With a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_login: Option<TokenLogin>,
    /// By name alone: a developer's service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev_login: Option<DevLogin>,
}

/// A token, and how to get the next.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenLogin {
    /// What calls show.
    pub id_token: String,
    /// What the next is asked with; empty for none.
    pub refresh_token: String,
    /// Where the next is asked for; empty for nowhere.
    pub refresh_url: String,
}

impl std::fmt::Debug for TokenLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenLogin").finish_non_exhaustive()
    }
}

/// A name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DevLogin {
    /// The name.
    pub username: String,
}

/// The file's name.
pub const LOGIN_FILE: &str = "login.yaml";

/// Where a local service leaves it, below its state folder
/// (`$XDG_STATE_HOME/osmo` or `~/.local/state/osmo`).
pub fn local(state: &Path) -> PathBuf {
    state.join("service").join(LOGIN_FILE)
}
