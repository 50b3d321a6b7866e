//! A folder to play in, with a repository and the program.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub const PASSWORD: &str = "correct horse battery staple";

pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    /// A sandbox without a repository.
    pub fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        Self { folder }
    }

    /// A sandbox with an empty repository.
    pub fn new() -> Self {
        let sandbox = Self::empty();
        // Without a reserve: a test writes enough as it is.
        sandbox.ok(&["init", "--reserve-size", "0"]);
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with nothing of this process's environment that it listens to.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(assert_cmd::cargo::cargo_bin!("longshore"), arguments)
    }

    /// The program run by an ordinary user, who then owns everything in the sandbox: to root every file is readable.
    pub fn command_of_nobody(&self, arguments: &[&str]) -> Command {
        let program = self.path("longshore");
        fs::copy(assert_cmd::cargo::cargo_bin!("longshore"), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let handed =
            Command::new("chown").args(["-R", "65534:65534"]).arg(self.folder.path()).status().unwrap();
        assert!(handed.success());
        let mut command = self.command_of(&program, arguments);
        command.current_dir("/").uid(65534).gid(65534);
        command
    }

    fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["AWS_", "AZURE_", "GOOGLE_", "LONGSHORE_", "RESTIC_"]
                .iter()
                .any(|family| text.starts_with(family))
            {
                command.env_remove(&name);
            }
        }
        command
            .args(arguments)
            .env("LONGSHORE_REPOSITORY", self.path("repository"))
            .env("LONGSHORE_PASSWORD_FILE", self.path("password"))
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs and expects success; returns stdout without its last line break.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.expect(0, arguments).0
    }

    /// Runs and expects an exit code; returns stdout and stderr.
    pub fn expect(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(code), "longshore {arguments:?}\n{out}\n{err}");
        (out, err)
    }

    pub fn backup(&self, path: &Path) -> String {
        self.ok(&["backup", path.to_str().unwrap()])
    }

    pub fn restore(&self, snapshot: &str, target: &Path) {
        self.ok(&["restore", snapshot, target.to_str().unwrap()]);
    }
}

pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Bytes that do not compress and are the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// An image with islands of noise in a sea of nothing.
pub fn image(path: &Path, size: u64, islands: &[(u64, usize)]) {
    let file = fs::File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (number, (offset, length)) in islands.iter().enumerate() {
        file.write_all_at(&noise(number as u64 + 1, *length), *offset).unwrap();
    }
}

/// Compares two files in portions and says where they differ first.
pub fn assert_same_bytes(left: &Path, right: &Path) {
    let (one, two) = (fs::File::open(left).unwrap(), fs::File::open(right).unwrap());
    let size = one.metadata().unwrap().len();
    assert_eq!(size, two.metadata().unwrap().len(), "sizes differ");
    let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut at = 0;
    while at < size {
        let count = (size - at).min(1 << 20) as usize;
        one.read_exact_at(&mut a[..count], at).unwrap();
        two.read_exact_at(&mut b[..count], at).unwrap();
        if a[..count] != b[..count] {
            let differs = (0..count).find(|position| a[*position] != b[*position]).unwrap();
            panic!("{} and {} differ at byte {}", left.display(), right.display(), at + differs as u64);
        }
        at += count as u64;
    }
}

/// Everything about a tree as the system's own tools see it: names, kinds, modes, owners, times, links, attributes, content.
pub fn describe(root: &Path) -> String {
    let script = r#"
        export LC_ALL=C
        cd "$1"
        find . -printf '%p|%y|%m|%U:%G|%T@|%l|%n\n' | sed -E 's/^([^|]*\|d\|.*)\|[0-9]+$/\1/' | sort -z
        find . \( -type b -o -type c \) -exec stat -c '%n %t:%T' {} + | sort
        find . -type f -print0 | sort -z | xargs -0 -r sha256sum
    "#;
    let output = Command::new("bash").args(["-ec", script, "describe"]).arg(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
