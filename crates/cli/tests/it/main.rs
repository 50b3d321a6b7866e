//! `longshore` as its users run it: the real program, real files, a real repository in a folder.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod compare;
mod failures;
mod json;
mod key;
mod kill;
mod memory;
mod mover;
mod repair;
mod roundtrip;
mod sandbox;
mod secrets;
