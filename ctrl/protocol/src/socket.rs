//! The unix socket between sidecar and agent.
