//! Builders of the objects that runs create. Pure: a run in, an object out.

mod job;
mod storage;

pub use job::{CONTAINER, MoverOptions, MoverPod, mounts_repository, mover_job};
pub use storage::{ClaimRequest, SnapshotHandle, claim, content, snapshot_of_claim, snapshot_of_content};

#[cfg(test)]
mod tests;
