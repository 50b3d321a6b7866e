//! Loop devices. The kernel's own list (`/sys/block/loop*`) is the only record of which file is attached where.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode};

use crate::command;
use crate::error::DriverError;
use crate::mounts;

/// Major number of loop devices.
pub const LOOP_MAJOR: u32 = 7;
/// Nodes that must exist in `/dev`: machines without udev have only eight, and the kubelet needs one of its own for each
/// Block volume.
const NODES: u32 = 256;
/// Attempts to win a free device against other processes.
const ATTEMPTS: usize = 64;

/// How long to wait for a device that was told to go, and how often to look.
const PATIENCE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(5);

/// A loop device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopDevice {
    /// Its minor number.
    pub number: u32,
}

/// A loop device and the file behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The device.
    pub device: LoopDevice,
    /// The file, by its present name, or the last one it had.
    pub backing: PathBuf,
    /// The file has no name any more; another file may have that one.
    pub is_deleted: bool,
}

impl LoopDevice {
    /// Its node in `/dev`.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/dev/loop{}", self.number))
    }

    /// Its device number, as `stat` reports it.
    pub fn device_number(&self) -> u64 {
        rustix::fs::makedev(LOOP_MAJOR, self.number)
    }

    /// Makes the device see that its file has grown.
    pub fn refresh_size(&self) -> Result<(), DriverError> {
        command::run("losetup", &["--set-capacity".as_ref(), self.path().as_os_str()]).map(drop)
    }

    /// Releases the device. The kernel waits for the last user before it really does.
    pub fn detach(&self) -> Result<(), DriverError> {
        match command::run("losetup", &["--detach".as_ref(), self.path().as_os_str()]) {
            // Somebody else released it meanwhile.
            Err(_) if backing_of(self.number).is_none() => Ok(()),
            result => result.map(drop),
        }
    }
}

impl LoopDevice {
    /// The device was told to go and does so when its last user closes it.
    fn is_leaving(&self) -> bool {
        let flag = std::fs::read_to_string(format!("/sys/block/loop{}/loop/autoclear", self.number));
        flag.is_ok_and(|flag| flag.trim() == "1")
    }
}

/// All attached loop devices of the machine.
pub fn all() -> Result<Vec<Attached>, DriverError> {
    let folder = Path::new("/sys/block");
    let mut attached = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(DriverError::io("list", folder))? {
        let entry = entry.map_err(DriverError::io("list", folder))?;
        let number = entry.file_name().to_str().and_then(|name| name.strip_prefix("loop")?.parse().ok());
        let Some(number) = number else { continue };
        if let Some((backing, is_deleted)) = backing_of(number) {
            attached.push(Attached { device: LoopDevice { number }, backing, is_deleted });
        }
    }
    Ok(attached)
}

/// The file behind device `number`, if it is attached, and whether it is deleted.
fn backing_of(number: u32) -> Option<(PathBuf, bool)> {
    let name = std::fs::read_to_string(format!("/sys/block/loop{number}/loop/backing_file")).ok()?;
    let name = name.trim_end_matches('\n');
    let present = name.strip_suffix(" (deleted)");
    Some((PathBuf::from(present.unwrap_or(name)), present.is_some()))
}

/// The device that `file` is attached to, if any.
pub fn find(file: &Path) -> Result<Option<LoopDevice>, DriverError> {
    let attached = all()?.into_iter().find(|attached| attached.backing == file && !attached.is_deleted);
    Ok(attached.map(|attached| attached.device))
}

/// Waits until a device of `file` that is on its way out is gone: programs killed together with their driver may hold it for
/// a moment. Returns the device that stays.
fn find_staying(file: &Path) -> Result<Option<LoopDevice>, DriverError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match find(file)? {
            Some(device) if device.is_leaving() && Instant::now() < deadline => std::thread::sleep(INTERVAL),
            found => return Ok(found),
        }
    }
}

/// Releases the device of `file` if no mount uses it, and tells whether `file` has none any more.
pub fn release(file: &Path) -> Result<bool, DriverError> {
    match find_staying(file)? {
        Some(device) => Ok(detach_unused(&device)? && find_staying(file)?.is_none()),
        None => Ok(true),
    }
}

/// Attaches `file`, or finds the device that it is attached to. The caller holds the lock of the volume.
pub fn attach(file: &Path, read_only: bool) -> Result<LoopDevice, DriverError> {
    if let Some(device) = find_staying(file)? {
        return Ok(device);
    }
    let mut lost = None;
    for _ in 0..ATTEMPTS {
        let free = command::run("losetup", &["--find"])?;
        let Some(number) = free.strip_prefix("/dev/loop").and_then(|number| number.parse().ok()) else {
            continue;
        };
        make_node(number)?;
        let mut arguments = vec![free.as_ref(), file.as_os_str()];
        if read_only {
            arguments.insert(0, "--read-only".as_ref());
        }
        let output = command::output("losetup", &arguments)?;
        if output.status.success() {
            return Ok(LoopDevice { number });
        }
        // Between the two commands another process took the device; then the next one is tried.
        lost = Some(command::failure("losetup", &arguments, &output));
    }
    Err(lost.unwrap_or(DriverError::NotOffered { capability: "a free loop device" }))
}

/// Releases `device` if no mount uses it.
pub fn detach_unused(device: &LoopDevice) -> Result<bool, DriverError> {
    if !mounts::of(device)?.is_empty() {
        return Ok(false);
    }
    device.detach()?;
    Ok(true)
}

/// Makes the device nodes that are missing in `/dev`.
pub fn make_nodes() -> Result<(), DriverError> {
    (0..NODES).try_for_each(make_node)
}

fn make_node(number: u32) -> Result<(), DriverError> {
    let path = LoopDevice { number }.path();
    if path.exists() {
        return Ok(());
    }
    let device = rustix::fs::makedev(LOOP_MAJOR, number);
    let mode = Mode::from_raw_mode(0o660);
    match rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::BlockDevice, mode, device) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(DriverError::io("make the device node", path)(error)),
    }
}
