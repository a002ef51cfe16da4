//! The order of precedence: whom to talk to and how, for one URI.

use super::environment::Environment;
use super::file::Profile;
use crate::config::Access;
use crate::error::{Error, ErrorKind, Result};
use crate::uri::Uri;

/// Where a bucket stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// `endpoint/bucket/key`.
    Path,
    /// `bucket.endpoint/key`.
    Virtual,
}

/// Whom to talk to about one URI, before any network call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The endpoint's URL and what set it; `None` is AWS itself.
    pub endpoint: Option<(&'static str, String)>,
    /// The addressing to use where the endpoint allows it.
    pub addressing: Addressing,
    /// The region, if the entry or the environment names one.
    pub region: Option<String>,
}

impl Route {
    /// Applies the order of precedence.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a word that is no addressing style or no
    /// boolean.
    pub fn of(
        access: &Access,
        environment: &Environment,
        profile: Option<&Profile>,
        uri: &Uri,
    ) -> Result<Self> {
        let override_url = profile.and_then(|p| p.override_url.clone()).filter(|u| !u.is_empty());
        let endpoint = access
            .endpoint_url
            .clone()
            .map(|url| ("--endpoint-url", url))
            .or_else(|| override_url.map(|url| (OVERRIDE, url)))
            .or_else(|| environment.endpoint_url.clone());
        let automatic = if endpoint.is_some() { Addressing::Path } else { Addressing::Virtual };
        let addressing = match asked_addressing(environment, profile, uri)? {
            Asked::Fixed(addressing) => addressing,
            Asked::Auto => automatic,
            Asked::Nothing if matches!(endpoint, Some((OVERRIDE, _))) => Addressing::Virtual,
            Asked::Nothing => automatic,
        };
        let region = profile
            .and_then(|p| p.region.clone())
            .filter(|region| !region.is_empty())
            .or_else(|| environment.region.clone());
        Ok(Self { endpoint, addressing, region })
    }
}

const OVERRIDE: &str = "override_url";

enum Asked {
    Fixed(Addressing),
    Auto,
    Nothing,
}

fn asked_addressing(
    environment: &Environment,
    profile: Option<&Profile>,
    uri: &Uri,
) -> Result<Asked> {
    if let Some(style) = profile.and_then(|p| p.addressing_style.as_deref()) {
        let source = format!("the credential file's addressing_style for {}", uri.profile());
        return style_of(&source, style);
    }
    if let Some(style) = &environment.addressing_style {
        return style_of("OSMO_S3_ADDRESSING_STYLE", style);
    }
    match environment.force_path_style.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None => Ok(Asked::Nothing),
        Some("true" | "1" | "yes") => Ok(Asked::Fixed(Addressing::Path)),
        Some("false" | "0" | "no") => Ok(Asked::Nothing),
        Some(word) => Err(Error::new(
            ErrorKind::Config,
            format!("AWS_S3_FORCE_PATH_STYLE is `{word}`: set it to true or false"),
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
