//! The flag grammar of the pod's programs.
