//! The driver as its users see it: a process with a socket, real loop devices, real mounts. Needs root.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod crash;
mod faults;
mod offers;
mod sanity;
mod volumes;
