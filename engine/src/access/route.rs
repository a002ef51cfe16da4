//! The order of precedence: whom to talk to and how, for one URI.

use std::fmt;

use super::environment::Environment;
use super::file::Profile;
use crate::config::{Access, without_user};
use crate::error::{Error, ErrorKind, Result};
use crate::uri::{Scheme, Uri};

/// Where a bucket stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// `endpoint/bucket/key`.
    Path,
    /// `bucket.endpoint/key`.
    Virtual,
}

/// Whom to talk to about one URI, before any network call.
#[derive(Clone, PartialEq, Eq)]
pub struct Route {
    /// The endpoint's URL and what set it; `None` is AWS itself.
    pub endpoint: Option<(&'static str, String)>,
    /// The addressing to use where the endpoint allows it.
    pub addressing: Addressing,
    /// The region, if the flag, the entry, the environment or the kind of
    /// store names one.
    pub region: Option<String>,
    /// Which endpoint of AWS, if it is AWS itself.
    pub dual_stack: bool,
    /// The same, for its FIPS endpoints.
    pub fips: bool,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.endpoint.as_ref().map(|(source, url)| (*source, without_user(url)));
        f.debug_struct("Route")
            .field("endpoint", &url)
            .field("addressing", &self.addressing)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl Route {
    /// Applies the order of precedence. The environment speaks of s3 alone:
    /// its endpoint and region are not those of another kind of store, whose
    /// own are known from the URI.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a word that is no addressing style or no
    /// boolean, and where no region is known; [`ErrorKind::Unsupported`] for
    /// azure.
    pub fn of(
        access: &Access,
        environment: &Environment,
        profile: Option<&Profile>,
        uri: &Uri,
    ) -> Result<Self> {
        let kind = Kind::of(uri)?;
        let override_url = profile.and_then(|p| p.override_url.clone()).filter(|u| !u.is_empty());
        let ambient = environment.endpoint_url.clone().filter(|_| uri.scheme() == Scheme::S3);
        let endpoint = access
            .endpoint_url
            .clone()
            .map(|url| ("--endpoint-url", url))
            .or_else(|| override_url.map(|url| (OVERRIDE, url)))
            .or(ambient)
            .or_else(|| kind.url.map(|url| ("the URI", url)));
        let region = access
            .region
            .clone()
            .or_else(|| profile.and_then(|p| p.region.clone()))
            .filter(|region| !region.is_empty())
            .or_else(|| environment.region.clone().filter(|_| uri.scheme() == Scheme::S3))
            .or(kind.region);
        if region.is_none() && uri.scheme() == Scheme::Tos {
            return Err(no_region(uri));
        }
        Ok(Self {
            addressing: addressing(environment, profile, uri, endpoint.as_ref())?,
            endpoint,
            region,
            dual_stack: boolean("AWS_USE_DUALSTACK_ENDPOINT", environment.dual_stack.as_deref())?
                .unwrap_or_default(),
            fips: boolean("AWS_USE_FIPS_ENDPOINT", environment.fips.as_deref())?
                .unwrap_or_default(),
        })
    }
}

const OVERRIDE: &str = "override_url";

/// What the URI alone tells.
struct Kind {
    url: Option<String>,
    region: Option<String>,
}

impl Kind {
    fn of(uri: &Uri) -> Result<Self> {
        let authority = uri.authority().unwrap_or_default();
        let host = authority.split('/').next().unwrap_or_default();
        Ok(match uri.scheme() {
            Scheme::S3 => Self { url: None, region: None },
            Scheme::Gs => Self {
                url: Some("https://storage.googleapis.com".to_owned()),
                region: Some("us-east1".to_owned()),
            },
            Scheme::Tos => Self {
                url: Some(format!("https://{host}")),
                region: tos_region(host).map(str::to_owned),
            },
            Scheme::Swift => {
                Self { url: Some(format!("https://{host}")), region: Some("us-east-1".to_owned()) }
            }
            Scheme::Azure => return Err(unsupported(uri)),
        })
    }
}

/// `tos-s3-<region>.…`, or `tos-<region>.…`.
fn tos_region(host: &str) -> Option<&str> {
    let name = host.split('.').next()?;
    let region = name.strip_prefix("tos-s3-").or_else(|| name.strip_prefix("tos-"))?;
    (!region.is_empty()).then_some(region)
}

fn unsupported(uri: &Uri) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "cannot reach {uri}: stores of kind {} do not speak the S3 protocol, the only one \
             here; copy the data to one that does",
            uri.scheme().name()
        ),
    )
}

