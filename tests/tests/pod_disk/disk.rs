//! A small disk of its own, in namespaces that whoever may not mount can make.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Lives as long as the process that holds its namespaces.
pub(crate) struct Disk(Child);

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Disk {
    /// Mounts `size` of tmpfs at `folder`, for those who enter.
    pub(crate) fn mount(folder: &Path, size: &str) -> Result<Self, String> {
        let script =
            "mount -t tmpfs -o size=$1,mode=777 none \"$0\" && echo mounted && exec sleep 86399";
        let mut holder = Command::new("unshare");
        holder.args(["-Urm", "sh", "-c", script]).arg(folder).arg(size);
        holder.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = holder.spawn().map_err(|error| format!("no unshare: {error}"))?;
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
        let disk = Self(child);
        match line.trim() {
            "mounted" => Ok(disk),
            _ => Err("a user namespace in which a tmpfs can be mounted is refused here".to_owned()),
        }
    }

    /// `command`, where the disk is; it begins outside of it.
    pub(crate) fn within(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.args(["-t", &self.0.id().to_string(), "-U", "-m", "--preserve-credentials", "--"]);
        inside.arg(command.get_program()).args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                inside.env(name, value);
            }
        }
        inside
    }

    /// Takes all the room there is.
    pub(crate) fn fill(&self, file: &Path) -> bool {
        let mut dd = Command::new("dd");
        dd.arg("if=/dev/zero").arg(format!("of={}", file.display())).arg("bs=4096");
        dd.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let filled = self.within(&dd).stderr(Stdio::null()).status();
        filled.is_ok_and(|status| status.code() == Some(1))
    }
}
