//! The repository as its users see it, on real stores.

// Helpers of tests fail by panicking, like tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checkpoint;
mod crash;
mod damage;
mod diff;
mod forgery;
mod golden;
mod hostile;
mod index;
mod init;
mod keys;
mod locked;
mod minio;
mod narrow;
mod prune;
mod reserve;
mod roles;
mod runs;
mod scale;
mod stats;
mod support;
mod tree;
mod volume;
