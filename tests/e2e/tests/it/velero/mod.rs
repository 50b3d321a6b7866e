//! Scenarios under an unmodified Velero.

mod another_mover;
mod cancelled;
mod database;
#[cfg(feature = "long")]
mod many;
#[cfg(feature = "long")]
mod operator_killed;
mod plugin;
mod road;
mod schedule;
mod servers_killed;
