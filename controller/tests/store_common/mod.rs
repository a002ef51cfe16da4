//! What the store's tests share: a server in a folder of its own, and the AWS
//! SDK's client, which comes from elsewhere but for how it connects.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use std::path::Path;

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use osmo_controller::store::{StoreConfig, StoreServer};
use osmo_engine::net::{Network, Patience};
use osmo_engine::s3::client::http_client;
use tempfile::TempDir;

pub(crate) const ACCESS_KEY: &str = "test-access";
pub(crate) const SECRET_KEY: &str = "test-secret";

pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) server: StoreServer,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let server = start(folder.path()).await;
        Self { folder, server }
    }

    pub(crate) async fn restart(self) -> Self {
        self.server.stop().await;
        let server = start(self.folder.path()).await;
        Self { folder: self.folder, server }
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }

    pub(crate) fn client(&self) -> Client {
        self.client_with(ACCESS_KEY, SECRET_KEY)
    }

    pub(crate) fn client_with(&self, access_key: &str, secret_key: &str) -> Client {
        let credentials = Credentials::new(access_key, secret_key, None, None, "test");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(self.server.endpoint())
            .credentials_provider(credentials)
            .force_path_style(true)
            .http_client(http_client(&Network::default(), Patience::DEFAULT))
            .build();
        Client::from_conf(config)
    }
}

async fn start(root: &Path) -> StoreServer {
    StoreServer::start(StoreConfig::new(root, ACCESS_KEY, SECRET_KEY)).await.unwrap()
}

/// The S3 error code of a refusal.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    error.code().unwrap_or("none").to_owned()
}

/// The HTTP status of a refusal.
pub(crate) fn status<E>(error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>) -> u16 {
    error.raw_response().map_or(0, |response| response.status().as_u16())
}
