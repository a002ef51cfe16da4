//! The SDK's client, as a contact wants it.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, IdentityCache, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, StalledStreamProtectionConfig,
};

use super::whole;
use crate::net::Patience;
use crate::s3::Contact;
use crate::s3::client::http_client;

/// For `bucket`, where the endpoint is now; a moved bucket wants another one.
pub(super) fn client(contact: &Contact, bucket: &str, patience: &Patience) -> Client {
    let here = contact.endpoint.here();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(patience.connect)
        .read_timeout(patience.first_byte)
        .operation_attempt_timeout(patience.control)
        .build();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(here.region().to_owned()))
        .endpoint_url(here.url())
        .http_client(http_client(&contact.network, *patience))
        .force_path_style(!here.by_host(bucket))
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .interceptor(whole::Whole)
        .timeout_config(timeouts);
    let config = if contact.credentials.is_anonymous() {
        config.allow_no_auth()
    } else {
        // The snapshot is the one cache: this client's would hand out what a
        // store has refused.
        config
            .identity_cache(IdentityCache::no_cache())
            .credentials_provider(contact.credentials.clone())
    };
    Client::from_conf(config.build())
}
