//! One run: starts it, watches its memory, says what it cost everybody.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::once::Cost;
use crate::proc;
use crate::record::Run;

const SAMPLE_EVERY: Duration = Duration::from_millis(25);
/// The kernel walks the page tables for it, under a lock of the measured
/// process: not at every sample.
const PSS_EVERY: u32 = 8;

/// What is needed to run a command.
pub(crate) struct Bench<'a> {
    /// The command's whole environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Where its output goes.
    pub(crate) log: &'a Path,
    /// The CPU that it is kept on.
    pub(crate) cpu: Option<usize>,
    /// The time after which it is killed, in seconds.
    pub(crate) limit_s: u64,
    /// The server's first process.
    pub(crate) server: u32,
    /// What is synced after the end.
    pub(crate) target: &'a Path,
}

/// A finished run.
pub(crate) struct Finished {
    /// Its exit code.
    pub(crate) code: i32,
    /// What it cost; round and peer are the caller's to fill in.
    pub(crate) run: Run,
}

impl Bench<'_> {
    /// Runs `command` to its end.
    pub(crate) fn run(&self, command: &[OsString]) -> Result<Finished> {
        let record = self.log.with_extension("once.json");
        let server = proc::tree(self.server);
        let (server_before, machine_before) = (proc::cpu_s(&server), proc::machine_cpu_s());
        let mut child = self.start(command, &record)?;
        let peak = watch(&mut child)?;
        let server_s = proc::cpu_s(&proc::tree(self.server)) - server_before;
        let machine_s = proc::machine_cpu_s() - machine_before;
        let start = Instant::now();
        rustix::fs::syncfs(File::open(self.target)?)?;
        let sync_s = start.elapsed().as_secs_f64();
        let text = std::fs::read(&record).context("the run left no record")?;
        let cost: Cost = serde_json::from_slice(&text)?;
        let largest = u64::try_from(cost.rss_kib_most).unwrap_or(0);
        let run = Run {
            peer: String::new(),
            round: 0,
            wall_s: cost.wall_s,
            sync_s,
            user_s: cost.user_s,
            sys_s: cost.sys_s,
            server_s,
            machine_s,
            rss_kib: peak.rss_kib.max(largest),
            pss_kib: peak.pss_kib,
        };
        Ok(Finished { code: cost.code, run })
    }

    fn start(&self, command: &[OsString], record: &Path) -> Result<Child> {
        let log = File::create(self.log)?;
        let mut once = Command::new(std::env::current_exe()?);
        once.arg("once").arg("--record").arg(record);
        once.args(["--limit-s", &self.limit_s.to_string()]);
        if let Some(cpu) = self.cpu {
            once.args(["--cpu", &cpu.to_string()]);
        }
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        once.arg("--").args(command).env_clear().envs(environment);
        once.stdout(log.try_clone()?).stderr(log);
        once.spawn().context("start the measuring process")
    }
}

#[derive(Default)]
struct Peak {
    rss_kib: u64,
    pss_kib: u64,
}

/// Samples everything below the measuring process, which itself is not counted.
fn watch(once: &mut Child) -> Result<Peak> {
    let mut peak = Peak::default();
    let mut samples = 0;
    while once.try_wait()?.is_none() {
        let mut pids: BTreeSet<u32> = proc::tree(once.id());
        pids.remove(&once.id());
        peak.rss_kib = peak.rss_kib.max(proc::rss_kib(&pids));
        if samples % PSS_EVERY == 0 {
            peak.pss_kib = peak.pss_kib.max(proc::pss_kib(&pids));
        }
        samples += 1;
        std::thread::sleep(SAMPLE_EVERY);
    }
    Ok(peak)
}

/// Runs a short command and gives its output; an error names what it said.
pub(crate) fn output<I: AsRef<OsStr>>(program: &str, args: &[I]) -> Result<String> {
    let output =
        Command::new(program).args(args).output().with_context(|| format!("run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{program}: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
