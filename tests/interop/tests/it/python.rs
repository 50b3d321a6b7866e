//! The reader's program, and the interpreter that it needs.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::NamedTempFile;

/// The reader, turned to one repository.
pub struct Reader {
    repository: PathBuf,
    password: NamedTempFile,
}

impl Reader {
    pub fn new(repository: &Path, password: &str) -> Self {
        let file = NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{password}\n")).unwrap();
        Self { repository: repository.to_owned(), password: file }
    }

    /// The records of all snapshots, oldest first.
    pub fn list(&self) -> Vec<Value> {
        serde_json::from_str(&self.ok(&["list"])).unwrap()
    }

    pub fn restore(&self, run: &str, target: &Path) {
        self.ok(&["restore", run, target.to_str().unwrap()]);
    }

    /// Reads and proves every byte; returns how many objects of each kind there were.
    pub fn verify(&self) -> BTreeMap<String, u64> {
        serde_json::from_str(&self.ok(&["verify"])).unwrap()
    }

    /// Expects a failure; returns what the reader said.
    pub fn refused(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(!output.status.success(), "{words:?} should have failed");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the reader's {words:?} failed:\n{said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(interpreter())
            .args(["-m", "longshore_reader", "--repository"])
            .arg(&self.repository)
            .arg("--password-file")
            .arg(self.password.path())
            .args(words)
            .env("PYTHONPATH", reader())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap()
    }
}

fn reader() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reader")
}

/// The interpreter of a virtual environment that holds the reader's dependencies, in exactly the versions of
/// `requirements.txt`. It is made once and kept with the project's other tools.
fn interpreter() -> &'static Path {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    INTERPRETER.get_or_init(|| {
        let requirements = reader().join("requirements.txt");
        let digest = blake3::hash(&fs::read(&requirements).unwrap()).to_hex();
        let tools = cache().join("tools");
        let folder = tools.join(format!("interop-reader-{}", &digest[..16]));
        fs::create_dir_all(&tools).unwrap();
        // Two test programs may come at once.
        let lock = File::create(tools.join("interop-reader.lock")).unwrap();
        lock.lock().unwrap();
        let (python, complete) = (folder.join("bin/python"), folder.join("complete"));
        if !complete.exists() {
            make(&folder);
            let mut install = Command::new(&python);
            install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
            run(install.arg(&requirements));
            fs::write(complete, b"").unwrap();
        }
        python
    })
}

fn make(folder: &Path) {
    let system = env::var_os("LONGSHORE_PYTHON").unwrap_or_else(|| "python3".into());
    let check = "import sys; sys.exit(sys.version_info < (3, 11))";
    let fits = Command::new(&system).args(["-c", check]).status();
    assert!(
        fits.is_ok_and(|status| status.success()),
        "the independent reader needs Python 3.11 or later as `python3`, or named in LONGSHORE_PYTHON"
    );
    run(Command::new(&system).args(["-m", "venv", "--clear"]).arg(folder));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What outlives a checkout; the same place as that of `cargo xtask`.
fn cache() -> PathBuf {
    let named = |name: &str| env::var_os(name).map(PathBuf::from);
    let base = || named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    named("LONGSHORE_CACHE").or_else(|| Some(base()?.join("longshore"))).expect("HOME is set")
}
