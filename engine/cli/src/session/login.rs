//! Who we are to the service: `login.yaml`, its token and the next one.
//!
//! Before a token ends, and after the service refused it, the file is read
//! again (somebody else may have renewed it), and else the token is renewed
//! where the file says and written back, for this user's eyes only.

mod renew;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use osmo_link::Network;
use osmo_protocol::login::{LOGIN_FILE, Login, local};
use serde_json::Value;

use super::trouble::Trouble;

/// A token that ends within this time counts as ended.
const MARGIN_S: u64 = 10;
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A login file and what it says.
pub(crate) struct Account {
    pub(crate) path: PathBuf,
    pub(crate) login: Login,
    /// All of the file, for what we do not know of it.
    whole: Value,
}

impl Account {
    /// Reads `flag`, or the first file that there is of the usual ones.
    pub(crate) fn find(flag: Option<&Path>) -> Result<Self, Trouble> {
        if let Some(path) = flag {
            return Self::read(path).unwrap_or_else(|| {
                Err(Trouble::Login(format!("{}: no such file", path.display())))
            });
        }
        for path in usual(|name| std::env::var_os(name).map(PathBuf::from)) {
            if let Some(read) = Self::read(&path) {
                return read;
            }
        }
        Err(Trouble::Login(
            "nobody is logged in: there is no login.yaml; log in with OSMO's own command line \
             (osmo login URL), name a file with --login, or start a workflow here with \
             osmo-controller run"
                .into(),
        ))
    }

    /// `None` when there is no such file.
    fn read(path: &Path) -> Option<Result<Self, Trouble>> {
        let fault = |what: String| Trouble::Login(format!("{}: {what}", path.display()));
        let mut text = String::new();
        match std::fs::File::open(path) {
            Ok(file) => match file.take(FILE_BYTES_MAX).read_to_string(&mut text) {
                Ok(_) => Some(Self::parse(path, &text).map_err(fault)),
                Err(error) => Some(Err(fault(error.to_string()))),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => Some(Err(fault(error.to_string()))),
        }
    }

    /// Errors show nothing of the text, which holds secrets.
    fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let whole: Value = serde_saphyr::from_str(text).map_err(|error| {
            let line =
                error.location().map_or(String::new(), |at| format!(" (line {})", at.line()));
            format!("this is not YAML{line}; log in again")
        })?;
        let mut known = whole.clone();
        drop_nulls(&mut known);
        let login: Login = serde_json::from_value(known)
            .map_err(|_| "this is not a login file: expected url, and token_login or dev_login")?;
        if login.url.is_empty() || login.token_login.is_some() == login.dev_login.is_some() {
            return Err("expected url, and either token_login or dev_login; log in again".into());
        }
        Ok(Self { path: path.to_owned(), login, whole })
    }

    /// What every call and dial shows.
    pub(crate) fn headers(&self) -> Result<HeaderMap, Trouble> {
        let bad = || Trouble::Login(format!("{}: log in again", self.path.display()));
        let mut headers = HeaderMap::new();
        let (name, value) = match (&self.login.token_login, &self.login.dev_login) {
            (Some(token), _) => (header::AUTHORIZATION, format!("Bearer {}", token.id_token)),
            (None, Some(dev)) => (HeaderName::from_static("x-osmo-user"), dev.username.clone()),
            (None, None) => return Err(bad()),
        };
        let mut value = HeaderValue::from_str(&value).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.insert(name, value);
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("osmo/", env!("CARGO_PKG_VERSION"))),
        );
        Ok(headers)
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.login.token_login.as_ref().map(|token| token.id_token.as_str())
    }

    /// The token says that it has ended, or is about to.
    pub(crate) fn is_over(&self) -> bool {
        let ends = self.token().and_then(ends_at);
        ends.is_some_and(|ends| ends < now_s() + MARGIN_S)
    }

    /// Reads the file again or renews the token; does nothing for a name.
    pub(crate) async fn renew(&mut self, network: &Network) -> Result<(), Trouble> {
        let Some(token) = self.login.token_login.clone() else { return Ok(()) };
        if let Some(Ok(read)) = Self::read(&self.path)
            && read.token().is_some_and(|read| read != token.id_token)
        {
            *self = read;
            if !self.is_over() {
                return Ok(());
            }
        }
        let token = self.login.token_login.clone().unwrap_or(token);
        if token.refresh_url.is_empty() || token.refresh_token.is_empty() {
            return Err(Trouble::Login(format!(
                "the login of {} has ended and cannot be renewed; log in again",
                self.path.display()
            )));
        }
        let answer = self.ask_for_token(network, &token).await?;
        self.take(&answer)?;
        self.save();
        Ok(())
    }

    /// A file that cannot be written costs a renewal each time, no more.
    fn save(&self) {
        let Ok(text) = serde_saphyr::to_string(&self.whole) else { return };
        let beside = self.path.with_extension(format!("yaml.{}", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let written = options.open(&beside).and_then(|mut file| file.write_all(text.as_bytes()));
        if written.and_then(|()| std::fs::rename(&beside, &self.path)).is_err() {
            let _ = std::fs::remove_file(&beside);
        }
    }
}

/// The files to look for, in order.
fn usual(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let get = |name| variable(name).filter(|value| !value.as_os_str().is_empty());
    let home = |below: &str| get("HOME").map(|home| home.join(below));
    let state = get("XDG_STATE_HOME").map(|state| state.join("osmo"));
    let folders = [
        get("OSMO_CONFIG_FILE_DIR"),
        get("XDG_CONFIG_HOME").map(|dir| dir.join("osmo")),
        home(".config/osmo"),
    ];
    let mut files: Vec<_> = folders.into_iter().flatten().map(|dir| dir.join(LOGIN_FILE)).collect();
    files.extend(state.or_else(|| home(".local/state/osmo")).map(|state| local(&state)));
    files
}

/// OSMO's own program writes what it does not have as null.
fn drop_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null());
        map.values_mut().for_each(drop_nulls);
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The second at which a JWT ends, where it says so.
fn ends_at(token: &str) -> Option<u64> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let ends = claims.get("exp")?.as_f64()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    Some(ends as u64)
}

#[cfg(test)]
#[path = "login/tests.rs"]
mod tests;
