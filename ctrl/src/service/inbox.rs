//! What the service asks for.

use osmo_protocol::logger::Action;

/// An action, as far as this version goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Everything before a `LOG_DONE` is stored.
    Acknowledged,
    /// The group is complete.
    BarrierPassed,
    /// Run the command again.
    Restart,
    /// A terminal, a port, browsers or rsync.
    Session(Action),
    /// Unknown, or no action at all.
    Nothing,
}

/// Reads a frame of either kind.
pub(crate) fn read(payload: &[u8]) -> Wish {
    match Action::decode(payload) {
        Ok(Action::LogDone) => Wish::Acknowledged,
        Ok(Action::Barrier) => Wish::BarrierPassed,
        Ok(Action::Restart) => Wish::Restart,
        Ok(
            action @ (Action::Exec { .. }
            | Action::PortForward { .. }
            | Action::WebServer { .. }
            | Action::Rsync { .. }),
        ) => Wish::Session(action),
        Ok(Action::Unknown) | Err(_) => Wish::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use osmo_protocol::logger::{Action, Route};

    use super::{Wish, read};

    fn route(router: &str, key: &str) -> Route {
        Route { router_address: router.into(), key: key.into(), cookie: "c".into() }
    }

    #[test]
    fn actions_are_read_as_the_service_writes_them() {
        for (payload, wish) in [
            (r#"{"action": "log_done"}"#, Wish::Acknowledged),
            (r#"{"action":"barrier"}"#, Wish::BarrierPassed),
            (r#"{"action":"restart"}"#, Wish::Restart),
            (
                r#"{"action":"exec","router_address":"wss://r","key":"EXEC-0","cookie":"c","entry_command":"/bin/bash"}"#,
                Wish::Session(Action::Exec {
                    route: route("wss://r", "EXEC-0"),
                    entry_command: "/bin/bash".into(),
                }),
            ),
            (
                r#"{"action":"portforward","router_address":"r","key":"k","cookie":"c","task_port":8080,"use_udp":false}"#,
                Wish::Session(Action::PortForward {
                    route: route("r", "k"),
                    task_port: 8080,
                    use_udp: false,
                }),
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
