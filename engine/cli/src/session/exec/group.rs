//! The same program in every task of a group: no keyboard, and each line under
//! its task's name.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use osmo_protocol::logger::Route;
use osmo_protocol::router::PairKind;
use osmo_protocol::terminal::{Output, OutputReader, Size};
use tokio_tungstenite::tungstenite::Message;

use super::code_of;
use crate::exit::Exit;
use crate::progress::say;
use crate::session::flags::Exec;
use crate::session::service::{Service, encode};
use crate::session::trouble::Trouble;
use crate::session::{asked_to_end, order};

/// A longer line is printed in pieces.
const LINE_BYTES_MAX: usize = 64 << 10;

pub(super) async fn run(
    service: &Service,
    flags: &Exec,
    group: &str,
    command: &str,
) -> Result<Exit, Trouble> {
    if flags.entry.is_none() && flags.command.is_empty() {
        let sentence =
            "what shall the group's tasks run? name it: osmo exec WF --group G -- COMMAND";
        return Err(Trouble::Usage(sentence.into()));
    }
    let what = format!("exec/group/{}?entry_command={}", encode(group), encode(command));
    let patience = Duration::from_secs(flags.wait);
    let routes: BTreeMap<String, Route> =
        order::place(service, &flags.workflow, &what, patience).await?;
    let members = routes.iter().map(|(task, route)| member(service, flags, task, route));
    tokio::select! {
        codes = futures_util::future::join_all(members) => {
            let code = codes.into_iter().find(|&code| code != 0).unwrap_or(0);
            Ok(Exit::Command(code_of(code)))
        }
        number = asked_to_end() => Ok(Exit::Command(code_of(128 + number))),
    }
}

/// 255 for a member that could not be reached.
async fn member(service: &Service, flags: &Exec, task: &str, route: &Route) -> i32 {
    match converse(service, flags, task, route).await {
        Ok(code) => code,
        Err(trouble) => {
            say(&format!("osmo: task {task}: {trouble}"));
            255
        }
    }
}

async fn converse(
    service: &Service,
    flags: &Exec,
    task: &str,
    route: &Route,
) -> Result<i32, Trouble> {
    let broken =
        |error: tokio_tungstenite::tungstenite::Error| Trouble::Transient(error.to_string());
    let wait = Duration::from_secs(flags.connect_timeout);
    let mut socket = service.dial(PairKind::Exec, &flags.workflow, route, wait).await?;
    let first = Size { exit_code: true, ..Size::default() };
    socket.send(Message::binary(first.encode())).await.map_err(broken)?;
    let (mut reader, mut promised) = (OutputReader::default(), false);
    let mut line = Vec::new();
    while let Some(message) = socket.next().await {
        let bytes = match message.map_err(broken)? {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => break,
            _ => continue,
        };
        for output in reader.push(&bytes) {
            match output {
                Output::Promise => promised = true,
                Output::Bytes(bytes) => print(task, &mut line, &bytes),
                Output::Exit(exit) => {
                    print(task, &mut line, b"\n");
                    return Ok(exit.code);
                }
            }
        }
    }
    print(task, &mut line, &[&reader.finish()[..], b"\n"].concat());
    if promised {
        let sentence = "the terminal was closed before the program's end was told";
        return Err(Trouble::Transient(sentence.to_owned()));
    }
    Ok(0)
}

fn print(task: &str, line: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        let whole = byte == b'\n' || line.len() >= LINE_BYTES_MAX;
        if byte != b'\n' {
            line.push(byte);
        }
        if whole && !line.is_empty() {
            let text = line.strip_suffix(b"\r").unwrap_or(line);
            let _ =
                std::io::stdout().write_all(&[b"[", task.as_bytes(), b"] ", text, b"\n"].concat());
            line.clear();
        }
    }
}
