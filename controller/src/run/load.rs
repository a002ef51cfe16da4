//! The workflow file, and everything that is said about it before it runs.

use osmo_engine::units;

use super::screen::Screen;
use crate::cli::RunArgs;
use crate::workflow::model::Workflow;
use crate::workflow::{self, Diagnostic, LoadOptions, Loaded, Severity};

/// Reads the file; `None` when it cannot be used, which has then been said.
pub(super) fn load(args: &RunArgs, screen: &Screen) -> Option<Loaded> {
    let options = LoadOptions {
        set: args.set.clone(),
        set_string: args.set_string.clone(),
        set_env: args.set_env.clone(),
        labels: args.labels.clone(),
        strict: args.strict,
    };
    let loaded = match workflow::load(&args.file, &options) {
        Ok(loaded) => loaded,
        Err(faults) => {
            faults.as_slice().iter().for_each(|found| tell(found, screen));
            if faults.dropped() > 0 {
                screen.print_err(&format!("… and {} more", faults.dropped()));
            }
            return None;
        }
    };
    for warning in &loaded.warnings {
        tell(warning, screen);
    }
    let mut refused = false;
    for mut found in workflow::unsupported_here(&loaded.workflow, &loaded.file) {
        if args.strict {
            found.severity = Severity::Error;
        }
        tell(&found, screen);
        refused |= found.severity == Severity::Error;
    }
    advise(&loaded.workflow, screen);
    (!refused).then_some(loaded)
}

/// A warning names itself; it stays one beside the errors of a refused file.
fn tell(found: &Diagnostic, screen: &Screen) {
    match found.severity {
        Severity::Error => screen.error(&found.to_string()),
        Severity::Warning => screen.print_err(&found.to_string()),
    }
}

/// Nothing is reserved on one machine; but who asks for more than there is
/// should know why it is slow.
fn advise(workflow: &Workflow, screen: &Screen) {
    let cpus = std::thread::available_parallelism().map_or(u64::MAX, |n| n.get() as u64);
    let memory = memory_bytes().unwrap_or(u64::MAX);
    for task in workflow.groups.iter().flat_map(|group| &group.tasks) {
        let (name, asked) = (&task.name, &task.resources);
        if let Some(cpu) = asked.cpu.filter(|cpu| *cpu > cpus) {
            screen.warn(&format!("task {name} asks for {cpu} CPUs, this machine has {cpus}"));
        }
        if let Some(bytes) = asked.memory_bytes.filter(|bytes| *bytes > memory) {
            screen.warn(&format!(
                "task {name} asks for {} of memory, this machine has {}",
                units::bytes(bytes),
                units::bytes(memory)
            ));
        }
    }
}

fn memory_bytes() -> Option<u64> {
    let info = rustix::system::sysinfo();
    info.totalram.checked_mul(info.mem_unit.into())
}
