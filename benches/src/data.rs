//! The data: a file system image of real files and what changes in it, random bytes, many small files.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Bytes of made data that stand for a database: blocks half random, half text, so that they compress about twofold.
const DATABASE_BYTES: usize = 256 << 20;

/// Makes an ext4 image of `size_gib` in a folder, filled to about half with toolchains and sources of this machine.
///
/// # Errors
/// When there are no such files or mke2fs fails.
pub fn make_image(folder: &Path, size_gib: u64) -> Result<PathBuf> {
    eprintln!("making an image of {size_gib} GiB");
    let image = folder.join("disk.img");
    let tree = tempfile::tempdir_in(folder)?;
    fs::write(tree.path().join("database"), database(DATABASE_BYTES))?;
    let mut left_bytes = (size_gib << 30) / 2 - DATABASE_BYTES as u64;
    for (index, source) in sources()?.into_iter().enumerate() {
        let bytes = folder_bytes(&source)?;
        if bytes > left_bytes {
            continue;
        }
        left_bytes -= bytes;
        let target = tree.path().join(index.to_string());
        ensure!(Command::new("cp").arg("-a").arg(&source).arg(target).status()?.success(), "cp failed");
    }
    File::create(&image)?.set_len(size_gib << 30)?;
    let status = Command::new("/sbin/mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-d"])
        .arg(tree.path())
        .arg(&image)
        .status()?;
    ensure!(status.success(), "mke2fs failed");
    Ok(image)
}

/// Makes a file of bytes that neither compress nor repeat.
///
/// # Errors
/// When it cannot be written.
pub fn make_random(folder: &Path, bytes: u64) -> Result<PathBuf> {
    eprintln!("making {} MiB of random bytes", bytes >> 20);
    let path = folder.join("random.img");
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut file = File::create(&path)?;
    let mut block = vec![0; 1 << 20];
    for _ in 0..bytes >> 20 {
        noise.fill(&mut block);
        file.write_all(&block)?;
    }
    file.sync_all()?;
    Ok(path)
}

/// Makes a folder of small files, 100 in each of its folders, between 100 bytes and 3 KiB, half of each noise.
///
/// # Errors
/// When they cannot be written.
pub fn make_tree(folder: &Path, files: u32) -> Result<PathBuf> {
    eprintln!("making {files} files");
    let root = folder.join("tree");
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut sizes = blake3::Hasher::new().update(b"sizes").finalize_xof();
    for file in 0..files {
        let inner = root.join((file / 100).to_string());
        if file % 100 == 0 {
            fs::create_dir_all(&inner)?;
        }
        let mut size = [0; 2];
        sizes.fill(&mut size);
        let size = 100 + usize::from(u16::from_le_bytes(size)) % 2972;
        let mut body = b"a line of text that many files have\n".repeat(size / 36 + 1);
        body.truncate(size);
        noise.fill(&mut body[..size / 2]);
        fs::write(inner.join(file.to_string()), body)?;
    }
    Ok(root)
}

/// Folders of real files: toolchains, then sources.
fn sources() -> Result<Vec<PathBuf>> {
    let print = |program: &str, words: &[&str]| -> Result<PathBuf> {
        let output = Command::new(program).args(words).output()?;
        Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
    };
    let rust = print("rustc", &["--print", "sysroot"])?;
    let home = PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?);
    let candidates = [
        print("go", &["env", "GOROOT"])?,
        rust.join("bin"),
        rust.join("lib"),
        home.join(".cargo/registry/src"),
        "/usr/lib".into(),
        "/usr/share".into(),
    ];
    Ok(candidates.into_iter().filter(|path| path.exists()).collect())
}

/// Deterministic bytes, so that every run has the same image.
fn database(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut data = Vec::with_capacity(bytes);
    while data.len() < bytes {
        for _ in 0..256 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            data.extend_from_slice(&state.to_le_bytes());
        }
        data.extend(std::iter::repeat_n(b"customer order paid shipped ", 74).flatten().take(2048));
    }
    data.truncate(bytes);
    data
}

/// Changes about 1% of the image: single 8 KiB pages all over it, and one new run of 10 MiB.
///
/// # Errors
/// When the image cannot be written.
pub fn change_image(image: &Path) -> Result<()> {
    let file = OpenOptions::new().write(true).open(image)?;
    let bytes = file.metadata()?.len();
    let fresh = database(10 << 20);
    for page in (0..bytes / 8192).step_by(1499) {
        let at = usize::try_from(page % 1024)? * 8;
        file.write_all_at(&fresh[at..at + 8192], page * 8192)?;
    }
    file.write_all_at(&fresh, bytes / 2)?;
    file.sync_all()?;
    Ok(())
}

/// Bytes that a folder's files take on disk.
///
/// # Errors
/// When it cannot be read.
pub fn folder_bytes(folder: &Path) -> Result<u64> {
    let output = Command::new("du").args(["-s", "--block-size=1"]).arg(folder).output()?;
    let text = String::from_utf8(output.stdout)?;
    text.split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .with_context(|| format!("du printed {text:?}"))
}

/// Whether two files or trees hold the same bytes.
///
/// # Errors
/// When one cannot be read.
pub fn is_equal(left: &Path, right: &Path) -> Result<bool> {
    if left.is_dir() {
        let status = Command::new("diff").args(["-r", "--no-dereference"]).args([left, right]).status()?;
        return Ok(status.success());
    }
    let (mut left, mut right) = (File::open(left)?, File::open(right)?);
    if left.metadata()?.len() != right.metadata()?.len() {
        return Ok(false);
    }
    let (mut buffer_left, mut buffer_right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = left.read(&mut buffer_left)?;
        if count == 0 {
            return Ok(true);
        }
        right.read_exact(&mut buffer_right[..count])?;
        if buffer_left[..count] != buffer_right[..count] {
            return Ok(false);
        }
    }
}
