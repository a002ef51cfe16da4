//! The flag tables of `docs/CLI.md` are those of the program, and its
//! completions and manual pages work in the tools they are for.
//! `UPDATE=1 cargo test -p osmo-cli --test docs` rewrites the tables.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const BEGIN: &str = "<!-- flags: begin -->\n";
const END: &str = "<!-- flags: end -->\n";

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/CLI.md")
}

fn osmo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_osmo"));
    command.env_clear();
    command
}

#[test]
fn the_flag_tables_are_the_program_s() {
    let text = fs::read_to_string(document()).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    let tables = format!("\n{}", osmo_cli::flag_tables());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(document(), format!("{before}{BEGIN}{tables}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(written, tables, "stale: UPDATE=1 cargo test -p osmo-cli --test docs");
}

#[test]
fn bash_completes_verbs_and_flags() {
    let folder = std::env::temp_dir().join(format!("osmo-completions-{}", std::process::id()));
    let output = osmo().args(["completions", "bash"]).output().unwrap();
    assert!(output.status.success());
    fs::write(&folder, output.stdout).unwrap();
    for (words, expected) in [
        ("osmo data del", "delete"),
        ("osmo data download --if-e", "--if-exists"),
        ("osmo data check --access-type W", "WRITE"),
        ("osmo port-f", "port-forward"),
        ("osmo rsync upload --upload-r", "--upload-rate-limit"),
    ] {
        let script = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); \
             _osmo osmo \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[@]}}\"",
            folder.display()
        );
        let output = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected, "{words}");
    }
    fs::remove_file(folder).unwrap();
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let output = osmo().args(["completions", shell]).output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{shell}");
    }
}

#[test]
fn there_is_a_manual_page_for_each_verb() {
    let folder = std::env::temp_dir().join(format!("osmo-man-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    assert!(osmo().arg("man").arg(&folder).status().unwrap().success());
    let data = ["data-download", "data-upload", "data-list", "data-delete", "data-check"];
    let tasks = ["exec", "port-forward", "rsync-upload", "rsync-download", "logs"];
    for verb in data.iter().chain(&tasks) {
        let page = folder.join(format!("osmo-{verb}.1"));
        assert!(fs::read_to_string(&page).unwrap().contains(".SH OPTIONS"), "{verb}");
        // Where there is a formatter, it has nothing to complain about.
        if let Ok(output) = Command::new("groff").args(["-man", "-ww", "-z"]).arg(&page).output() {
            assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    fs::remove_dir_all(folder).unwrap();
}
