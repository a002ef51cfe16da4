//! `osmo data …`: from flags to a job, from its end to an exit code.

mod check;
mod delete;
mod list;
mod rehearsal;
mod transfer;

use osmo_engine::config::{Access, ChecksumChoice};
use osmo_engine::{Engine, EngineConfig, Error};

use crate::exit::Exit;
use crate::flags::{Common, Data};
use crate::interrupt;
use crate::progress::say;

/// Runs one `osmo data` command.
pub(crate) fn run(data: Data) -> Exit {
    interrupt::watch();
    let ended = match data {
        Data::Download(flags) => transfer::download(flags),
        Data::Upload(flags) => transfer::upload(flags),
        Data::List(flags) => list::run(flags),
        Data::Delete(flags) => delete::run(flags),
        Data::Check(flags) => check::run(flags),
    };
    match ended {
        Ok(()) => Exit::Success,
        Err(error) => {
            say(&format!("osmo: {error}"));
            error.kind().into()
        }
    }
}

fn start(common: &Common) -> Result<Engine, Error> {
    start_checking(common, ChecksumChoice::Auto)
}

/// The same, with uploads checked as `checksum` says.
fn start_checking(common: &Common, checksum: ChecksumChoice) -> Result<Engine, Error> {
    let engine = Engine::start(EngineConfig {
        io: common.io.into(),
        memory_bytes: common.memory,
        access: Access {
            endpoint_url: common.endpoint_url.clone(),
            config_file: common.config_file.clone(),
            region: common.region.clone(),
            ca_bundle: common.ca_bundle.clone(),
            insecure: common.insecure,
            anonymous: common.no_sign_request,
            checksum,
        },
        ..EngineConfig::default()
    })?;
    let io = engine.io();
    if !common.quiet && io.fell_back {
        say(&format!("note: moving bytes with {}: {}", io.driver, io.reason));
    }
    Ok(engine)
}
