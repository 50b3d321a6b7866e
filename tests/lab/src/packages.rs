//! Debian packages that the lab needs, installed when a tool of theirs is missing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::report::Reporter;
use crate::shell::output_of;

/// Package and a file that it brings. Asked for by file: another package may bring the tool as well.
const NEEDED: &[(&str, &str)] = &[
    ("etcd-server", "etcd"),
    ("containerd", "containerd"),
    ("containerd", "ctr"),
    ("runc", "runc"),
    ("containernetworking-plugins", "/usr/lib/cni/bridge"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("busybox-static", "busybox"),
    ("xfsprogs", "mkfs.xfs"),
    ("e2fsprogs", "mkfs.ext4"),
    ("btrfs-progs", "mkfs.btrfs"),
    ("acl", "setfacl"),
    ("attr", "setfattr"),
    ("iproute2", "ip"),
    ("kmod", "modprobe"),
    ("procps", "sysctl"),
    ("ca-certificates", "/etc/ssl/certs/ca-certificates.crt"),
];

/// Installs what is missing.
///
/// # Errors
/// Without root, or when apt fails; the message names the packages.
pub fn install(reporter: &dyn Reporter) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("the lab needs root: it makes network namespaces, mounts and loop devices");
    }
    let mut packages: Vec<&str> =
        NEEDED.iter().filter(|(_, file)| find(file).is_none()).map(|(package, _)| *package).collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    reporter.line(&format!("installing Debian packages: {}", packages.join(" ")));
    install_packages(&packages)
}

fn install_packages(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if find("apt-get").is_none() {
        bail!("there is no apt-get; install what these Debian packages hold: {names}");
    }
    let _guard = NoServices::begin()?;
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat())
        .with_context(|| format!("install by hand: apt-get install {names}"))
}

/// Installs one more package, with what it needs, when `file` is not there. Its services are not started.
///
/// # Errors
/// When apt fails.
pub fn install_for(package: &str, file: &Path, reporter: &dyn Reporter) -> Result<()> {
    if file.exists() {
        return Ok(());
    }
    reporter.line(&format!("installing Debian package {package}"));
    install_packages(&[package])
}

/// Where a tool is: an absolute path is looked at, a name is searched for.
pub fn find(tool: &str) -> Option<PathBuf> {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    folders.iter().map(|folder| Path::new(folder).join(tool)).find(|path| path.exists())
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    output_of(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive")).map(drop)
}

/// While it lives, freshly installed packages do not start their services (etcd and containerd would).
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_TEXT: &str = "#!/bin/sh\n# Made by Longshore's lab while it installs packages.\nexit 101\n";

impl NoServices {
    fn begin() -> Result<Self> {
        let there = fs::read_to_string(POLICY).ok();
        // A killed run may have left ours.
        let ours = there.is_none() || there.as_deref() == Some(POLICY_TEXT);
        if ours {
            fs::write(POLICY, POLICY_TEXT)?;
            fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}
