//! What every pod of the tests has in common.

use std::path::Path;

/// What `osmo-ctrl` is started with for task `task` of `wf-1`, whose files are in
/// `folder` and whose service listens on `port` of the loopback.
pub fn sidecar_args(folder: &Path, task: &str, port: u16) -> Vec<String> {
    let words = ["-workflow", "wf-1", "-groupName", "g", "-logSource", task, "-host", "127.0.0.1"];
    let mut args: Vec<String> = words.map(str::to_owned).into();
    for (flag, path) in [
        ("-socketPath", "socket/data.sock"),
        ("-inputPath", "input"),
        ("-outputPath", "output"),
        ("-refreshToken", "token"),
        ("-userConfig", "config.yaml"),
        ("-serviceConfig", "config.yaml"),
        ("-terminationLog", "termination-log"),
    ] {
        args.extend([flag.to_owned(), folder.join(path).display().to_string()]);
    }
    args.extend(["-port".to_owned(), port.to_string()]);
    args
}

/// The port of the only IPv4 socket on which process `pid` listens; `None` until
/// it does.
pub fn listening_port(pid: u32) -> Option<u16> {
    let listening = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let own: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .ok()?
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok()?.to_str().map(str::to_owned))
        .collect();
    let line = listening.lines().skip(1).find(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let socket = words.get(9).map(|inode| format!("socket:[{inode}]"));
        words.get(3) == Some(&"0A") && socket.is_some_and(|socket| own.contains(&socket))
    });
    let address = line?.split_whitespace().nth(1)?;
    u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok()
}
