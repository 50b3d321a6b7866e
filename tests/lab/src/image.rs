//! Container images without a registry: an archive as `docker save` writes it, of one layer that holds programs of this machine, the
//! shared libraries they name, and the few files that every program expects.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;
use tar::{Builder, EntryType, Header};

use crate::hash::sha256_hex;
use crate::packages;

/// What goes into an image. Paths are absolute paths in the image.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Name and tag, `localhost/name:tag`.
    pub name: String,
    /// Programs with their libraries: path in the image, file on this machine.
    pub programs: BTreeMap<String, PathBuf>,
    /// Links: path in the image, target.
    pub links: BTreeMap<String, String>,
    /// What starts when the pod says nothing.
    pub entrypoint: Vec<String>,
    /// Whether a C library, certificates and user names are wanted. A static program needs none.
    pub base: bool,
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nlongshore:x:65532:65532:longshore:/tmp:/sbin/nologin\n\
                      nobody:x:65534:65534:nobody:/:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nlongshore:x:65532:\nnogroup:x:65534:\n";

impl Image {
    /// Writes the archive to `target`, whole or not at all.
    pub fn write_archive(&self, target: &Path) -> Result<()> {
        let layer = self.layer().with_context(|| format!("could not put {} together", self.name))?;
        let layer_hash = sha256_hex(&layer);
        let config = serde_json::to_vec(&json!({
            "architecture": "amd64", "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "Env": ["PATH=/usr/local/bin:/usr/bin:/usr/sbin"],
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_hash}")]},
        }))?;
        let config_name = format!("{}.json", sha256_hex(&config));
        let layer_name = format!("{layer_hash}/layer.tar");
        let manifest = serde_json::to_vec(&json!([
            {"Config": config_name, "RepoTags": [self.name], "Layers": [layer_name]}
        ]))?;
        let half = target.with_extension(format!("half-{}", std::process::id()));
        let mut archive = Builder::new(File::create(&half)?);
        for (name, bytes) in [("manifest.json", &manifest), (&config_name, &config), (&layer_name, &layer)] {
            append(&mut archive, name, 0o644, bytes)?;
        }
        archive.into_inner()?.sync_all()?;
        fs::rename(&half, target)?;
        Ok(())
    }

    /// One tar with everything. In memory: the largest holds the programs of Longshore, stripped.
    fn layer(&self) -> Result<Vec<u8>> {
        let mut layer = Builder::new(Vec::new());
        let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
        for (place, program) in &self.programs {
            files.insert(place.clone(), program.clone());
            for library in libraries(program)? {
                files.insert(place_of(&library), fs::canonicalize(&library)?);
            }
        }
        if self.base {
            base(&mut layer, &mut files)?;
        }
        let mut folders = BTreeSet::new();
        for place in files.keys().chain(self.links.keys()) {
            folders.extend(Path::new(place).ancestors().skip(1).filter(|folder| folder.parent().is_some()));
        }
        for folder in folders.into_iter().filter(|folder| !MERGED.contains(&&*folder.to_string_lossy())) {
            directory(&mut layer, &folder.to_string_lossy(), 0o755)?;
        }
        for (place, file) in &files {
            let bytes = fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
            append(&mut layer, place, 0o755, &bytes)?;
        }
        for (place, target) in self.links.iter().filter(|(place, _)| !files.contains_key(*place)) {
            link(&mut layer, place, target)?;
        }
        Ok(layer.into_inner()?)
    }
}

/// Folders that are links into /usr, as on the Debian that the libraries come from.
const MERGED: [&str; 4] = ["/bin", "/sbin", "/lib", "/lib64"];

fn base(layer: &mut Builder<Vec<u8>>, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for folder in ["usr", "etc", "root", "proc", "sys", "dev", "run", "var"] {
        directory(layer, folder, 0o755)?;
    }
    for folder in ["bin", "sbin", "lib", "lib64"] {
        directory(layer, &format!("usr/{folder}"), 0o755)?;
        link(layer, folder, &format!("usr/{folder}"))?;
    }
    directory(layer, "tmp", 0o1777)?;
    for (name, text) in [
        ("etc/passwd", PASSWD),
        ("etc/group", GROUP),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    ] {
        append(layer, name, 0o644, text.as_bytes())?;
    }
    let certificates = "/etc/ssl/certs/ca-certificates.crt";
    files.insert(certificates.to_owned(), PathBuf::from(certificates));
    // Name resolution loads these at run time, so no program names them.
    for folder in ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"] {
        for name in ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"] {
            let library = Path::new(folder).join(name);
            if library.exists() {
                files.insert(library.to_string_lossy().into_owned(), library);
            }
        }
    }
    Ok(())
}

/// The shared libraries of a program, the loader among them; none for a static one.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("could not start ldd")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':'));
    Ok(found.map(PathBuf::from).collect())
}

