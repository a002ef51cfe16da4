//! Runs task pods: on this machine (`run`), with everything a pod needs beside
//! it — an embedded store and the local service.

pub mod service;
pub mod store;
pub mod workflow;
