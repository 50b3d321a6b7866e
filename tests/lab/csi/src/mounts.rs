//! The kernel's mount table, and mounting. The table is the truth about what is staged and published; nothing is cached.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::error::DriverError;
use crate::loop_device::{LOOP_MAJOR, LoopDevice};

/// How long [`unmount`] waits for a busy mount, and how often it tries.
const PATIENCE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(10);

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Major and minor number of the mounted file system.
    pub device: (u32, u32),
    /// The folder or file of that file system that is mounted.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// Whether this mount is read-only.
    pub read_only: bool,
    /// Type of the file system.
    pub fs_type: String,
}

impl Mount {
    /// Whether this is the file system on `device`, or its device node bind-mounted to another place.
    pub fn is_of(&self, device: &LoopDevice) -> bool {
        if self.device == (LOOP_MAJOR, device.number) {
            return true;
        }
        let name = format!("loop{}", device.number);
        self.root.file_name().is_some_and(|root| root.as_bytes() == name.as_bytes())
            && std::fs::metadata(&self.point).is_ok_and(|metadata| {
                metadata.file_type().is_block_device() && metadata.rdev() == device.device_number()
            })
    }
}

/// All mounts that this process sees, oldest first.
pub fn all() -> Result<Vec<Mount>, DriverError> {
    let table = Path::new("/proc/self/mountinfo");
    let bytes = std::fs::read(table).map_err(DriverError::io("read", table))?;
    Ok(bytes.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// The topmost mount at exactly `point`.
pub fn at(point: &Path) -> Result<Option<Mount>, DriverError> {
    Ok(all()?.into_iter().rfind(|mount| mount.point == point))
}

/// All mounts of `device`, bind mounts of its node included.
pub fn of(device: &LoopDevice) -> Result<Vec<Mount>, DriverError> {
    Ok(all()?.into_iter().filter(|mount| mount.is_of(device)).collect())
}

/// Mounts the folder or file `source` at `target` too.
pub fn bind(source: &Path, target: &Path, read_only: bool) -> Result<(), DriverError> {
    rustix::mount::mount_bind(source, target).map_err(DriverError::io("bind-mount to", target))?;
    if read_only { make_read_only(target) } else { Ok(()) }
}

/// Makes the mount at `target` (not its file system) read-only.
pub fn make_read_only(target: &Path) -> Result<(), DriverError> {
    let flags = MountFlags::BIND | MountFlags::RDONLY;
    rustix::mount::mount_remount(target, flags, c"").map_err(DriverError::io("make read-only", target))
}

/// Unmounts everything stacked at `point`; nothing there is success. A busy mount is tried again for a while: programs that
/// were killed, or have just been started with a copy of somebody's open files, hold it for a moment.
pub fn unmount(point: &Path) -> Result<(), DriverError> {
    let deadline = Instant::now() + PATIENCE;
    while at(point)?.is_some() {
        match rustix::mount::unmount(point, UnmountFlags::NOFOLLOW) {
            // Another process may have been faster.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(Errno::BUSY) if Instant::now() < deadline => std::thread::sleep(INTERVAL),
            Err(error) => return Err(DriverError::io("unmount", point)(error)),
        }
    }
    Ok(())
}

/// One line: `36 35 98:0 /folder /point rw,noatime shared:1 - ext4 /dev/vda rw`. A line that is not like that is skipped.
fn parse(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let separator = fields.iter().position(|field| *field == b"-")?;
    let (major, minor) = std::str::from_utf8(fields.get(2)?).ok()?.split_once(':')?;
    Some(Mount {
        device: (major.parse().ok()?, minor.parse().ok()?),
        root: unescape(fields.get(3)?),
        point: unescape(fields.get(4)?),
        read_only: fields.get(5)?.split(|byte| *byte == b',').any(|option| option == b"ro"),
        fs_type: String::from_utf8_lossy(fields.get(separator + 1)?).into_owned(),
    })
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| tail.get(..3)).flatten();
        let code = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_mount_table_is_understood() {
        let line = br"61 29 7:3 / /mnt/a\040b\134c ro,relatime shared:5 - xfs /dev/loop3 rw,nouuid";
        let mount = parse(line).unwrap();
        assert_eq!(mount.device, (7, 3));
        assert_eq!(mount.point, Path::new(r"/mnt/a b\c"));
        assert!(mount.read_only);
        assert_eq!(mount.fs_type, "xfs");
    }

    #[test]
    fn a_damaged_line_is_skipped() {
        for line in [&b""[..], b"61 29", b"61 29 7 / /mnt rw - ext4", b"61 29 7:3 / /mnt rw -"] {
            assert_eq!(parse(line), None);
        }
        assert_eq!(unescape(br"\04"), Path::new(r"\04"));
        assert_eq!(unescape(br"a\999"), Path::new(r"a\999"));
    }
}
