//! From a URI and access rules to something that can be asked.

use std::rc::Rc;
use std::sync::Arc;

use aws_credential_types::Credentials;

use super::Contact;
use super::aws::{self, Variant};
use super::checksum::{self, Checks};
use super::control::Control;
use super::credentials::ambient::{self, Ambient};
use super::credentials::{Cadence, CredentialsSnapshot};
use super::endpoint::Endpoint;
use super::sdk::SdkControl;
use crate::access::{CredentialFile, Environment, Route};
use crate::config::Access;
use crate::error::Result;
use crate::job::StoreOptions;
use crate::net::{Network, Patience, Wire};
use crate::uri::{Scheme, Uri};

const REGION_DEFAULT: &str = "us-east-1";

/// A store that can be asked; the contact goes to the shards.
#[derive(Clone)]
pub struct Opened {
    /// How shards reach it.
    pub contact: Contact,
    /// Everything but object bytes.
    pub control: Rc<dyn Control>,
}

/// Opens the store of `uri` for object bytes and control. Runs on the control
/// thread; asks the network only for ambient credentials, and AWS for the
/// bucket's region where nothing names it.
///
/// # Errors
/// [`crate::ErrorKind::Config`] for a malformed file, URL or setting,
/// [`crate::ErrorKind::Denied`] without credentials,
/// [`crate::ErrorKind::Unsupported`] for azure.
pub async fn open(
    access: &Access,
    uri: &Uri,
    options: &StoreOptions,
    patience: &Patience,
) -> Result<Opened> {
    open_in(access, Environment::get(), uri, options, patience).await
}

/// [`open`] in a given environment.
///
/// # Errors
/// As [`open`].
pub async fn open_in(
    access: &Access,
    environment: &Environment,
    uri: &Uri,
    options: &StoreOptions,
    patience: &Patience,
) -> Result<Opened> {
    options.check()?;
    Plan::of(access, environment, uri)?.open(access, options, patience).await
}

/// What can be known without asking anybody.
struct Plan<'a> {
    uri: &'a Uri,
    route: Route,
    keys: Option<Credentials>,
}

impl<'a> Plan<'a> {
    fn of(access: &Access, environment: &Environment, uri: &'a Uri) -> Result<Self> {
        let file = CredentialFile::load(access, environment)?;
        let entry = file.profile(uri.profile());
        let route = Route::of(access, environment, entry, uri)?;
        let keys = match entry {
            Some(entry) => entry.keys(uri.profile())?.map(|(id, secret)| {
                Credentials::new(id, secret.reveal(), None, None, "credential file")
            }),
            None => None,
        };
        let plan = Self { uri, route, keys };
        // Refused before anybody is asked for credentials.
        plan.at(REGION_DEFAULT)?;
        Ok(plan)
    }

    /// The endpoint in `region`.
    fn at(&self, region: &str) -> Result<Endpoint> {
        let Route { endpoint, addressing, dual_stack, fips, .. } = &self.route;
        let variant = Variant { dual_stack: *dual_stack, fips: *fips };
        let url = match endpoint {
            Some((_, url)) => url.clone(),
            None => aws::url(region, variant),
        };
        Ok(Endpoint::new(&url, region, *addressing)?.of(self.uri))
    }

    async fn open(
        &self,
        access: &Access,
        options: &StoreOptions,
        patience: &Patience,
    ) -> Result<Opened> {
        let network = Network::open(access)?;
        // Missing roots are told before anybody is asked for credentials.
        if self.at(REGION_DEFAULT)?.wire() == Wire::Tls {
            network.tls.client_config()?;
        }
        let mut named = self.route.region.clone();
        if named.is_none() && self.uri.scheme() == Scheme::S3 {
            named = ambient::profile_region(&network, *patience).await;
        }
        let region = named.as_deref().unwrap_or(REGION_DEFAULT);
        let endpoint = self.at(region)?;
        let mut contact = Contact {
            checks: checks(access, &self.route, endpoint.url()),
            endpoint: Arc::new(endpoint),
            credentials: self.credentials(access, &network, *patience, region).await?,
            network,
            options: Arc::new(options.clone()),
        };
        let mut control = SdkControl::new(&contact, self.uri.bucket(), *patience);
        if named.is_none()
            && self.route.endpoint.is_none()
            && let Some(found) = control.region().await
            && found != contact.endpoint.region()
        {
            contact.endpoint = Arc::new(self.at(&found)?);
            control = SdkControl::new(&contact, self.uri.bucket(), *patience);
        }
        if self.uri.scheme() == Scheme::Gs {
            control = control.one_delete_each();
        }
        let (endpoint, signer) = (&contact.endpoint, &contact.credentials);
        let (url, region) = (endpoint.url(), endpoint.region());
        tracing::debug!(uri = %self.uri, url, region, ?signer, "opened the store");
        Ok(Opened { contact, control: Rc::new(control) })
    }

    async fn credentials(
        &self,
        access: &Access,
        network: &Network,
        patience: Patience,
        region: &str,
    ) -> Result<CredentialsSnapshot> {
        if access.anonymous {
            return Ok(CredentialsSnapshot::anonymous());
        }
        if let Some(keys) = &self.keys {
            return Ok(CredentialsSnapshot::of(keys.clone()));
        }
        let profile = self.uri.profile();
        if self.uri.scheme() != Scheme::S3 {
            return Err(ambient::no_entry(profile));
        }
        let source = Arc::new(Ambient::new(network.clone(), patience, region));
        let first = Cadence::DEFAULT.ask(&*source).await;
        let first = first.map_err(|fault| ambient::missing(profile, &fault))?;
        Ok(CredentialsSnapshot::renewed_by(source, first))
    }
}

/// What is known of how the store at `url` checks uploads. Trailers are
/// trusted to AWS itself alone, and over TLS.
fn checks(access: &Access, route: &Route, url: &str) -> Arc<Checks> {
    let trailers = route.endpoint.is_none() && url.starts_with("https://");
    checksum::remembered(url, access.checksum, trailers)
}
