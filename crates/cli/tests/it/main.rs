//! `longshore` as its users run it: the real program, real files, a real repository in a folder.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod compare;
mod failures;
mod full;
mod json;
mod key;
mod kill;
mod kills;
mod memory;
mod mover;
mod mover_maintenance;
#[cfg(feature = "kubectl")]
mod plugin;
mod protection;
mod repair;
mod roundtrip;
mod sandbox;
mod secrets;
