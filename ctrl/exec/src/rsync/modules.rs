//! What rsync serves, and the configuration that says so.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Modules beside the workspace.
const MODULES_MAX: usize = 256;
/// Seconds after which rsync gives up on a silent client.
const SILENCE_SECONDS: u32 = 600;

/// One served folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Module {
    name: String,
    /// Absolute, without links.
    pub(super) path: PathBuf,
    pub(super) writable: bool,
}

/// All served folders, the workspace first.
#[derive(Debug)]
pub(super) struct Modules(pub(super) Vec<Module>);

impl Modules {
    /// The workspace below `run`, which is created, and what `allow` names;
    /// every entry left out adds a line.
    ///
    /// # Errors
    /// The workspace cannot be created or written into a configuration.
    pub(super) fn read(run: &Path, allow: &str, lines: &mut Vec<String>) -> Result<Self, String> {
        let workspace = run.join("workspace");
        if workspace.is_symlink() {
            // It would serve whatever another one wants to be served.
            return Err(format!("{} is a link", workspace.display()));
        }
        let path = std::fs::create_dir_all(&workspace)
            .and_then(|()| workspace.canonicalize())
            .map_err(|error| format!("cannot create {}: {error}", workspace.display()))?;
        plain(&path)?;
        let mut modules = vec![Module { name: "osmo".into(), path, writable: true }];
        let mut names = BTreeSet::from(["osmo".to_owned()]);
        for entry in allow.split(',').filter(|entry| !entry.is_empty()) {
            let module = Module::read(entry).and_then(|module| {
                if modules.len() > MODULES_MAX {
                    return Err(format!("more than {MODULES_MAX} entries"));
                }
                if names.insert(module.name.clone()) {
                    Ok(module)
                } else {
                    Err("its name is taken".into())
                }
            });
            match module {
                Ok(module) => modules.push(module),
                Err(reason) => lines.push(format!("rsync: `{entry}` is not served: {reason}")),
            }
        }
        Ok(Self(modules))
    }

    /// The text of `rsyncd.conf`; with `munge`, links are kept harmless by
    /// rsync itself, since nothing else confines it.
    pub(super) fn config(&self, munge: bool) -> String {
        let answer = |yes| if yes { "yes" } else { "no" };
        let mut text = format!(
            "use chroot = no\nnumeric ids = yes\nreverse lookup = no\nlist = yes\n\
             timeout = {SILENCE_SECONDS}\nmunge symlinks = {}\n",
            answer(munge)
        );
        // Only root may set groups; anybody else already is who he is.
        if nix::unistd::geteuid().is_root() {
            let _ = writeln!(text, "uid = 0\ngid = {}", nix::unistd::getegid());
        }
        for Module { name, path, writable } in &self.0 {
            let (path, read_only) = (path.display(), answer(!writable));
            let _ = write!(
                text,
                "\n[{name}]\npath = {path}\ncomment = {name}\nread only = {read_only}\n"
            );
        }
        text
    }
}

impl Module {
    /// Reads `name:path:writable`.
    fn read(entry: &str) -> Result<Self, String> {
        let words: Vec<_> = entry.split(':').collect();
        let [name, path, writable] = words[..] else {
            return Err("expected name:path:writable".into());
        };
        let letter = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name == "global" || !name.chars().all(letter) {
            return Err("a name consists of letters, digits, `.`, `_` and `-`".into());
        }
        let writable = match writable {
            "true" => true,
            "false" | "" => false,
            _ => return Err("writable must be `true` or `false`".into()),
        };
        if !path.starts_with('/') {
            return Err("its path is not absolute".into());
        }
        let path = Path::new(path).canonicalize().map_err(|error| error.to_string())?;
        if !path.is_dir() {
            return Err("its path is not a folder".into());
        }
        plain(&path)?;
        Ok(Self { name: name.into(), path, writable })
    }
}

/// Refuses a path that the configuration would read as something else.
fn plain(path: &Path) -> Result<(), String> {
    let text = path.to_str().ok_or("its path is not UTF-8")?;
    let special = |c: char| c.is_control() || "%#;[]\\".contains(c);
    if text.contains(special) || text.trim() != text {
        return Err(format!("rsync's configuration cannot hold the path {text:?}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Modules;

    #[test]
    fn what_cannot_be_served_is_told_and_never_injected() {
        let run = tempfile::TempDir::new().unwrap();
        let here = run.path().canonicalize().unwrap();
        for name in ["good", "a%RSYNC_USER_NAME%", "a#b", "x\npath = "] {
            std::fs::create_dir(here.join(name)).unwrap();
        }
        let here = here.to_str().unwrap();
        let allow = format!(
            "g:{here}/good:true,g:{here}/good:false,osmo:{here}/good:,n:{here}/none:true,\
             two:{here}/good,p:{here}/a%RSYNC_USER_NAME%:true,h:{here}/a#b:true,\
             l:{here}/x\npath = :true,b]:{here}/good:true,w:{here}/good:yes,r:good:true"
        );
        let mut lines = Vec::new();
        let modules = Modules::read(run.path(), &allow, &mut lines).unwrap();
        assert_eq!(modules.0.len(), 2, "{modules:?}");
        assert_eq!(lines.len(), 10, "{lines:?}");
        let config = modules.config(false);
        let heads: Vec<_> = config.lines().filter(|line| line.starts_with('[')).collect();
        assert_eq!(heads, ["[osmo]", "[g]"]);
        assert_eq!(config.matches("path =").count(), 2);
    }

    #[test]
    fn a_link_in_the_workspace_s_place_is_not_served() {
        let run = tempfile::TempDir::new().unwrap();
        std::os::unix::fs::symlink("/", run.path().join("workspace")).unwrap();
        let refused = Modules::read(run.path(), "", &mut Vec::new()).unwrap_err();
        assert!(refused.ends_with("workspace is a link"), "{refused}");
    }
}
