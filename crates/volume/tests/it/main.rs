//! Volumes as the kernel has them: real images, real trees, real loop devices.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod block;
mod tree;
