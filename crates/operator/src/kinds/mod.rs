//! One folder per kind: `observe` reads the cluster into plain data, `decide` is pure, `act` carries the decision out.

pub mod backup;
mod ending;
pub mod keeper;
pub mod restore;
mod waiting;
