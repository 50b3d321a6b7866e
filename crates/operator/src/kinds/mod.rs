//! One folder per kind: `observe` reads the cluster into plain data, `decide` is pure, `act` carries the decision out.

pub mod backup;
pub mod data_download;
pub mod data_upload;
mod ending;
pub mod keeper;
pub mod restore;
pub mod velero;
mod waiting;
