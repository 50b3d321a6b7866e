//! What tests of several crates share: the conformance suite of stores, a store that fails on command, file systems that are full.
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
mod small_volume;

pub use fault::{Fault, FaultStore, Request};
pub use rights::RightsStore;
pub use small_volume::{SmallVolume, small_volume};