fn no_region(uri: &Uri) -> Error {
    Error::new(
        ErrorKind::Config,
        format!(
            "the region of {uri} is not known from its host, which is not of the form \
             tos-s3-<region>.…: add region to the credential file's entry for {}",
            uri.profile()
        ),
    )
}

fn addressing(
    environment: &Environment,
    profile: Option<&Profile>,
    uri: &Uri,
    endpoint: Option<&(&'static str, String)>,
) -> Result<Addressing> {
    let asked = asked_addressing(environment, profile, uri)?;
    if uri.scheme() == Scheme::Tos {
        return match asked {
            Asked::Fixed(Addressing::Path) if profile_style(profile).is_some() => Err(Error::new(
                ErrorKind::Config,
                format!(
                    "the credential file's addressing_style for {} is `path`, but these stores \
                     know only virtual hosts: remove it, or set it to virtual",
                    uri.profile()
                ),
            )),
            _ => Ok(Addressing::Virtual),
        };
    }
    let automatic = if endpoint.is_some() { Addressing::Path } else { Addressing::Virtual };
    Ok(match asked {
        Asked::Fixed(addressing) => addressing,
        Asked::Auto => automatic,
        Asked::Nothing if uri.scheme() == Scheme::S3 && matches!(endpoint, Some((OVERRIDE, _))) => {
            Addressing::Virtual
        }
        Asked::Nothing => automatic,
    })
}

enum Asked {
    Fixed(Addressing),
    Auto,
    Nothing,
}

fn profile_style(profile: Option<&Profile>) -> Option<&str> {
    profile.and_then(|p| p.addressing_style.as_deref())
}

fn asked_addressing(
    environment: &Environment,
    profile: Option<&Profile>,
    uri: &Uri,
) -> Result<Asked> {
    if let Some(style) = profile_style(profile) {
        let source = format!("the credential file's addressing_style for {}", uri.profile());
        return style_of(&source, style);
    }
    if let Some(style) = &environment.addressing_style {
        return style_of("OSMO_S3_ADDRESSING_STYLE", style);
    }
    match boolean("AWS_S3_FORCE_PATH_STYLE", environment.force_path_style.as_deref())? {
        Some(true) => Ok(Asked::Fixed(Addressing::Path)),
        Some(false) | None => Ok(Asked::Nothing),
    }
}

fn boolean(name: &str, word: Option<&str>) -> Result<Option<bool>> {
    match word.map(str::to_ascii_lowercase).as_deref() {
        None => Ok(None),
        Some("true" | "1" | "yes") => Ok(Some(true)),
        Some("false" | "0" | "no") => Ok(Some(false)),
        Some(word) => Err(Error::new(
            ErrorKind::Config,
            format!("{name} is `{word}`: set it to true or false"),
        )),
    }
}

fn style_of(source: &str, style: &str) -> Result<Asked> {
    match style {
        "path" => Ok(Asked::Fixed(Addressing::Path)),
        "virtual" => Ok(Asked::Fixed(Addressing::Virtual)),
        "auto" => Ok(Asked::Auto),
        word => Err(Error::new(
            ErrorKind::Config,
            format!("{source} is `{word}`: set it to path, virtual or auto"),
        )),
    }
}
