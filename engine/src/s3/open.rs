//! From a URI and access rules to something that can be asked.

use std::rc::Rc;
use std::sync::Arc;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::config::Region;

use super::Contact;
use super::control::Control;
use super::credentials::CredentialsSnapshot;
use super::endpoint::{self, Endpoint};
use super::sdk::SdkControl;
use crate::access::{Addressing, CredentialFile, Environment, Route};
use crate::config::Access;
use crate::error::{Error, ErrorKind, Result};
use crate::job::StoreOptions;
use crate::net::{Network, Patience};
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
/// thread; asks the network only for ambient credentials.
///
/// # Errors
/// [`ErrorKind::Config`] for a malformed file, URL or setting,
/// [`ErrorKind::Denied`] without credentials, [`ErrorKind::Unsupported`] for
/// another scheme than s3 and for an https endpoint.
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
    let plan = Plan::of(access, environment, uri)?;
    let url = match &plan.route.endpoint {
        Some((_, url)) => url.clone(),
        None => "https://s3.amazonaws.com".to_owned(),
    };
    // Refused before anybody is asked for credentials.
    Endpoint::new(&url, REGION_DEFAULT, plan.route.addressing)?;
    let asked = plan.ask().await?;
    Ok(Opened {
        contact: Contact {
            endpoint: Arc::new(Endpoint::new(&url, &asked.region, plan.route.addressing)?),
            credentials: asked.credentials.clone(),
            network: Network::open(access)?,
            options: Arc::new(options.clone()),
        },
        control: Rc::new(asked.control(&plan.route, patience)),
    })
}

/// Opens the store of `uri` for control only, which may use https.
///
/// # Errors
/// As [`open`], https excepted.
pub async fn open_control(
    access: &Access,
    uri: &Uri,
    _options: &StoreOptions,
    patience: &Patience,
) -> Result<Rc<dyn Control>> {
    let plan = Plan::of(access, Environment::get(), uri)?;
    if let Some((_, url)) = &plan.route.endpoint {
        endpoint::check(url)?;
    }
    let asked = plan.ask().await?;
    Ok(Rc::new(asked.control(&plan.route, patience)))
}

/// What can be known without asking anybody.
struct Plan {
    route: Route,
    keys: Option<Credentials>,
    profile: String,
}

impl Plan {
    fn of(access: &Access, environment: &Environment, uri: &Uri) -> Result<Self> {
        if uri.scheme() != Scheme::S3 {
            return Err(unsupported(uri));
        }
        let file = CredentialFile::load(access, environment)?;
        let entry = file.profile(uri.profile());
        let route = Route::of(access, environment, entry, uri)?;
        let keys = match entry {
            Some(entry) => entry.keys(uri.profile())?.map(|(id, secret)| {
                Credentials::new(id, secret.reveal(), None, None, "credential file")
            }),
            None => None,
        };
        Ok(Self { route, keys, profile: uri.profile().to_owned() })
    }

    async fn ask(&self) -> Result<Asked> {
        let region = match &self.route.region {
            Some(region) => region.clone(),
            None => profile_region().await,
        };
        if let Some(keys) = &self.keys {
            return Ok(Asked {
                region,
                provider: SharedCredentialsProvider::new(keys.clone()),
                credentials: CredentialsSnapshot::of(keys.clone()),
            });
        }
        let chain =
            DefaultCredentialsChain::builder().region(Region::new(region.clone())).build().await;
        let provider = SharedCredentialsProvider::new(chain);
        let first = provider
            .provide_credentials()
            .await
            .map_err(|fault| no_credentials(&self.profile, fault))?;
        let credentials = CredentialsSnapshot::renewed_by(provider.clone(), first);
        Ok(Asked { region, provider, credentials })
    }
}

/// What the plan lacked.
struct Asked {
    region: String,
    provider: SharedCredentialsProvider,
    credentials: CredentialsSnapshot,
}

impl Asked {
    fn control(&self, route: &Route, patience: &Patience) -> SdkControl {
        let url = route.endpoint.as_ref().map(|(_, url)| url.as_str());
        let by_path = route.addressing == Addressing::Path;
        SdkControl::new(url, &self.region, by_path, self.provider.clone(), patience)
    }
}

async fn profile_region() -> String {
    let region = ProfileFileRegionProvider::new().region().await;
    region.map_or_else(|| REGION_DEFAULT.to_owned(), |region| region.to_string())
}

fn no_credentials(profile: &str, fault: CredentialsError) -> Error {
    Error::new(
        ErrorKind::Denied,
        format!(
            "there are no credentials for {profile}: add them under auth: data: in the credential \
             file (config.yaml), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ),
    )
    .in_class(crate::error::RetryClass::Fatal)
    .because(fault)
}

fn unsupported(uri: &Uri) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "cannot reach {uri}: this version moves data to and from s3:// only; where the store \
             also speaks the S3 protocol, use its s3:// name and override_url"
        ),
    )
}
