//! Which names a snapshot may bring.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::VolumeError;

/// Longest name that Linux file systems take, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Refuses names that are no names: empty, `.`, `..`, with `/` or NUL, or too long.
pub fn check_name(name: &[u8]) -> Result<(), VolumeError> {
    let hostile = name.is_empty()
        || name == b"."
        || name == b".."
        || name.len() > NAME_BYTES_MAX
        || name.iter().any(|byte| matches!(byte, b'/' | 0));
    if hostile { Err(VolumeError::HostileName { path: OsStr::from_bytes(name).into() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_leave_the_target() {
        for name in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0b", &[b'x'; 256]] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in [&b"a"[..], b"...", b".a", b"\xff\xfe", b"a\nb", &[b'x'; 255]] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
    }
}
