//! The variables that decide about access, read once.

use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::config::without_user;

/// The environment as it was at the first look. An empty variable counts as
/// unset, as in the AWS tools.
#[derive(Clone, Default)]
pub struct Environment {
    /// `AWS_ENDPOINT_URL_S3`, else `AWS_ENDPOINT_URL`; with the name of the
    /// variable that gave it.
    pub endpoint_url: Option<(&'static str, String)>,
    /// `AWS_REGION`, else `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// `AWS_CA_BUNDLE`: PEM certificates to trust instead of the system's.
    pub ca_bundle: Option<PathBuf>,
    /// `OSMO_S3_ADDRESSING_STYLE`.
    pub addressing_style: Option<String>,
    /// `AWS_S3_FORCE_PATH_STYLE`.
    pub force_path_style: Option<String>,
    /// `AWS_USE_DUALSTACK_ENDPOINT`.
    pub dual_stack: Option<String>,
    /// `AWS_USE_FIPS_ENDPOINT`.
    pub fips: Option<String>,
    /// The folder that holds `config.yaml`.
    pub config_dir: Option<PathBuf>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.endpoint_url.as_ref().map(|(name, url)| (*name, without_user(url)));
        f.debug_struct("Environment")
            .field("endpoint_url", &url)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl Environment {
    /// The process's environment; later changes to it are not seen.
    pub fn get() -> &'static Self {
        static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
        ENVIRONMENT.get_or_init(|| Self::from_lookup(|name| std::env::var(name).ok()))
    }

    /// An environment out of `lookup`, which answers a variable's value.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let named = |name: &'static str| get(name).map(|value| (name, value));
        let config_dir = get("OSMO_CONFIG_FILE_DIR")
            .map(PathBuf::from)
            .or_else(|| get("XDG_CONFIG_HOME").map(|dir| PathBuf::from(dir).join("osmo")))
            .or_else(|| get("HOME").map(|home| PathBuf::from(home).join(".config/osmo")));
        Self {
            endpoint_url: named("AWS_ENDPOINT_URL_S3").or_else(|| named("AWS_ENDPOINT_URL")),
            region: get("AWS_REGION").or_else(|| get("AWS_DEFAULT_REGION")),
            ca_bundle: get("AWS_CA_BUNDLE").map(PathBuf::from),
            addressing_style: get("OSMO_S3_ADDRESSING_STYLE"),
            force_path_style: get("AWS_S3_FORCE_PATH_STYLE"),
            dual_stack: get("AWS_USE_DUALSTACK_ENDPOINT"),
            fips: get("AWS_USE_FIPS_ENDPOINT"),
            config_dir,
        }
    }
}
