//! `install DIR`: the program copies itself to where a Velero server looks for plugins. This is what the init container that
//! `velero plugin add` makes runs.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Name of the installed program.
pub const NAME: &str = "longshore-velero-plugin";

/// Why the program could not be copied.
#[derive(Debug, thiserror::Error)]
#[error("cannot install the plugin in {}", folder.display())]
pub struct InstallError {
    folder: PathBuf,
    #[source]
    source: io::Error,
}

/// Copies the running program into `folder`, whole or not at all, and returns where it is.
///
/// # Errors
/// When the folder cannot be written.
pub fn install(folder: &Path) -> Result<PathBuf, InstallError> {
    let target = folder.join(NAME);
    // Velero runs whatever is executable in that folder, so the half copy is not.
    let half = folder.join(format!(".{NAME}.half"));
    let copy = || {
        let bytes = fs::read(std::env::current_exe()?)?;
        fs::write(&half, bytes)?;
        fs::rename(&half, &target)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(0o755))
    };
    match copy() {
        Ok(()) => Ok(target),
        Err(source) => Err(InstallError { folder: folder.to_owned(), source }),
    }
}
