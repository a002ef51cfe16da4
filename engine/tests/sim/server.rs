//! The store's side of a connection: HTTP/1.1 in bytes, one request after the
//! other, with what the seed makes of each answer.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use crate::faults::Fault;
use crate::rules::Asked;
use crate::world::Simulation;

/// Longer than any patience of the engine.
const FOR_EVER: Duration = Duration::from_secs(90);
/// Bytes that leave at once.
const BURST_BYTES: usize = 64 << 10;

struct Request {
    asked: Asked,
    authorization: Option<String>,
}

/// Where an answer stops, and whether the connection is of any use then.
enum Stop {
    Never,
    Closing(usize),
    Silent(usize),
}

pub(crate) async fn serve(world: Rc<Simulation>, far: Rc<UnixStream>) {
    let mut received = Vec::new();
    while let Some(request) = next(&world, &far, &mut received).await {
        let _open = world.asked(&request.asked);
        world.takes(30).await;
        let (answer, stop) = answer(&world, &request);
        let (bytes, ends) = match stop {
            Stop::Never => (&answer[..], false),
            Stop::Closing(at) | Stop::Silent(at) => (&answer[..at.min(answer.len())], true),
        };
        if send(&world, &far, bytes).await.is_none() {
            break;
        }
        if let Stop::Silent(_) = stop {
            sleep(FOR_EVER).await;
        }
        if ends {
            break;
        }
    }
    // The world lets go of it too.
    let _ = far.shutdown(std::net::Shutdown::Both);
    world.stirs();
}

/// The next request; `None` at the end of the stream.
async fn next(world: &Simulation, far: &UnixStream, received: &mut Vec<u8>) -> Option<Request> {
    loop {
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = received.drain(..end + 4).collect();
            return Some(parsed(&String::from_utf8_lossy(&head)));
        }
        let mut bytes = [0; 4096];
        match (&*far).read(&mut bytes) {
            Ok(0) => return None,
            Ok(count) => received.extend(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => world.arrived.notified().await,
            Err(_) => return None,
        }
    }
}

fn parsed(head: &str) -> Request {
    let mut lines = head.split("\r\n");
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let key = target.strip_prefix("/bucket/").unwrap_or(target).to_owned();
    let fields = lines.filter_map(|line| line.split_once(": "));
    let mut fields: BTreeMap<_, _> =
        fields.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let (range, version) = (fields.remove("range"), fields.remove("if-match"));
    let asked = Asked { key, range, version };
    Request { asked, authorization: fields.remove("authorization") }
}

async fn send(world: &Simulation, far: &UnixStream, mut bytes: &[u8]) -> Option<()> {
    while !bytes.is_empty() {
        let burst = bytes.len().min(1 + usize::try_from(world.up_to(BURST_BYTES as u64)).ok()?);
        match (&*far).write(&bytes[..burst]) {
            Ok(count) => bytes = &bytes[count..],
            // Until the reader has made room.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
        world.stirs();
        world.takes(8).await;
    }
    Some(())
}

fn answer(world: &Simulation, request: &Request) -> (Vec<u8>, Stop) {
    let Request { asked, authorization } = request;
    if world.has_expired(authorization.as_deref()) {
        return (refusal(400, "ExpiredToken"), Stop::Never);
    }
    let fault = Fault::OF_ANSWERS
        .into_iter()
        .find(|fault| world.is_fair(*fault, &asked.key) && world.strikes(*fault));
    match fault {
        Some(Fault::Failing) => return (refusal(500, "InternalError"), Stop::Never),
        Some(Fault::Throttling) => return (refusal(503, "SlowDown"), Stop::Never),
        Some(Fault::Expired) => {
            world.expires(authorization.as_deref());
            return (refusal(400, "ExpiredToken"), Stop::Never);
        }
        Some(Fault::Gone) => {
            world.is_final(asked);
            return (refusal(404, "NoSuchKey"), Stop::Never);
        }
        Some(Fault::Changed) => world.changes(&asked.key),
        _ => {}
    }
    let mut store = world.store.borrow_mut();
    let Some(stored) = store.iter_mut().find(|stored| stored.key == asked.key) else {
        return (refusal(404, "NoSuchKey"), Stop::Never);
    };
    let version = stored.now().clone();
    if asked.version.as_ref().is_some_and(|asked| *asked != version.etag) {
        return (refusal(412, "PreconditionFailed"), Stop::Never);
    }
    let total = version.bytes.len();
    let part = asked.range.as_deref().and_then(|range| bounds(range, total));
    let (start, end) = part.unwrap_or((0, total));
    let mut body = version.bytes[start..end].to_vec();
    let mut head = format!("content-length: {}\r\netag: {}\r\n", body.len(), version.etag);
    let status = match part {
        Some(_) => {
            let shift = usize::from(fault == Some(Fault::WrongRange));
            head += &format!("content-range: bytes {}-{}/{total}\r\n", start + shift, end - 1);
            "206 Partial Content"
        }
        None => {
            if let Some((name, value)) = stored.checksum() {
                head += &format!("x-amz-checksum-{name}: {value}\r\n");
                let kind = if value.contains('-') { "COMPOSITE" } else { "FULL_OBJECT" };
                head += &format!("x-amz-checksum-type: {kind}\r\n");
            }
            "200 OK"
        }
    };
    if fault == Some(Fault::Flipped) && !body.is_empty() {
        stored.was_flipped.set(true);
        let at = world.below(body.len());
        body[at] ^= 1 << world.below(8);
    }
    let mut answer = format!("HTTP/1.1 {status}\r\n{head}\r\n").into_bytes();
    answer.extend(body);
    let within = world.below(answer.len());
    let stop = match fault {
        Some(Fault::Silence) => Stop::Silent(within),
        Some(Fault::Truncated) => Stop::Closing(within),
        _ => Stop::Never,
    };
    (answer, stop)
}

/// `bytes=0-99` as a half-open range.
fn bounds(range: &str, total: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < total).then_some((first, last + 1))
}

fn refusal(status: u16, code: &str) -> Vec<u8> {
    let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
    let bytes = body.len();
    format!("HTTP/1.1 {status} {code}\r\ncontent-length: {bytes}\r\n\r\n{body}").into_bytes()
}
