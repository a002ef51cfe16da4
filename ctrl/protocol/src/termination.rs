//! The termination message.
