//! How a process reaches the world: names, proxies, trust. Made once on the
//! control thread, shared by shards and the SDK.

use crate::access::ProxyVariables;
use crate::config::Access;
use crate::error::Result;
use crate::net::connect::Shunned;
use crate::net::names::Names;
use crate::net::proxy::Proxies;
use crate::net::tls::Tls;

/// Names, proxies and trust. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Names to addresses.
    pub names: Names,
    /// What stands between here and an endpoint.
    pub proxies: Proxies,
    /// Addresses that took no connection lately.
    pub shunned: Shunned,
    /// Which certificates are trusted.
    pub tls: Tls,
}

impl Network {
    /// What `access` and the environment ask for.
    ///
    /// # Errors
    /// `Config` for certificates or settings that cannot be read.
    pub fn open(access: &Access) -> Result<Self> {
        Ok(Self::through(Tls::open(access)?))
    }

    /// The environment's proxies, and peers as `tls` trusts them.
    pub fn through(tls: Tls) -> Self {
        let proxies = Proxies::of(ProxyVariables::get());
        Self { tls, proxies, ..Self::default() }
    }
}
