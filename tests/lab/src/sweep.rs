//! Removes what an earlier run left behind: processes, mounts, loop devices, control groups, network namespaces, CNI records. Nothing is
//! found by a program's name; everything by the lab's own marker, folder, control group or interface name.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Signal;

use crate::process::{self, MARKER};
use crate::shell::{succeeds, wait_until};

const RELEASE: Duration = Duration::from_secs(10);

/// Kills every process whose environment carries the marker of `state`, and whose arguments name something under `folder`.
pub(crate) fn marked_processes(state: &Path, folder: &Path) -> Result<()> {
    wait_until("end of leftover processes", Duration::from_secs(15), || {
        let found = find_marked(state, folder)?;
        found.iter().for_each(|pid| process::kill(*pid, Signal::KILL));
        Ok(found.is_empty())
    })
}

fn find_marked(state: &Path, folder: &Path) -> Result<Vec<i32>> {
    let wanted = [MARKER.as_bytes(), b"=", state.as_os_str().as_bytes()].concat();
    let everything = folder == state;
    let mut found = Vec::new();
    for pid in process::process_ids()? {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if !environment.split(|byte| *byte == 0).any(|entry| entry == wanted) {
            continue;
        }
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if (everything || contains(&arguments, folder.as_os_str().as_bytes()))
            && process::start_time(pid).is_some()
        {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Processes, mounts and loop devices of the lab, and its folder.
pub(crate) fn leftovers(state: &Path) -> Result<Vec<String>> {
    let mut found: Vec<String> =
        find_marked(state, state)?.iter().map(|pid| format!("process {pid}")).collect();
    found.extend(mounts_below(state)?.iter().map(|mount| format!("mount {}", mount.display())));
    found.extend(loops_below(state)?.iter().map(|device| format!("loop device {}", device.display())));
    found.extend(state.exists().then(|| state.display().to_string()));
    Ok(found)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    // The folder's name must end there: "origin" is not "origin2".
    text.windows(part.len() + 1)
        .any(|window| window.starts_with(part) && matches!(window[part.len()], b'/' | 0))
}

/// The control groups called `name`, one per version-1 hierarchy, or the single one of version 2.
pub(crate) fn control_groups(name: &str) -> Vec<PathBuf> {
    control_groups_in(Path::new("/sys/fs/cgroup"), name)
}

fn control_groups_in(root: &Path, name: &str) -> Vec<PathBuf> {
    if root.join("cgroup.procs").exists() {
        // Version 2: what lies below are groups, not hierarchies.
        return vec![root.join(name)];
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    // Some hierarchies go by two names, one of them a link.
    let mut hierarchies: Vec<PathBuf> =
        entries.filter_map(|entry| fs::canonicalize(entry.path()).ok()).collect();
    hierarchies.retain(|hierarchy| hierarchy.join("cgroup.procs").exists());
    hierarchies.sort();
    hierarchies.dedup();
    hierarchies.iter().map(|hierarchy| hierarchy.join(name)).collect()
}

/// Kills what runs in the control groups called `name` (containers) and removes the groups.
pub(crate) fn remove_control_groups(name: &str) -> Result<()> {
    for group in control_groups(name).into_iter().filter(|group| group.exists()) {
        wait_until(&format!("removal of {}", group.display()), Duration::from_secs(15), || {
            let mut folders = Vec::new();
            collect_folders(&group, &mut folders);
            for folder in &folders {
                let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                text.lines()
                    .filter_map(|line| line.parse().ok())
                    .for_each(|pid| process::kill(pid, Signal::KILL));
                // A frozen group's processes die only after the thaw.
                let _ = fs::write(folder.join("freezer.state"), "THAWED");
            }
            for folder in folders.iter().rev() {
                let _ = fs::remove_dir(folder);
            }
            Ok(!group.exists())
        })?;
    }
    Ok(())
}

fn collect_folders(folder: &Path, into: &mut Vec<PathBuf>) {
    into.push(folder.to_path_buf());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_folders(&entry.path(), into);
        }
    }
}

/// Unmounts everything under `folder`, innermost first, and detaches the loop devices whose file lies there.
///
/// Both in turns: a mount is busy as long as a loop device has a file of it open, and that device as long as it is mounted. A mount is torn
/// off while busy only at the end, because a device whose file is on it could not be recognised any more.
pub(crate) fn release_storage(folder: &Path) -> Result<()> {
    let start = Instant::now();
    wait_until(&format!("release of mounts and loop devices in {}", folder.display()), RELEASE, || {
        let mut flags = UnmountFlags::NOFOLLOW;
        if start.elapsed() > RELEASE / 2 {
            flags |= UnmountFlags::DETACH;
        }
        for mount in mounts_below(folder)?.iter().rev() {
            let _ = unmount(mount, flags);
        }
        for device in loops_below(folder)? {
            succeeds("losetup", &["--detach".as_ref(), device.as_os_str()]);
        }
        Ok(mounts_below(folder)?.is_empty() && loops_below(folder)?.is_empty())
    })
}

/// The mount points under `folder`, in the order they were made.
pub(crate) fn mounts_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    Ok(points.filter(|point| point.starts_with(folder)).collect())
}

/// The mount table writes space, tab, newline and backslash as octal.
fn unescape(field: &str) -> PathBuf {
    let mut text = field.to_owned();
    for (code, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        text = text.replace(code, plain);
    }
    PathBuf::from(text)
}

fn loops_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        let file = fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        let file = file.trim_end().trim_end_matches(" (deleted)");
        if !file.is_empty() && Path::new(file).starts_with(folder) {
            found.push(Path::new("/dev").join(entry.file_name()));
        }
    }
    Ok(found)
}

