//! Scenarios under an unmodified Velero.

mod another_mover;
mod cancelled;
mod database;
mod road;
mod servers_killed;
