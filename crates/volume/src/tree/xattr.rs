//! Extended attributes, by a path through the directory's descriptor so that links, nodes and unreadable files have them too.

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lremovexattr, lsetxattr};
use rustix::io::Errno;

use crate::VolumeError;

/// One extended attribute: name and value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Full name with its namespace, as `user.comment`.
    pub name: Vec<u8>,
    /// Value, any bytes.
    pub value: Vec<u8>,
}

/// A path that names `name` in the directory behind `directory`, whatever happens to the directory's own path. The last piece
/// is never followed by the calls here.
pub(crate) fn pinned_path(directory: impl AsFd, name: &[u8]) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(if name.is_empty() { b"." } else { name });
    path
}

/// Whether this process sees attributes in the namespace `trusted.`. Without CAP_SYS_ADMIN the kernel leaves them out of every answer, so that
/// nothing tells whether a file has any.
pub fn sees_trusted_xattrs() -> bool {
    std::fs::read_to_string("/proc/thread-self/status").is_ok_and(|status| has_sys_admin(&status))
}

/// Whether a process's status, as /proc shows it, has CAP_SYS_ADMIN among the effective capabilities.
fn has_sys_admin(status: &str) -> bool {
    const SYS_ADMIN: u32 = 21;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    bits.is_some_and(|bits| bits & (1 << SYS_ADMIN) != 0)
}

/// Names of all attributes, sorted; none where the file system has no attributes.
pub(crate) fn names(pinned: &[u8], shown: &Path) -> Result<Vec<Vec<u8>>, VolumeError> {
    let mut list = vec![0_u8; 1024];
    let length = loop {
        match llistxattr(pinned, list.as_mut_slice()) {
            Ok(length) => break length,
            Err(Errno::RANGE) if list.len() < 1 << 20 => list = vec![0_u8; list.len() * 8],
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(errno) => return Err(VolumeError::list_xattrs(shown)(errno)),
        }
    };
    let pieces = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut names: Vec<Vec<u8>> = pieces.map(<[u8]>::to_vec).collect();
    names.sort_unstable();
    Ok(names)
}

/// All attributes with their values, sorted by name.
pub(crate) fn read_all(pinned: &[u8], shown: &Path) -> Result<Vec<Xattr>, VolumeError> {
    let mut found = Vec::new();
    for name in names(pinned, shown)? {
        match read(pinned, &name) {
            Ok(value) => found.push(Xattr { name, value }),
            // Removed between listing and reading; a file that changes is noticed by its ctime.
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(failure(shown, &name, false, errno)),
        }
    }
    Ok(found)
}

fn read(pinned: &[u8], name: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0_u8; 256];
    loop {
        match lgetxattr(pinned, name, value.as_mut_slice()) {
            Ok(length) => {
                value.truncate(length);
                return Ok(value);
            }
            Err(Errno::RANGE) if value.len() < 1 << 20 => value = vec![0_u8; value.len() * 16],
            Err(errno) => return Err(errno),
        }
    }
}

/// Makes the attributes equal `wanted`: sets what differs, removes what is not wanted. Attributes that only a privileged
/// process may set are left out on request; every other failure is an error that names the attribute.
pub(crate) fn apply(
    pinned: &[u8],
    shown: &Path,
    wanted: &[Xattr],
    skip_privileged: bool,
) -> Result<(), VolumeError> {
    let present = names(pinned, shown)?;
    if wanted.is_empty() && present.is_empty() {
        return Ok(());
    }
    for name in &present {
        if is_managed(name) && !wanted.iter().any(|xattr| &xattr.name == name) {
            match lremovexattr(pinned, name.as_slice()) {
                Ok(()) | Err(Errno::NODATA) => {}
                Err(_) if skip_privileged && is_privileged(name) => {}
                Err(errno) => return Err(failure(shown, name, true, errno)),
            }
        }
    }
    for xattr in wanted {
        let same =
            present.contains(&xattr.name) && read(pinned, &xattr.name).is_ok_and(|now| now == xattr.value);
        if same {
            continue;
        }
        match lsetxattr(pinned, xattr.name.as_slice(), &xattr.value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(_) if skip_privileged && is_privileged(&xattr.name) => {}
            Err(errno) => return Err(failure(shown, &xattr.name, true, errno)),
        }
    }
    Ok(())
}

/// `trusted.*` needs `CAP_SYS_ADMIN`, `security.*` other than file capabilities the security module's consent.
fn is_privileged(name: &[u8]) -> bool {
    name.starts_with(b"trusted.") || (name.starts_with(b"security.") && name != b"security.capability")
}

/// Attributes that a restore takes away when the snapshot has none; a label that the security module gave stays.
fn is_managed(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
        || name.starts_with(b"system.posix_acl_")
        || name == b"security.capability"
}

fn failure(shown: &Path, name: &[u8], setting: bool, errno: Errno) -> VolumeError {
    VolumeError::Xattr {
        path: shown.into(),
        name: String::from_utf8_lossy(name).into_owned(),
        setting,
        source: errno.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::has_sys_admin;

    #[test]
    fn the_capability_is_found_in_the_kernels_words() {
        let status =
            |digits: &str| format!("Name:\tx\nCapPrm:\tffffffffffffffff\nCapEff:\t{digits}\nCapBnd:\t0\n");
        assert!(has_sys_admin(&status("000001ffffffffff")));
        assert!(has_sys_admin(&status("0000000000200000")));
        assert!(!has_sys_admin(&status("0000000000000002")));
        assert!(!has_sys_admin(&status("")) && !has_sys_admin(""));
    }
}
