//! Remote URIs: which store, which bucket, which prefix, and under which
//! profile key the credential file lists them.
//!
//! A component is one or more characters other than `/`, `,`, `;` and `*`, so
//! an empty component (`//`) is refused. Nothing is decoded: a `%20` in a URI
//! is three characters of the key.
//!
//! ```text
//! s3://bucket[/path]                          profile s3://bucket
//! gs://bucket[/path]                          profile gs://bucket
//! tos://endpoint/bucket[/path]                profile tos://endpoint/bucket
//! swift://host/namespace/container[/path]     profile swift://host/namespace
//! azure://account/container[/path]            profile azure://account
//! ```

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// The kinds of store that a URI can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Amazon S3, or what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Volcano Engine TOS.
    Tos,
    /// OpenStack Swift.
    Swift,
    /// Azure Blob Storage.
    Azure,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 5] = [Self::S3, Self::Gs, Self::Tos, Self::Swift, Self::Azure];

    /// The scheme as a URI starts with it, without `://`.
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Tos => "tos",
            Self::Swift => "swift",
            Self::Azure => "azure",
        }
    }

    /// Components before the path, the bucket being the last of them.
    fn fixed_components(self) -> usize {
        match self {
            Self::S3 | Self::Gs => 1,
            Self::Tos | Self::Azure => 2,
            Self::Swift => 3,
        }
    }

    /// Components that make the profile key.
    fn profile_components(self) -> usize {
        match self {
            Self::S3 | Self::Gs | Self::Azure => 1,
            Self::Tos | Self::Swift => 2,
        }
    }

    fn shape(self) -> &'static str {
        match self {
            Self::S3 => "s3://bucket[/path]",
            Self::Gs => "gs://bucket[/path]",
            Self::Tos => "tos://endpoint/bucket[/path]",
            Self::Swift => "swift://host/namespace/container[/path]",
            Self::Azure => "azure://account/container[/path]",
        }
    }
}

/// A parsed remote URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Uri {
    scheme: Scheme,
    profile: String,
    /// What stands before the bucket: endpoint, account or host/namespace.
    authority: Option<String>,
    bucket: String,
    prefix: String,
}

impl Uri {
    /// Parses a URI.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for an unknown scheme, a missing or empty
    /// component, or one of the characters `,`, `;` and `*`.
    pub fn parse(text: &str) -> Result<Self> {
        let (scheme, rest) = split_scheme(text)?;
        let (body, folder) = match rest.strip_suffix('/') {
            Some(body) => (body, true),
            None => (rest, false),
        };
        let components: Vec<&str> = body.split('/').collect();
        if let Some(fault) = components.iter().find_map(|c| component_fault(c)) {
            return Err(refuse(text, scheme, fault));
        }
        let fixed = scheme.fixed_components();
        if components.len() < fixed {
            return Err(refuse(text, scheme, "a component is missing"));
        }
        let profile = components[..scheme.profile_components()].join("/");
        let mut prefix = components[fixed..].join("/");
        if folder && !prefix.is_empty() {
            prefix.push('/');
        }
        Ok(Self {
            scheme,
            profile: format!("{}://{profile}", scheme.name()),
            authority: (fixed > 1).then(|| components[..fixed - 1].join("/")),
            bucket: components[fixed - 1].to_owned(),
            prefix,
        })
    }

    /// The kind of store.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The key under which a credential file lists this store.
    pub fn profile(&self) -> &str {
        &self.profile
    }

    /// Endpoint (tos), account (azure) or host and namespace (swift).
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// What stands before the bucket: scheme and authority, with their slashes.
    pub fn store(&self) -> String {
        let scheme = self.scheme.name();
        match &self.authority {
            Some(authority) => format!("{scheme}://{authority}/"),
            None => format!("{scheme}://"),
        }
    }

    /// The bucket or container.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The path as it was written, without the slash before it: empty for the
    /// whole bucket, with a trailing `/` only if the URI had one.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether the path may name one object: it is not empty and does not end
    /// in `/`. Such a prefix is looked up before it is listed.
    pub fn may_be_object(&self) -> bool {
        !self.prefix.is_empty() && !self.prefix.ends_with('/')
    }
}

impl FromStr for Uri {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.store(), self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

fn split_scheme(text: &str) -> Result<(Scheme, &str)> {
    for scheme in Scheme::ALL {
        let rest = text.strip_prefix(scheme.name()).and_then(|r| r.strip_prefix("://"));
        if let Some(rest) = rest {
            return Ok((scheme, rest));
        }
    }
    Err(Error::new(
        ErrorKind::Usage,
        format!(
            "`{text}` is not a storage URI: it must start with s3://, gs://, tos://, swift:// or \
             azure:// (in lower case)"
        ),
    ))
}

fn component_fault(component: &str) -> Option<&'static str> {
    if component.is_empty() {
        return Some("a component between slashes is empty");
    }
    component.contains([',', ';', '*']).then_some("it contains one of the characters , ; *")
}

fn refuse(text: &str, scheme: Scheme, fault: &str) -> Error {
    Error::new(
        ErrorKind::Usage,
        format!("`{text}` is not a storage URI: {fault}; write it as {}", scheme.shape()),
    )
}
