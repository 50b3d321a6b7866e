//! The contract between operator and mover
