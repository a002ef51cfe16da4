//! The token call.
