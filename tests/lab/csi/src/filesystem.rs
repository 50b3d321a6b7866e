//! ext4 and xfs: making, mounting, growing, renewing the UUID. Everything that knows one of them by name.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::command;
use crate::error::DriverError;

/// Exit code of `blkid` when it recognises nothing.
const BLKID_NOTHING: i32 = 2;
/// Worst exit code of `e2fsck` that leaves a sound file system (1: errors corrected, 2: and a reboot advised).
const E2FSCK_SOUND: i32 = 2;

/// A file system that volumes can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsType {
    /// The default.
    Ext4,
    /// With reflinks.
    Xfs,
}

impl FsType {
    /// From the name in a StorageClass; an empty name leaves the choice open.
    pub fn parse(name: &str) -> Result<Option<Self>, DriverError> {
        match name {
            "" => Ok(None),
            "ext4" => Ok(Some(Self::Ext4)),
            "xfs" => Ok(Some(Self::Xfs)),
            other => Err(DriverError::UnsupportedCapability { reason: format!("file system {other}") }),
        }
    }

    /// Its name, as `mount -t` wants it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// Smallest volume that `mkfs` accepts, in bytes.
    pub fn smallest_bytes(self) -> u64 {
        match self {
            Self::Ext4 => 1 << 20,
            Self::Xfs => 300 << 20,
        }
    }

    /// Makes a file system in the image.
    pub fn make(self, image: &Path) -> Result<(), DriverError> {
        let image = image.as_os_str();
        match self {
            Self::Ext4 => command::run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), "-m0".as_ref(), image]),
            Self::Xfs => command::run(
                "mkfs.xfs",
                &["-q".as_ref(), "-f".as_ref(), "-m".as_ref(), "reflink=1,crc=1".as_ref(), image],
            ),
        }
        .map(drop)
    }

    /// Mounts `device` at `target`. `flags` are options as `mount -o` takes them.
    pub fn mount(
        self,
        device: &Path,
        target: &Path,
        flags: &[String],
        read_only: bool,
    ) -> Result<(), DriverError> {
        let mut options = vec![if read_only { "ro" } else { "rw" }];
        options.extend(flags.iter().map(String::as_str));
        if self == Self::Xfs {
            // The clusters of the lab share one kernel: a copy restored block by block meets its original there.
            options.push("nouuid");
        }
        let options = options.join(",");
        command::run(
            "mount",
            &[
                "-t".as_ref(),
                self.name().as_ref(),
                "-o".as_ref(),
                OsStr::new(&options),
                device.as_ref(),
                target.as_ref(),
            ],
        )
        .map(drop)
    }

    /// Makes the mounted file system as large as its device. No change is success.
    pub fn grow_mounted(self, device: &Path, mount_point: &Path) -> Result<(), DriverError> {
        match self {
            Self::Ext4 => {
                let output = command::output("resize2fs", &[device])?;
                let said = String::from_utf8_lossy(&output.stderr);
                match output.status.success() {
                    true => Ok(()),
                    // The kernel wants CAP_SYS_RESOURCE, which a container's root need not have.
                    false if said.contains("Permission denied") => {
                        Err(DriverError::GrowRefused { path: mount_point.to_owned() })
                    }
                    false => Err(command::failure("resize2fs", &[device], &output)),
                }
            }
            Self::Xfs => command::run("xfs_growfs", &["-d".as_ref(), mount_point.as_os_str()]).map(drop),
        }
    }
}

/// Size of the ext4 file system in an image, in bytes, from its superblock.
pub fn ext4_bytes(image: &Path) -> Result<u64, DriverError> {
    let mut superblock = [0; 1024];
    let read = File::open(image).and_then(|file| file.read_exact_at(&mut superblock, 1024));
    read.map_err(DriverError::io("read the superblock of", image))?;
    let word =
        |at: usize| superblock.iter().skip(at).take(4).rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    // s_blocks_count_lo, s_log_block_size; s_blocks_count_hi counts only with the feature `64bit`.
    let high = if word(0x60) & 0x80 == 0 { 0 } else { word(0x150) };
    Ok((high << 32 | word(0x4)).saturating_mul(1024 << word(0x18).min(6)))
}

/// Makes an unmounted ext4 image sound and as large as its file, and, with `new_uuid`, gives it a UUID of its own. Steps that
/// may not be interrupted, so `image` is a copy that is thrown away if they are.
pub fn renew_ext4(image: &Path, new_uuid: bool) -> Result<(), DriverError> {
    let file = image.as_os_str();
    command::run_tolerating("e2fsck", &["-f".as_ref(), "-p".as_ref(), file], E2FSCK_SOUND)?;
    command::run("resize2fs", &[file])?;
    if !new_uuid {
        return Ok(());
    }
    // With metadata checksums a new UUID means new checksums everywhere, for which tune2fs wants a fresh check.
    command::run_tolerating("e2fsck", &["-f".as_ref(), "-p".as_ref(), file], E2FSCK_SOUND)?;
    command::run("tune2fs", &["-U".as_ref(), "random".as_ref(), file]).map(drop)
}

/// Gives an unmounted xfs image with a clean log a UUID of its own.
pub fn renew_xfs_uuid(image: &Path) -> Result<(), DriverError> {
    command::run("xfs_admin", &["-U".as_ref(), "generate".as_ref(), image.as_os_str()]).map(drop)
}

/// What the image or device holds, in the words of `blkid`, or none.
pub fn detect(image: &Path) -> Result<Option<String>, DriverError> {
    let arguments = ["-p", "-s", "TYPE", "-o", "value"].map(OsStr::new);
    let arguments = [&arguments[..], &[image.as_os_str()]].concat();
    let output = command::output("blkid", &arguments)?;
    match output.status.code() {
        Some(0) => {
            Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
                .filter(|name| !name.is_empty()))
        }
        Some(BLKID_NOTHING) => Ok(None),
        _ => Err(command::failure("blkid", &arguments, &output)),
    }
}
