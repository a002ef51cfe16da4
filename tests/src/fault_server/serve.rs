//! One thread a connection: requests in, steps applied, answers out.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::answer::Answer;
use super::deed::deed;
use super::deliver::deliver;
use super::request::Request;
use super::script::{Call, Step};
use super::wire::{Body, Peer, announced};
use super::{REGION, Seen, Shared, State, signature};

/// Of a body that is larger, nothing is read before a refusal.
const SMALL_BODY: usize = 64 << 10;

pub(super) fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.stopped.load(Ordering::Acquire) {
            return;
        }
        let shared = Arc::clone(shared);
        shared.state().open += 1;
        std::thread::spawn(move || {
            // A client that leaves early is part of the game.
            let served = Peer::new(client).and_then(|peer| converse(&shared, peer));
            let mut state = shared.state();
            if let Err(fault) = served
                && fault.kind() == io::ErrorKind::InvalidData
            {
                state.violations.push(fault.to_string());
            }
            state.open -= 1;
            drop(state);
            shared.changed.notify_all();
        });
    }
}

fn converse(shared: &Shared, peer: Peer) -> io::Result<()> {
    let mut next = Some(peer);
    while let Some(mut peer) = next.take() {
        let Some(request) = peer.request()? else { break };
        next = exchange(shared, peer, &request)?;
    }
    Ok(())
}

fn exchange(shared: &Shared, mut peer: Peer, request: &Request) -> io::Result<Option<Peer>> {
    let subject = request.subject();
    let Some(call) = request.call().filter(|_| request.names().0 == shared.bucket) else {
        let what = format!("no call of S3: {} {}", request.method, request.path);
        shared.state().violations.push(what);
        peer.body(request)?;
        return deliver(peer, Answer::refusal(400, "InvalidRequest", "?"), &Step::Ok, false);
    };
    let step = {
        let mut state = shared.state();
        state.seen.push(Seen {
            call,
            subject: subject.clone(),
            region: signature::region(request).unwrap_or_default().to_owned(),
            trailed: request.field("x-amz-trailer").is_some(),
        });
        state.heads.push((call, request.fields.clone()));
        state.script.next(call, &subject)
    };
    let large = announced(request)? > SMALL_BODY;
    let answer = refusal(&step, &mut shared.state().regions);
    if let Some(mut answer) = answer {
        answer.head_only = request.method == "HEAD";
        if large {
            return deliver(peer, answer, &Step::Ok, false);
        }
        peer.body(request)?;
        return deliver(peer, answer, &Step::Ok, request.keeps_alive());
    }
    match step {
        Step::Slow(wait) => std::thread::sleep(wait),
        Step::Stall if large => return peer.outwait().map(|()| None),
        Step::Reset(at) if large && at > 0 => {
            peer.take(usize::try_from(at).unwrap_or(usize::MAX))?;
            return peer.reset().map(|()| None);
        }
        _ => {}
    }
    let mut body = peer.body(request)?;
    if let (Step::Corrupt(bit), Call::Put | Call::UploadPart) = (&step, call)
        && let Some(byte) = body.bytes.get_mut(usize::try_from(bit / 8).unwrap_or(0))
    {
        *byte ^= 1 << (bit % 8);
    }
    let answer = {
        let mut state = shared.state();
        let answer = checked(&mut state, (call, &step), request, body);
        if matches!(call, Call::GetWhole | Call::GetRange) && answer.status < 300 {
            *state.served.entry(subject).or_default() += answer.body.len() as u64;
        }
        answer
    };
    deliver(peer, answer, &step, request.keeps_alive())
}

/// The deed, if the request may ask for it; what may not be is noted.
fn checked(
    state: &mut State,
    (call, step): (Call, &Step),
    request: &Request,
    body: Body,
) -> Answer {
    let spoilt = matches!(step, Step::Corrupt(_)) && matches!(call, Call::Put | Call::UploadPart);
    let regions: Vec<_> =
        std::iter::once(REGION).chain(state.regions.iter().map(String::as_str)).collect();
    if let Err(why) = signature::check(request, &body.bytes, &regions) {
        state.violations.push(format!("{call:?} {}: {why}", request.path));
        return Answer::refusal(403, "SignatureDoesNotMatch", "the server's own check");
    }
    let answer = deed(&mut state.table, call, request, body);
    if answer.status == 400 && !spoilt {
        let why = String::from_utf8_lossy(&answer.body).into_owned();
        state.violations.push(format!("{call:?} {}: {why}", request.path));
    }
    // No body of a refusal comes after a HEAD.
    Answer { head_only: request.method == "HEAD", ..answer }
}

fn refusal(step: &Step, regions: &mut Vec<String>) -> Option<Answer> {
    match step {
        Step::Status(status, body) => Some(Answer::of(*status, body.clone().into_bytes())),
        Step::RedirectRegion(region) => {
            regions.push(region.clone());
            let answer = Answer::refusal(301, "PermanentRedirect", "another region");
            Some(answer.with("x-amz-bucket-region", region))
        }
        Step::TokenExpired => Some(Answer::refusal(400, "ExpiredToken", "the token has expired")),
        _ => None,
    }
}
