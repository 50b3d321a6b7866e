//! The Longshore operator: moves objects, never bytes.
//!
//! Owns the life of a run in the cluster: the copies of snapshot objects and the volume in the protected namespace, the mover's Job, the status
//! that users and backup tools read, and that nothing stays behind. Every kind has a folder in [`kinds`] with the same three steps: `observe` reads,
//! `decide` is pure, `act` writes. Start with [`kinds::backup::decide`].
//!
//! # Guarantees
//! - All state is in the API server. Killing the operator between any two calls leaks nothing and repeats nothing.
//! - Children are found by label and UID; an object that is not ours is never touched.
//! - No verb on Secrets: movers mount them, and their pods' status says what is missing.
//!
//! # Does not know
//! Repositories, keys, stores: it reaches no crate that can decrypt.

pub mod children;
pub mod class_options;
pub mod cluster;
pub mod context;
pub mod followers;
pub mod gauges;
pub mod kinds;
pub mod lanes;
pub mod leader;
pub mod mover;
pub mod names;
pub mod objects;
pub mod options;
pub mod program;
pub mod reason;
pub mod reference;
pub mod repositories;
pub mod repository_volume;
pub mod runner;
pub mod schedule;
pub mod slots;
pub mod status;
pub mod sweep;
pub mod temporary;
pub mod velero;
pub mod watches;
