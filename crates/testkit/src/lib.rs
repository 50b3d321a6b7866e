//! What tests of several crates share: the conformance suite of stores, and a store that fails on command.
//!
//! A dev-dependency only. Must not know: the repository and what its bytes mean. First type to read: [`FaultStore`].

pub mod conformance;
#[cfg(feature = "minio")]
pub mod emulator;
mod fault;
#[cfg(feature = "minio")]
pub mod minio;
mod rights;
#[cfg(feature = "minio")]
mod server;

pub use fault::{Fault, FaultStore, Request};
pub use rights::RightsStore;
