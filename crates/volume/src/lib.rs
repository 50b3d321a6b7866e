//! Reading and writing what a volume holds: block devices, disk images and file trees.
//!
//! Owns every system call that touches a source or a target: direct reads, holes, zeroing, metadata, extended attributes,
//! hard links, and the care not to leave a target through a symbolic link. Everything here blocks.
//!
//! Must not know: chunks, repositories, progress, threads. The mover drives it.
//!
//! Read first: [`BlockReader`] for devices and images, [`Tree`] for folders, [`TreeTarget`] for restores of folders.

mod block;
mod buffer;
mod error;
mod restore;
mod tree;

pub use block::{BlockReader, BlockWriter};
pub use buffer::{ALIGNMENT_BYTES, AlignedBuffer};
pub use error::{Class, VolumeError};
pub use restore::{FileTarget, OpenedFile, TargetDirectory, TargetOptions, TreeTarget, check_name};
pub use tree::{
    Directory, Entry, FileReader, Kind, Metadata, NameList, Timestamp, Tree, TreeOptions, Xattr,
    display_path, sees_trusted_xattrs,
};
