//! Saving what can be saved of a damaged repository, and saying what cannot.
//!
//! ```text
//!   repair packs      reads packs ─► report under bad/ ─► good frames into new packs ─► what is lost, by snapshot
//!   next backup       stores again what reports name; old snapshots find it by id
//!   repair snapshots  what is still lost is left out of a new snapshot, with a mark
//! ```

mod packs;
mod snapshots;

pub use packs::{DamagedPack, PacksRepair};
