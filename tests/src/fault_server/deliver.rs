//! An answer on its way out, and what a step makes of it.

use std::io;

use super::answer::Answer;
use super::script::Step;
use super::wire::Peer;

/// The head's largest size anywhere is some hundred KiB; a client that reads
/// on has no limit.
const ENDLESS_BYTES: usize = 64 << 20;

/// Sends `answer` as `step` says; the peer comes back if it may be used again.
pub(super) fn deliver(
    mut peer: Peer,
    mut answer: Answer,
    step: &Step,
    keep_alive: bool,
) -> io::Result<Option<Peer>> {
    match step {
        Step::Stall => return peer.outwait().map(|()| None),
        Step::Reset(0) => return peer.reset().map(|()| None),
        Step::GarbageHead => {
            peer.send(b"\x00\xff\x13\x37 this is no HTTP \r\n\r\n\x80\x81\r\n\r\n")?;
            return peer.end().map(|()| None);
        }
        Step::EndlessHead => return endless(peer).map(|()| None),
        Step::Corrupt(bit) => corrupt(&mut answer, *bit),
        Step::ChangedEtag if answer.field("ETag").is_some() => {
            answer.set("ETag", "\"another-version\"".to_owned());
        }
        Step::ChangedEtag => {
            let text = String::from_utf8_lossy(&answer.body);
            // Of the last one of a listing.
            if let Some(at) = text.rfind("&quot;etag-") {
                let changed = text[at..].replacen("etag-", "other-", 1);
                answer.body = format!("{}{changed}", &text[..at]).into_bytes();
            }
        }
        Step::WrongRange => {
            let body = answer.body.len();
            answer.status = 206;
            answer.set("Content-Range", format!("bytes 1-{body}/{}", body + 1));
        }
        Step::WrongLength if answer.head_only || !answer.body.is_empty() => {
            answer.body.pop();
        }
        _ => {}
    }
    let length = answer.body.len() as u64 + u64::from(announces_more(step, &answer)) * 5;
    let head = answer.head(length, keep_alive);
    let body: &[u8] = if answer.head_only { &[] } else { &answer.body };
    let cut = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(body.len());
    match step {
        Step::Reset(at) => {
            peer.send(&head)?;
            peer.send(&body[..cut(*at)])?;
            peer.reset()?;
            Ok(None)
        }
        Step::Truncate(_) if body.is_empty() => {
            peer.send(&head[..head.len() / 2])?;
            peer.end()?;
            Ok(None)
        }
        Step::Truncate(at) => {
            peer.send(&head)?;
            peer.send(&body[..cut(*at)])?;
            peer.end()?;
            Ok(None)
        }
        _ => {
            peer.send(&head)?;
            peer.send(body)?;
            if keep_alive {
                return Ok(Some(peer));
            }
            peer.end()?;
            Ok(None)
        }
    }
}

/// An empty answer that announces bytes which never come.
fn announces_more(step: &Step, answer: &Answer) -> bool {
    *step == Step::WrongLength && answer.body.is_empty() && !answer.head_only
}

fn corrupt(answer: &mut Answer, bit: u64) {
    let at = usize::try_from(bit / 8).unwrap_or(usize::MAX);
    if answer.head_only {
        answer.set("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=".to_owned());
    } else if let Some(byte) = answer.body.get_mut(at) {
        *byte ^= 1 << (bit % 8);
    }
}

fn endless(mut peer: Peer) -> io::Result<()> {
    peer.send(b"HTTP/1.1 200 OK\r\n")?;
    let lines = "X-Endless: and on it goes\r\n".repeat(256);
    let mut sent = 0;
    while sent < ENDLESS_BYTES {
        // A client that has heard enough leaves.
        if peer.send(lines.as_bytes()).is_err() {
            return Ok(());
        }
        sent += lines.len();
    }
    Err(io::Error::other("the client reads a head without end"))
}
