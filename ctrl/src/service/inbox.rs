//! What the service asks for.

use osmo_protocol::logger::Action;

/// An action, as far as this version goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Everything before a `LOG_DONE` is stored.
    Acknowledged,
    /// The group is complete.
    BarrierPassed,
    /// Something that comes later; the name is for the log.
    Unavailable(&'static str),
    /// Unknown, or no action at all.
    Nothing,
}

/// Reads a frame of either kind.
pub(crate) fn read(payload: &[u8]) -> Wish {
    match Action::decode(payload) {
        Ok(Action::LogDone) => Wish::Acknowledged,
        Ok(Action::Barrier) => Wish::BarrierPassed,
        Ok(Action::Restart) => Wish::Unavailable("restart"),
        Ok(Action::Exec { .. }) => Wish::Unavailable("exec"),
        Ok(Action::PortForward { .. }) => Wish::Unavailable("port-forward"),
        Ok(Action::WebServer { .. }) => Wish::Unavailable("webserver"),
        Ok(Action::Rsync { .. }) => Wish::Unavailable("rsync"),
        Ok(Action::Unknown) | Err(_) => Wish::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::{Wish, read};

    #[test]
    fn actions_are_read_as_the_service_writes_them() {
        for (payload, wish) in [
            (r#"{"action": "log_done"}"#, Wish::Acknowledged),
            (r#"{"action":"barrier"}"#, Wish::BarrierPassed),
            (r#"{"action":"restart"}"#, Wish::Unavailable("restart")),
            (
                r#"{"action":"exec","router_address":"wss://r","key":"EXEC-0","cookie":"c","entry_command":"/bin/bash"}"#,
                Wish::Unavailable("exec"),
            ),
            (
                r#"{"action":"portforward","router_address":"r","key":"k","cookie":"c","task_port":8080,"use_udp":false}"#,
                Wish::Unavailable("port-forward"),
            ),
            (r#"{"action":"later"}"#, Wish::Nothing),
            (r#"{"action":7}"#, Wish::Nothing),
            (r#"{"action":"exec"}"#, Wish::Nothing),
            ("not json", Wish::Nothing),
            ("", Wish::Nothing),
        ] {
            assert_eq!(read(payload.as_bytes()), wish, "{payload}");
        }
    }
}
