//! One program's run on one pair.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, Stream, StreamExt as _};
use osmo_link::Socket;
use osmo_protocol::terminal::{Output, OutputReader, Size};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::console::{Console, Raw, Screen, size};
use crate::progress::say;
use crate::session::asked_to_end;

/// Without a sign of the program for this long, say how to leave.
const HINT: Duration = Duration::from_secs(3);
/// For the router to take our leave.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
const INTERRUPT_KEY: u8 = 0x03;
const END_KEY: u8 = 0x04;

/// How it ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The program, with this code.
    Code(i32),
    /// The pair, in order; the task tells no codes.
    Closed,
    /// The pair, before the code that was promised.
    Cut,
    /// The pair, before the task had come.
    Silent,
    /// The connection, without a word.
    Broken(String),
    /// The user has left.
    Left,
    /// This process was asked to end.
    Signal(i32),
}

/// Runs until either side ends; `wait` is how long the router waits for the
/// task.
pub(super) async fn converse(socket: Socket, console: &mut Console, wait: Duration) -> Ended {
    let begun = Instant::now();
    let screen = Screen::open();
    // Dropped on every way out, a panic's unwinding included.
    let raw = console.is_terminal.then(Raw::enter).flatten();
    let heard = Cell::new(false);
    let (is_terminal, left) = (console.is_terminal, Arc::clone(&console.left));
    let (mut to_task, mut from_task) = socket.split();
    let first = Size { exit_code: true, ..size() };
    let ended = if let Err(error) = to_task.send(Message::binary(first.encode())).await {
        Ended::Broken(error.to_string())
    } else {
        tokio::select! {
            ended = inward(&mut from_task, &screen.shown, &heard) => ended,
            ended = outward(&mut to_task, console, &heard) => ended,
            number = asked_to_end() => Ended::Signal(number),
            () = left.notified() => Ended::Left,
            () = hint(&heard, is_terminal) => Ended::Left,
        }
    };
    let close = async {
        if matches!(ended, Ended::Left) {
            rest(&mut to_task, console).await;
        }
        to_task.close().await
    };
    let _ = tokio::time::timeout(CLOSE_WAIT, close).await;
    if matches!(ended, Ended::Code(_) | Ended::Closed | Ended::Cut | Ended::Broken(_)) {
        tokio::select! {
            () = screen.finish() => {}
            _ = asked_to_end() => {}
        }
    }
    drop(raw);
    match ended {
        Ended::Closed if !heard.get() && begun.elapsed() + Duration::from_secs(1) >= wait => {
            Ended::Silent
        }
        ended => ended,
    }
}

async fn hint(heard: &Cell<bool>, is_terminal: bool) {
    tokio::time::sleep(HINT).await;
    if is_terminal && !heard.get() {
        say("waiting for the task's terminal; ^C gives up (later: Enter ~ .)\r");
    }
    std::future::pending().await
}

/// The program's output, until it ends.
async fn inward<S>(from_task: &mut S, screen: &mpsc::Sender<Vec<u8>>, heard: &Cell<bool>) -> Ended
where
    S: Stream<Item = Result<Message, Error>> + Unpin,
{
    let (mut reader, mut promised) = (OutputReader::default(), false);
    while let Some(message) = from_task.next().await {
        let bytes = match message {
            Ok(Message::Binary(bytes)) => bytes,
            Ok(Message::Close(_)) => break,
            Ok(_) => continue,
            Err(error) => {
                let _ = screen.send(reader.finish()).await;
                return Ended::Broken(error.to_string());
            }
        };
        heard.set(true);
        for output in reader.push(&bytes) {
            match output {
                // Nobody reads any more: as if the window had been closed.
                Output::Bytes(bytes) => {
                    if screen.send(bytes).await.is_err() {
                        return Ended::Closed;
                    }
                }
                Output::Promise => promised = true,
                Output::Exit(exit) => return Ended::Code(exit.code),
            }
        }
    }
    let _ = screen.send(reader.finish()).await;
    if promised { Ended::Cut } else { Ended::Closed }
}

/// Keys and sizes; ends only by leaving or with the connection.
async fn outward<S>(to_task: &mut S, console: &mut Console, heard: &Cell<bool>) -> Ended
where
    S: futures_util::Sink<Message, Error = Error> + Unpin,
{
    let mut resized = signal(SignalKind::window_change()).ok();
    let mut last = b'\n';
    let mut open = true;
    loop {
        let sent = tokio::select! {
            keys = console.keys.recv(), if open => match keys {
                // Nobody is there yet to take it, nor to be interrupted.
                Some(keys) if console.is_terminal && !heard.get() && keys.contains(&INTERRUPT_KEY) => {
                    return Ended::Signal(SignalKind::interrupt().as_raw_value());
                }
                Some(keys) => {
                    last = keys.last().copied().unwrap_or(last);
                    keys
                }
                None if console.is_terminal => {
                    return Ended::Signal(SignalKind::hangup().as_raw_value());
                }
                None => {
                    open = false;
                    end_keys(last)
                }
            },
            () = changed(&mut resized) => size().encode_resize(),
        };
        if let Err(error) = to_task.send(Message::binary(sent)).await {
            // The other direction may still tell more, if the close came first.
            tokio::time::sleep(CLOSE_WAIT).await;
            return Ended::Broken(error.to_string());
        }
    }
}

/// Within a line the first ^D only hands the line over.
fn end_keys(last: u8) -> Vec<u8> {
    vec![END_KEY; if matches!(last, b'\n' | b'\r') { 1 } else { 2 }]
}

/// What was typed before leaving.
async fn rest<S>(to_task: &mut S, console: &mut Console)
where
    S: futures_util::Sink<Message, Error = Error> + Unpin,
{
    while let Ok(keys) = console.keys.try_recv() {
        if to_task.send(Message::binary(keys)).await.is_err() {
            return;
        }
    }
}

async fn changed(resized: &mut Option<tokio::signal::unix::Signal>) {
    match resized {
        Some(resized) => {
            resized.recv().await;
        }
        None => std::future::pending().await,
    }
}
