//! From a volume into the repository.

mod file;
mod parent;
mod tree;
mod volume;
mod walk;
mod window;

pub(crate) use file::SEGMENT_BYTES;
pub use tree::{TreeBackup, TreeBackupOptions, TreeParent, TreeTotals, backup_tree};
pub use volume::{VolumeTotals, backup_volume};
