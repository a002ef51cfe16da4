//! Whether the user's places may be used, before anything moves.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use osmo_engine::job::Purpose;
use osmo_engine::{Error, ErrorKind};
use osmo_protocol::exit::ExitCode;
use osmo_protocol::items::{Input, Output, Owner};
use osmo_protocol::logger::LineType;

use super::{Transfers, plan};
use crate::lifecycle::Failure;

/// Places that are asked at the same time.
const AT_ONCE: usize = 8;
/// Questions per place; the original's number.
const TRIES_MAX: u32 = 3;
/// Before the second question; the third comes after twice the time.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Turns the check off.
const SKIP: &str = "OSMO_SKIP_DATA_AUTH";

/// One place and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    url: String,
    purpose: Purpose,
}

impl Transfers {
    /// Asks for every place of the user.
    ///
    /// # Errors
    /// The first that may not be used (14), or cannot be asked (13).
    pub(super) async fn check(&self, inputs: &[Input], outputs: &[Output]) -> Result<(), Failure> {
        let places = places(inputs, outputs);
        if places.is_empty() || std::env::var_os(SKIP).is_some_and(|value| value == "1") {
            return Ok(());
        }
        self.told("Validating data access permissions...");
        let config = plan::config(&self.flags, Owner::Url);
        let asked = stream::iter(places).map(|place| self.place(place, config.clone()));
        let mut asked = asked.buffer_unordered(AT_ONCE);
        let mut cancelled = self.cancelled.clone();
        loop {
            let answer = tokio::select! {
                answer = asked.next() => answer,
                _ = cancelled.wait_for(|is| *is) => {
                    let sentence = "The check of data access was given up";
                    return Err(Failure::new(ExitCode::AccessCheck, sentence));
                }
            };
            match answer {
                Some(answer) => answer?,
                None => break,
            }
        }
        self.told("All data access validations passed");
        Ok(())
    }

    fn told(&self, text: &str) {
        self.log.say(LineType::OsmoCtrl, text);
    }

    async fn place(&self, place: Place, config: Option<PathBuf>) -> Result<(), Failure> {
        let Place { url, purpose } = place;
        self.told(&match purpose {
            Purpose::Write => format!("Validating WRITE access for URI output: {url}"),
            _ => format!("Validating READ access for URI input: {url}"),
        });
        let mut attempt = 1;
        let error = loop {
            let asked = self.mover.check(&url, purpose, config.clone());
            let error = match tokio::time::timeout(LIMIT, asked).await {
                Ok(Ok(())) => {
                    self.told(&format!("Data auth validation successful for {url}"));
                    return Ok(());
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    let sentence = format!("no answer within {} s", LIMIT.as_secs());
                    Error::new(ErrorKind::Unreachable, sentence)
                }
            };
            if attempt == TRIES_MAX || is_answer(&error) {
                break error;
            }
            tokio::time::sleep(PAUSE * attempt).await;
            attempt += 1;
        };
        self.told(&format!("Data auth validation failed for {url}: {error}"));
        Err(failure(&url, purpose, &error))
    }
}

/// What asking again does not change.
fn is_answer(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Denied
            | ErrorKind::NotFound
            | ErrorKind::Usage
            | ErrorKind::Config
            | ErrorKind::Unsupported
    )
}

fn failure(url: &str, purpose: Purpose, error: &Error) -> Failure {
    let (access, task) = match purpose {
        Purpose::Write => ("WRITE", "write to"),
        _ => ("READ", "read"),
    };
    match error.kind() {
        ErrorKind::Denied => Failure::new(
            ExitCode::AccessDenied,
            format!(
                "The credentials do not allow the task to {task} {url}: {error}; give them \
                 {access} access, or set others with `osmo credential set`"
            ),
        ),
        ErrorKind::NotFound => Failure::new(
            ExitCode::AccessDenied,
            format!("The task cannot {task} {url}: {error}; check the URL"),
        ),
        _ => Failure::new(
            ExitCode::AccessCheck,
            format!(
                "Could not check {access} access to {url}: {error}; check the URL, its endpoint \
                 and credentials, or set {SKIP}=1 to start without the check"
            ),
        ),
    }
}

/// Each place once.
fn places(inputs: &[Input], outputs: &[Output]) -> Vec<Place> {
    let read = inputs
        .iter()
        .filter(|input| input.owner == Owner::Url)
        .map(|input| Place { url: input.url.clone(), purpose: Purpose::Read });
    let write = outputs
        .iter()
        .filter(|output| output.owner() == Owner::Url)
        .map(|output| Place { url: output.url().to_owned(), purpose: Purpose::Write });
    let mut places: Vec<Place> = Vec::new();
    for place in read.chain(write) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}
