//! What clap knows of the command line, in other forms: completions, manual
//! pages, and the flag tables of `docs/CLI.md`.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use clap::{Arg, Command, CommandFactory};

use crate::exit::Exit;
use crate::flags::Osmo;
use crate::progress::say;

/// Prints the completions of `shell`.
pub(crate) fn completions(shell: clap_complete::Shell) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Osmo::command(), "osmo", &mut text);
    told(io::stdout().write_all(&text))
}

/// Prints the page of `osmo`, or writes one page a command into `folder`.
pub(crate) fn pages(folder: Option<&Path>) -> Exit {
    told(match folder {
        Some(folder) => clap_mangen::generate_to(Osmo::command(), folder),
        None => clap_mangen::Man::new(Osmo::command()).render(&mut io::stdout()),
    })
}

fn told(written: io::Result<()>) -> Exit {
    match written {
        Ok(()) => Exit::Success,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => {
            say(&format!("osmo: cannot write: {error}"));
            Exit::Failure
        }
    }
}

/// One Markdown section a command, with a table of its arguments and flags;
/// `docs/CLI.md` holds them between its marks.
pub fn flag_tables() -> String {
    let mut text = String::new();
    let mut osmo = Osmo::command();
    osmo.build();
    sections(&osmo, &mut text);
    text
}

fn sections(command: &Command, text: &mut String) {
    for verb in
        command.get_subcommands().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set())
    {
        if verb.has_subcommands() {
            sections(verb, text);
            continue;
        }
        let name = verb.get_bin_name().unwrap_or(verb.get_name());
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        let _ =
            write!(text, "### `{name}`\n\n{about}.\n\n| flag | default | what |\n|---|---|---|\n");
        for argument in verb.get_arguments().filter(|argument| argument.get_id() != "help") {
            row(argument, text);
        }
        text.push('\n');
    }
}

fn row(argument: &Arg, text: &mut String) {
    let value = argument.get_value_names().and_then(<[_]>::first).map(ToString::to_string);
    let value = value.filter(|_| argument.get_action().takes_values());
    let mut name = String::new();
    if let Some(short) = argument.get_short() {
        let _ = write!(name, "-{short}, ");
    }
    match (argument.get_long(), value) {
        (Some(long), Some(value)) => {
            let _ = write!(name, "--{long} {value}");
        }
        (Some(long), None) => {
            let _ = write!(name, "--{long}");
        }
        (None, value) => name.push_str(&value.unwrap_or_else(|| argument.get_id().to_string())),
    }
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let defaults =
        if argument.get_action().takes_values() { defaults.join(" ") } else { String::new() };
    let mut what = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let values: Vec<_> = argument
        .get_possible_values()
        .iter()
        .filter(|_| argument.get_action().takes_values())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !values.is_empty() {
        let _ = write!(what, ": {}", values.join(", "));
    }
    let _ = writeln!(text, "| `{name}` | {defaults} | {} |", what.replace('|', "\\|"));
}
