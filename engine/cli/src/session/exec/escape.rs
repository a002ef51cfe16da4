//! Leaving a program that does not let go: Enter `~` `.`, as in ssh.

/// What came of some keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// For the program.
    Keys(Vec<u8>),
    /// Leave, after these.
    Leave(Vec<u8>),
}

/// Reads keys, however they are cut.
#[derive(Debug)]
pub(super) struct Escape {
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    LineBegins,
    Tilde,
    Within,
}

impl Escape {
    pub(super) fn new() -> Self {
        Self { state: State::LineBegins }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Typed {
        let mut keys = Vec::with_capacity(bytes.len() + 1);
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::LineBegins, b'~') => State::Tilde,
                (State::Tilde, b'.') => return Typed::Leave(keys),
                (State::Tilde, b'~') => {
                    keys.push(b'~');
                    State::Within
                }
                (state, _) => {
                    if matches!(state, State::Tilde) {
                        keys.push(b'~');
                    }
                    keys.push(byte);
                    if matches!(byte, b'\r' | b'\n') { State::LineBegins } else { State::Within }
                }
            };
        }
        Typed::Keys(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::{Escape, Typed};

    // Expected as ssh(1) says of escape characters.
    #[test]
    fn only_tilde_dot_at_a_line_s_begin_leaves() {
        let push = |bytes: &[u8]| Escape::new().push(bytes);
        assert_eq!(push(b"~."), Typed::Leave(b"".to_vec()));
        assert_eq!(push(b"ls\r~.rest"), Typed::Leave(b"ls\r".to_vec()));
        assert_eq!(push(b"a~."), Typed::Keys(b"a~.".to_vec()));
        assert_eq!(push(b"~~."), Typed::Keys(b"~.".to_vec()));
        assert_eq!(push(b"~a"), Typed::Keys(b"~a".to_vec()));
        assert_eq!(push(b"cd ~/x\r"), Typed::Keys(b"cd ~/x\r".to_vec()));
    }

    #[test]
    fn however_it_is_cut() {
        let mut escape = Escape::new();
        assert_eq!(escape.push(b"x\r"), Typed::Keys(b"x\r".to_vec()));
        assert_eq!(escape.push(b"~"), Typed::Keys(vec![]));
        assert_eq!(escape.push(b"."), Typed::Leave(vec![]));
        let mut escape = Escape::new();
        assert_eq!(escape.push(b"~"), Typed::Keys(vec![]));
        assert_eq!(escape.push(b"\r"), Typed::Keys(b"~\r".to_vec()));
    }
}
