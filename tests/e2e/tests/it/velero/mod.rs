//! Scenarios under an unmodified Velero.

mod another_mover;
