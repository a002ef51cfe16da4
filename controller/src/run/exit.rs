//! The runner's own exit codes, beside the task's (sysexits).

/// The command line makes no sense.
pub const USAGE: u8 = 64;
/// The workflow file, or what stands beside it, cannot be used.
pub const DATA: u8 = 65;
/// The machine would not give what a run needs (ports, folders, processes).
pub const UNAVAILABLE: u8 = 69;

/// A task's code as a process status: what does not fit is 255.
pub fn status(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// An error with its causes, each said once, and a remedy for a full disk.
pub(super) fn sentence(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    let is_full = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
            == Some(std::io::ErrorKind::StorageFull)
    };
    if error.chain().any(is_full) {
        text.push_str("; free some space, or name folders on another disk with --state and --work");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn causes_are_said_once() {
        let full = std::io::Error::from_raw_os_error(28);
        let error =
            anyhow::Error::from(full).context("write x: No space left on device (os error 28)");
        let said = sentence(&error);
        assert_eq!(said.matches("No space").count(), 1, "{said}");
        assert!(said.ends_with("--state and --work"), "{said}");
    }
}
