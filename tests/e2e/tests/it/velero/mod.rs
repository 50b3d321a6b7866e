//! Scenarios under an unmodified Velero.

mod another_mover;
mod cancelled;
mod database;
mod plugin;
mod road;
mod servers_killed;
