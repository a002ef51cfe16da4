//! SeaweedFS: a whole S3 store that checks signatures. It starts empty.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use osmo_tests::model_server::BUCKET;

use super::{Ground, Kind, Running, START_LIMIT, free_ports, spawn};
use crate::environment::{ACCESS_KEY, SECRET_KEY};
use crate::measure::output;
use crate::workload::Source;

pub(super) fn start(ground: &Ground, sources: &[Source]) -> Result<Running> {
    let folder = ground.work.join("seaweed");
    let data = folder.join("data");
    if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    fs::create_dir_all(&data)?;
    let config = folder.join("s3.json");
    fs::write(&config, identities())?;
    let ports = free_ports::<8>()?;
    let [master, _, _, _, filer, _, s3, _] = ports;
    let mut command = Command::new(ground.bin.join("weed"));
    command.args(["-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]);
    command.args(["-master.telemetry=false", "-master.volumeSizeLimitMB=1024", "-volume.max=64"]);
    command.args(["-filer", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
    command.arg(format!("-dir={}", data.display()));
    command.arg(format!("-s3.config={}", config.display()));
    let names = ["master", "volume", "filer", "s3"];
    for (name, pair) in names.iter().zip(ports.chunks(2)) {
        command.arg(format!("-{name}.port={}", pair[0]));
        command.arg(format!("-{name}.port.grpc={}", pair[1]));
    }
    let child = spawn(command.current_dir(&folder), &folder.join("log"), s3)?;
    let running = Running {
        kind: Kind::Seaweed,
        url: format!("http://127.0.0.1:{s3}"),
        readable: Some(format!("http://127.0.0.1:{filer}/buckets")),
        vacuum: Some(format!("http://127.0.0.1:{master}/vol/vacuum?garbageThreshold=0.001")),
        child,
        lists: folder,
        litter: sockets(&ports),
    };
    wait_for_volumes(master)?;
    s5cmd(ground, &running, &["mb", &format!("s3://{BUCKET}")])?;
    for source in sources {
        let from = format!("{}/", source.root.display());
        s5cmd(ground, &running, &["cp", &from, &format!("s3://{BUCKET}/{}/", source.set.name)])?;
    }
    Ok(running)
}

/// Where it puts its sockets, wherever its data is.
fn sockets(ports: &[u16; 8]) -> Vec<PathBuf> {
    let [_, master, _, volume, filer, filer_grpc, s3, s3_grpc] = ports;
    let names = [
        ("master-grpc", master),
        ("volume-grpc", volume),
        ("filer-grpc", filer_grpc),
        ("s3-grpc", s3_grpc),
        ("filer", filer),
        ("s3", s3),
    ];
    names.map(|(name, port)| format!("/tmp/seaweedfs-{name}-{port}.sock").into()).to_vec()
}

fn identities() -> String {
    let key = serde_json::json!({ "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY });
    let actions = ["Admin", "Read", "Write", "List", "Tagging"];
    let user = serde_json::json!({ "name": "bench", "credentials": [key], "actions": actions });
    serde_json::json!({ "identities": [user] }).to_string()
}

/// It listens before it can store anything.
fn wait_for_volumes(master: u16) -> Result<()> {
    let url = format!("http://127.0.0.1:{master}/dir/assign");
    let start = Instant::now();
    while !output("curl", &["-sf", &url]).is_ok_and(|text| text.contains("\"fid\"")) {
        ensure!(start.elapsed() < START_LIMIT, "SeaweedFS offers no volume to write to");
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// The peer that is quickest at filling a store, outside of any measurement.
fn s5cmd(ground: &Ground, running: &Running, args: &[&str]) -> Result<()> {
    let program = ground.bin.join("s5cmd");
    let environment = crate::environment::of_peers(&ground.bin, &ground.work, &ground.ca());
    let done = Command::new(&program)
        .args(["--log", "error", "--endpoint-url", running.url()])
        .args(args)
        .env_clear()
        .envs(environment)
        .output()
        .with_context(|| format!("run {}", program.display()))?;
    ensure!(done.status.success(), "s5cmd: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}
