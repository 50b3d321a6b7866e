//! Writing and reading file trees.

mod read;
mod write;

pub use read::{Entries, FileRuns, TreeReader};
pub use write::{DirectoryWriter, FileWriter};
