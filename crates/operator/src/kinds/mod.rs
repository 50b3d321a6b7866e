//! One folder per kind: `observe` reads the cluster into plain data, `decide` is pure, `act` carries the decision out.

mod attempt;
pub mod backup;
mod ending;
pub mod forget;
pub mod keeper;
pub mod repository;
pub mod restore;
mod waiting;