/// Removes the records that the CNI library keeps in a fixed place, for the pods that the containerd of `folder` knew.
pub(crate) fn remove_network_records(containerd: &Path) {
    let sandboxes = containerd.join("root/io.containerd.grpc.v1.cri/sandboxes");
    let pods: Vec<String> = fs::read_dir(sandboxes)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let results = Path::new("/var/lib/cni/results");
    for entry in fs::read_dir(results).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if pods.iter().any(|pod| name.contains(pod.as_str())) {
            let _ = fs::remove_file(entry.path());
        }
    }
    for folder in [results, Path::new("/var/lib/cni")] {
        let _ = fs::remove_dir(folder); // only when empty
    }
}

/// Removes the sockets of containerd's shims to which nobody listens any more.
pub(crate) fn remove_dead_shim_sockets() {
    let folder = Path::new("/run/containerd/s");
    let Ok(open) = fs::read_to_string("/proc/net/unix") else { return };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if !open.lines().any(|line| line.ends_with(&*path.to_string_lossy())) {
            let _ = fs::remove_file(path);
        }
    }
    for folder in [folder, Path::new("/run/containerd")] {
        let _ = fs::remove_dir(folder); // only when empty
    }
}

/// Removes a folder that holds no mount any more.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    anyhow::ensure!(mounts_below(folder)?.is_empty(), "{} still holds mounts", folder.display());
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Deletes a network namespace and with it the interfaces inside.
pub(crate) fn delete_network_namespace(name: &str) -> Result<()> {
    if Path::new("/run/netns").join(name).exists() && !succeeds("ip", &["netns", "delete", name]) {
        // A run that was killed between making the file and mounting the namespace on it leaves a plain file.
        process::remove_if_there(&Path::new("/run/netns").join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_matched_to_its_end() {
        let text = b"etcd\0--data-dir=/lab/origin/etcd\0";
        assert!(contains(text, b"/lab/origin"));
        assert!(!contains(text, b"/lab/orig"));
        assert!(!contains(text, b"/lab/fresh"));
    }

    #[test]
    fn one_group_in_version_2_and_one_per_hierarchy_in_version_1() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        for hierarchy in ["memory", "cpu"] {
            fs::create_dir(root.join(hierarchy)).unwrap();
            fs::write(root.join(hierarchy).join("cgroup.procs"), "").unwrap();
        }
        std::os::unix::fs::symlink("cpu", root.join("cpuacct")).unwrap();
        assert_eq!(control_groups_in(&root, "x"), ["cpu/x", "memory/x"].map(|end| root.join(end)));
        fs::write(root.join("cgroup.procs"), "").unwrap();
        assert_eq!(control_groups_in(&root, "x"), [root.join("x")]);
    }

    #[test]
    fn mount_points_with_spaces_are_read() {
        assert_eq!(unescape("/a\\040b\\134c"), PathBuf::from("/a b\\c"));
    }
}
