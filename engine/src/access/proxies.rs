//! The variables that name proxies, read once.

use std::fmt;
use std::sync::OnceLock;

use super::Secret;

/// A variable's name and its value, which may hold a password.
type Named = Option<(&'static str, Secret)>;

/// The proxy variables as they were at the first look; empty ones count as
/// unset. Names and order are curl's: lower case first.
#[derive(Clone, Default)]
pub struct ProxyVariables {
    /// For https endpoints: `https_proxy`, `HTTPS_PROXY`, `all_proxy`,
    /// `ALL_PROXY`.
    pub https: Named,
    /// For http endpoints: `http_proxy`, `all_proxy`, `ALL_PROXY`. Not
    /// `HTTP_PROXY`, which in a CGI program is a field of the client's request
    /// (CVE-2016-5385).
    pub http: Named,
    /// What is reached directly: `no_proxy`, `NO_PROXY`.
    pub bypass: Option<String>,
}

impl ProxyVariables {
    /// The process's variables; later changes to them are not seen.
    pub fn get() -> &'static Self {
        static VARIABLES: OnceLock<ProxyVariables> = OnceLock::new();
        VARIABLES.get_or_init(|| Self::from_lookup(|name| std::env::var(name).ok()))
    }

    /// Variables out of `lookup`, which answers a variable's value.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &'static str| {
            let value = lookup(name).filter(|value| !value.trim().is_empty());
            value.map(|value| (name, Secret::new(value.trim())))
        };
        let first = |names: &[&'static str]| names.iter().find_map(|name| get(name));
        Self {
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            http: first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
            bypass: first(&["no_proxy", "NO_PROXY"]).map(|(_, list)| list.reveal().to_owned()),
        }
    }
}

impl fmt::Debug for ProxyVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |named: &Named| named.as_ref().map(|(name, _)| *name);
        f.debug_struct("ProxyVariables")
            .field("https", &name(&self.https))
            .field("http", &name(&self.http))
            .field("bypass", &self.bypass)
            .finish()
    }
}
