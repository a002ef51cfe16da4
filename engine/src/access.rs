//! Where credentials, endpoints and addressing come from.
//!
//! It is: OSMO's credential file, the environment (read once), and the order
//! of precedence between them. It is not: the AWS credential chain or any
//! network call; `s3::open` adds those.
//!
//! ```text
//! endpoint    --endpoint-url > override_url > AWS_ENDPOINT_URL_S3 > AWS_ENDPOINT_URL > AWS
//! addressing  addressing_style > OSMO_S3_ADDRESSING_STYLE > AWS_S3_FORCE_PATH_STYLE
//!             > virtual with override_url > path with another endpoint > virtual
//! region      region > AWS_REGION > AWS_DEFAULT_REGION > the AWS profile's > us-east-1
//! file        --config-file > $OSMO_CONFIG_FILE_DIR > $XDG_CONFIG_HOME/osmo > ~/.config/osmo
//! ```
//!
//! Invariant: a secret appears in no error and in no `Debug` output.

mod environment;
mod file;
mod proxies;
mod route;
mod secret;

pub use environment::Environment;
pub use file::{CredentialFile, Profile};
pub use proxies::ProxyVariables;
pub use route::{Addressing, Route};
pub use secret::Secret;
