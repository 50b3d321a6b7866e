//! The repository as its users see it, on real stores.

mod crash;
mod golden;
mod hostile;
mod init;
mod runs;
mod support;
mod tree;
mod volume;
