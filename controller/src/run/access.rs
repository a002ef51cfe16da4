//! Credentials that a run makes for the embedded store, in the schema of
//! OSMO's `config.yaml`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// The bucket that stands for the service's own storage: what tasks leave for
/// later tasks.
pub const TASK_BUCKET: &str = "osmo-tasks";

/// One endpoint and the only key it knows.
#[derive(Clone)]
pub struct StoreAccess {
    /// `http://127.0.0.1:PORT`
    pub endpoint: String,
    /// The access key's id.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
}

impl StoreAccess {
    /// A `config.yaml` that sends each of `buckets` to this endpoint. JSON is
    /// YAML, and quotes itself.
    pub fn config_yaml<'a>(&self, buckets: impl IntoIterator<Item = &'a str>) -> String {
        let entries: Map<String, Value> = buckets
            .into_iter()
            .map(|bucket| {
                let profile = format!("s3://{bucket}");
                let entry = json!({
                    "access_key_id": self.access_key,
                    "access_key": self.secret_key,
                    "endpoint": profile,
                    "region": "us-east-1",
                    "override_url": self.endpoint,
                    "addressing_style": "path",
                });
                (profile, entry)
            })
            .collect();
        json!({ "auth": { "data": entries } }).to_string()
    }
}

/// The buckets of `s3://` URLs.
pub fn buckets<'a>(urls: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    urls.into_iter()
        .filter_map(|url| url.strip_prefix("s3://"))
        .filter_map(|rest| rest.split('/').next())
        .filter(|bucket| !bucket.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_told_once() {
        let urls = ["s3://a/x", "s3://b", "s3://a/y/", "gs://c/z", "s3:///"];
        assert_eq!(buckets(urls).into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
