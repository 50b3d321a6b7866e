//! Writing file trees back, never outside the target.
//!
//! Every step goes through the descriptor of a directory that was reached piece by piece without following a link, so that
//! neither a hostile snapshot nor a link that lies in the target leads elsewhere.

mod directory;
mod file;
mod names;

pub use directory::{TargetDirectory, TreeTarget};
pub use file::{FileTarget, OpenedFile};
pub use names::check_name;

/// How to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct TargetOptions {
    /// Leave out attributes that only a fully privileged process may set (`trusted.*`, security labels) instead of failing.
    pub skip_privileged_xattrs: bool,
    /// Leave owner and group to the process; what an ordinary user wants when he restores other people's files.
    pub skip_owner: bool,
}
