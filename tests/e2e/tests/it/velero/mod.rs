//! Scenarios under an unmodified Velero.

mod another_mover;
mod cancelled;
mod database;
#[cfg(feature = "long")]
mod many;
mod plugin;
mod road;
mod schedule;
mod servers_killed;
