//! Reading file trees with everything a POSIX file system holds.

mod file;
mod metadata;
mod names;
mod scan;
pub(crate) mod xattr;

pub use file::FileReader;
pub use metadata::{Entry, Kind, Metadata, Timestamp, display_path};
pub use names::NameList;
pub use scan::{Directory, Tree, TreeOptions};
pub use xattr::{Xattr, sees_trusted_xattrs};
