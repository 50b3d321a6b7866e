//! The Velero plugin of Longshore: one program that an unmodified Velero server starts and calls.
//!
//! Two halves. The *protocol*: how Velero starts a plugin and speaks to it (`arguments`, `process`, `log`, `services`, `proto`). The
//! *actions*: what is done with a volume when it is backed up, restored or deleted (`actions`, `selection`, `policy`, `item`), as pure
//! decisions with a thin layer of calls to the API server (`cluster`).
//!
//! # Guarantees
//! - Nothing is remembered between calls: names are derived from UIDs, so a call that is repeated, by this process or another, makes nothing twice.
//! - Listing the plugins touches neither files nor network, so it cannot keep a Velero server from starting.
//! - Bytes from outside never end the process; they are answered with an error.
//!
//! # Does not know
//! The repository, its keys, or how volumes are read: all of that is the operator's and the mover's.

pub mod actions;
pub mod arguments;
pub mod cluster;
pub mod install;
pub mod item;
pub mod log;
pub mod policy;
pub mod process;
pub mod proto;
pub mod selection;
pub mod services;
