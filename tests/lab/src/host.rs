//! What the lab changes on the machine itself, and gives back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::paths::Paths;
use crate::shell::{run, succeeds};

/// The kubelet sets these for the whole machine; their former values are kept and restored by `down`.
const SET_BY_KUBELET: &[&str] = &[
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];
const FILE_WATCHERS: &str = "fs/inotify/max_user_instances";

/// Shares mounts, makes room for file watchers, and remembers the settings that will change.
///
/// Sharing of mounts (the default wherever systemd runs) is not taken back: it cannot be known which mounts were private before.
pub(crate) fn prepare(paths: &Paths) -> Result<()> {
    remember(paths)?;
    if !Path::new("/sys/module/overlay").exists() {
        succeeds("modprobe", &["overlay"]);
    }
    // The kubelet must see the driver's mounts, and containers the kubelet's.
    run("mount", &["--make-rshared", "/"])?;
    let instances: u32 = fs::read_to_string(setting(FILE_WATCHERS))?.trim().parse()?;
    if instances < 1024 {
        fs::write(setting(FILE_WATCHERS), "1024")?;
    }
    Ok(())
}

/// Gives the settings their former values.
pub(crate) fn restore(paths: &Paths) -> Result<()> {
    let Ok(bytes) = fs::read(kept(paths)) else { return Ok(()) };
    let values: BTreeMap<String, String> = serde_json::from_slice(&bytes).unwrap_or_default();
    for (name, value) in values {
        fs::write(setting(&name), &value).with_context(|| format!("could not restore {name}"))?;
    }
    Ok(())
}

fn remember(paths: &Paths) -> Result<()> {
    let kept = kept(paths);
    if kept.exists() {
        return Ok(());
    }
    let mut values = BTreeMap::new();
    for name in SET_BY_KUBELET.iter().chain([&FILE_WATCHERS]) {
        if let Ok(value) = fs::read_to_string(setting(name)) {
            values.insert((*name).to_owned(), value.trim().to_owned());
        }
    }
    fs::create_dir_all(paths.state())?;
    let half = kept.with_extension("half");
    fs::write(&half, serde_json::to_vec_pretty(&values)?)?;
    Ok(fs::rename(half, kept)?)
}

fn kept(paths: &Paths) -> PathBuf {
    paths.state().join("settings.json")
}

fn setting(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}
