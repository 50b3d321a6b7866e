//! What tests of several crates share: the conformance suite of stores, and a store that fails on command.
//!
//! A dev-dependency only. Must not know: the repository and what its bytes mean. First type to read: [`FaultStore`].

pub mod conformance;
mod fault;
#[cfg(feature = "minio")]
pub mod minio;

pub use fault::{Fault, FaultStore, Request};
