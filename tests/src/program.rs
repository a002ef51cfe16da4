//! The programs under test, started under their own names.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

use osmo_controller::run::access::StoreAccess;

/// The integration test passes `env!("CARGO_BIN_EXE_osmo-under-test")`.
#[derive(Clone, Copy, Debug)]
pub struct Programs(pub &'static str);

impl Programs {
    /// `name` is the program (`osmo`, `osmo-ctrl`, …). The environment is what
    /// a test states, not what the machine happens to have.
    pub fn command<I>(&self, name: &str, args: I) -> Command
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let mut command = Command::new(self.0);
        command
            .arg0(name)
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command
    }

    /// `osmo data …` against `store`, with `driver`.
    pub fn data(&self, store: &StoreAccess, driver: &str, args: &[&OsStr]) -> Command {
        let mut command = self.command("osmo", ["data"]);
        command
            .args(args)
            .args(["--endpoint-url", &store.endpoint, "--io", driver, "--quiet"])
            .env("AWS_ACCESS_KEY_ID", &store.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &store.secret_key)
            .env("AWS_REGION", "us-east-1");
        command
    }
}