/// /lib and /usr/lib are one folder.
fn place_of(library: &Path) -> String {
    let path = library.to_string_lossy();
    if path.starts_with("/lib") { format!("/usr{path}") } else { path.into_owned() }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn append<W: std::io::Write>(into: &mut Builder<W>, place: &str, mode: u32, bytes: &[u8]) -> Result<()> {
    let mut header = header(EntryType::Regular, mode, u64::try_from(bytes.len())?);
    Ok(into.append_data(&mut header, place.trim_start_matches('/'), bytes)?)
}

fn directory<W: std::io::Write>(into: &mut Builder<W>, place: &str, mode: u32) -> Result<()> {
    let mut header = header(EntryType::Directory, mode, 0);
    Ok(into.append_data(&mut header, place.trim_start_matches('/'), std::io::empty())?)
}

fn link<W: std::io::Write>(into: &mut Builder<W>, place: &str, target: &str) -> Result<()> {
    let mut header = header(EntryType::Symlink, 0o777, 0);
    Ok(into.append_link(&mut header, place.trim_start_matches('/'), target)?)
}

/// An image for application pods: a shell, file tools, file system tools.
pub(crate) fn workload() -> Result<Image> {
    const TOOLS: &[&str] = &[
        "bash",
        "find",
        "xargs",
        "sha256sum",
        "stat",
        "dd",
        "cp",
        "mv",
        "rm",
        "ln",
        "ls",
        "mknod",
        "mkfifo",
        "touch",
        "chown",
        "chmod",
        "truncate",
        "sort",
        "tar",
        "cat",
        "head",
        "tail",
        "sync",
        "cmp",
        "mkfs.xfs",
        "mkfs.ext4",
        "tune2fs",
        "xfs_io",
        "xfs_admin",
        "xfs_repair",
        "xfs_db",
        "e2fsck",
        "debugfs",
        "blkid",
        "blockdev",
        "losetup",
        "lsblk",
        "getfattr",
        "setfattr",
        "getfacl",
        "setfacl",
        "fsfreeze",
        "fallocate",
        "mount",
        "umount",
        "findmnt",
        "chattr",
        "lsattr",
    ];
    let mut image = Image { name: "localhost/workload:dev".into(), base: true, ..Image::default() };
    let busybox = packages::find("busybox").context("busybox is missing")?;
    let applets = crate::shell::output_of(Command::new(&busybox).arg("--list"))?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        image.links.insert(format!("/usr/bin/{applet}"), "busybox".into());
    }
    image.programs.insert("/usr/bin/busybox".into(), busybox);
    for tool in TOOLS {
        let file = packages::find(tool).with_context(|| format!("{tool} is missing"))?;
        image.programs.insert(format!("/usr/bin/{tool}"), fs::canonicalize(file)?);
    }
    // Busybox's shell prefers its own applets to the real tools, so the shell is another one.
    image.links.insert("/usr/bin/sh".into(), "bash".into());
    image.links.insert("/usr/bin/xfs_freeze".into(), "fsfreeze".into());
    image.entrypoint = vec!["/usr/bin/sh".into()];
    Ok(image)
}

/// The image that holds a pod's namespaces open.
pub(crate) fn pause(program: PathBuf) -> Image {
    let programs = BTreeMap::from([("/pause".to_owned(), program)]);
    Image {
        name: "localhost/pause:dev".into(),
        programs,
        entrypoint: vec!["/pause".into()],
        ..Image::default()
    }
}

/// Longshore's own image, from binaries that cargo built: the same places and entry point as in the Dockerfile.
pub(crate) fn longshore(programs: BTreeMap<String, PathBuf>) -> Image {
    let entrypoint = vec!["/usr/local/bin/longshore-operator".into()];
    Image { name: "localhost/longshore:dev".into(), programs, base: true, entrypoint, ..Image::default() }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn entries(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in tar::Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            found.insert(entry.path().unwrap().to_string_lossy().into_owned(), bytes);
        }
        found
    }

    #[test]
    fn an_archive_names_its_parts_by_their_hashes_and_holds_the_libraries() {
        let folder = tempfile::tempdir().unwrap();
        let program = fs::canonicalize("/bin/sh").unwrap();
        let image = Image {
            name: "localhost/a:b".into(),
            programs: BTreeMap::from([("/usr/bin/sh".to_owned(), program.clone())]),
            base: true,
            ..Image::default()
        };
        let target = folder.path().join("image.tar");
        image.write_archive(&target).unwrap();
        let parts = entries(&fs::read(&target).unwrap());
        let manifest: serde_json::Value = serde_json::from_slice(&parts["manifest.json"]).unwrap();
        let layer = &parts[manifest[0]["Layers"][0].as_str().unwrap()];
        let config = &parts[manifest[0]["Config"].as_str().unwrap()];
        let config: serde_json::Value = serde_json::from_slice(config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256_hex(layer)));
        let files = entries(layer);
        assert_eq!(files["usr/bin/sh"], fs::read(program).unwrap());
        assert!(files.keys().any(|name| name.ends_with("/libc.so.6")), "{:?}", files.keys());
        assert!(files.contains_key("etc/ssl/certs/ca-certificates.crt"));
    }
}
