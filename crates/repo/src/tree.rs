//! Writing and reading file trees.

mod read;
mod write;

pub(crate) use read::LenientEntries;
pub use read::{Entries, FileRuns, TreeReader};
pub use write::{DirectoryWriter, FileWriter};
