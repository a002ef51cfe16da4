//! ^C and SIGTERM: the first one cancels, so that nothing is left half-done;
//! the second one ends the process at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{SigSet, Signal};

use crate::exit::Exit;

type Cancel = Box<dyn Fn() + Send>;

static STATE: Mutex<State> = Mutex::new(State { cancel: None, signalled: false });

struct State {
    cancel: Option<Cancel>,
    signalled: bool,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Blocks the signals in this thread and all that it starts from now on, and
/// waits for them in one of its own. Call it before any thread starts.
pub(crate) fn watch() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    if signals.thread_block().is_err() {
        return;
    }
    let watching = std::thread::Builder::new().name("osmo-signals".into()).spawn(move || {
        while signals.wait().is_ok() {
            let mut state = state();
            if state.signalled {
                std::process::exit(i32::from(Exit::Interrupted.code()));
            }
            state.signalled = true;
            if let Some(cancel) = &state.cancel {
                cancel();
            }
        }
    });
    if watching.is_err() {
        // Nobody would ever see them: let them end the process instead.
        let _ = signals.thread_unblock();
    }
}

/// What the next signal cancels, or the one that came before there was
/// anything to cancel.
pub(crate) fn cancels(cancel: impl Fn() + Send + 'static) {
    let mut state = state();
    if state.signalled {
        cancel();
    }
    state.cancel = Some(Box::new(cancel));
}
