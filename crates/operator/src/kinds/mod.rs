//! One folder per kind: `observe` reads the cluster into plain data, `decide` is pure, `act` carries the decision out.

mod attempt;
pub mod backup;
pub mod data_download;
pub mod data_move;
pub mod data_upload;
mod ending;
pub mod forget;
pub mod keeper;
pub mod repository;
pub mod restore;
mod waiting;
