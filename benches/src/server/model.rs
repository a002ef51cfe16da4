//! The model store, as a process of its own.

use std::process::Command;

use anyhow::Result;

use super::{Ground, Kind, Running, free_ports, spawn};
use crate::workload::{Scale, Source, Workload};

/// `manner` is a flag of `osmo-bench model`, without its dashes.
pub(super) fn start(ground: &Ground, manner: Option<&str>) -> Result<Running> {
    let folder = ground.work.join(manner.unwrap_or("model"));
    std::fs::create_dir_all(&folder)?;
    let [port] = free_ports()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["model", "--profile", ground.profile.name, "--port", &port.to_string()]);
    command.args(["--scale", &ground.scale.to_string()]);
    if let Some(manner) = manner {
        command.arg(format!("--{manner}"));
    }
    let child = spawn(&mut command, &folder.join("log"), port)?;
    let running = Running {
        kind: Kind::Model,
        url: format!("http://127.0.0.1:{port}"),
        readable: None,
        vacuum: None,
        child,
        lists: folder,
        litter: Vec::new(),
    };
    running.write_urls(&sources(ground.scale))?;
    Ok(running)
}

/// It has every workload, whichever are asked for.
fn sources(scale: Scale) -> Vec<Source> {
    Workload::ALL.map(|workload| Source::imagined(workload, scale)).to_vec()
}
