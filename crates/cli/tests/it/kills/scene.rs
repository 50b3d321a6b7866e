//! A repository in one of two places, and the program at it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use longshore_job::{CONTRACT_VERSION, JobDocument, RunIdentity, VolumeMode};
use longshore_repo::store::{Store, StoreSettings, open};
use longshore_repo::{Credential, Repository};
use longshore_testkit::minio::Minio;

use crate::mover::backup;
use crate::sandbox::{Sandbox, texts};

/// Sessions that say nothing for so long are given up: short, so that the test need not wait, and long enough for a busy machine.
pub const SILENCE_SECONDS: u64 = 3;

/// Where the repository is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Folder,
    Minio,
}

pub struct Scene {
    pub sandbox: Sandbox,
    pub place: Place,
    location: String,
    variables: BTreeMap<String, String>,
    key: PathBuf,
    _minio: Option<Minio>,
}

impl Scene {
    /// An empty repository with small packs, opened by a key file: a password would cost each process more than its work.
    pub fn new(place: Place) -> Self {
        let sandbox = Sandbox::new();
        let key = sandbox.path("key");
        sandbox.ok(&["key", "add", "--role", "maintenance", "--new-key-file", key.to_str().unwrap()]);
        let minio = (place == Place::Minio).then(|| Minio::start(false).unwrap());
        let location = match &minio {
            Some(minio) => format!("s3:{}/bucket/kills", minio.endpoint()),
            None => sandbox.path("store").to_str().unwrap().to_owned(),
        };
        let variables = minio.as_ref().map(Minio::variables).unwrap_or_default();
        let scene = Self { sandbox, place, location, variables, key, _minio: minio };
        scene.write_secret();
        let silence = format!("{SILENCE_SECONDS}s");
        scene.ok(&["init", "--silence-limit", &silence, "--pack-size", "1M", "--reserve-size", "2M"]);
        scene
    }

    fn write_secret(&self) {
        let secret = self.sandbox.path("secret");
        fs::create_dir(&secret).unwrap();
        fs::write(secret.join("RESTIC_REPOSITORY"), &self.location).unwrap();
        fs::copy(&self.key, secret.join("RESTIC_PASSWORD")).unwrap();
    }

    /// The program, with what leads to this repository.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(arguments);
        command.env_remove("LONGSHORE_PASSWORD_FILE").env("LONGSHORE_KEY_FILE", &self.key);
        command.env("LONGSHORE_REPOSITORY", &self.location).envs(&self.variables);
        command
    }

    /// A mover that backs up a volume for a run.
    pub fn mover(&self, volume: &Path, run: &str) -> Command {
        let identity = RunIdentity { uid: run.into(), namespace: "shop".into(), name: "run".into() };
        let document =
            JobDocument { version: CONTRACT_VERSION, run: identity, task: backup(VolumeMode::Block) };
        let path = |name: &str| self.sandbox.path(name).to_str().unwrap().to_owned();
        let mut command = self.command(&[
            "mover",
            "--credentials",
            &path("secret"),
            "--result",
            &path("result"),
            "--block",
            volume.to_str().unwrap(),
        ]);
        command.env_remove("LONGSHORE_KEY_FILE").env("LONGSHORE_JOB", document.to_json().unwrap());
        command
    }

    /// Runs and expects success; returns stdout.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let (out, err) = texts(&output);
        assert!(output.status.success(), "{:?}: longshore {arguments:?}\n{out}\n{err}", self.place);
        out
    }

    /// Runs with `-o json` and expects success.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let all: Vec<&str> = ["-o", "json"].iter().chain(arguments).copied().collect();
        serde_json::from_str(&self.ok(&all)).unwrap()
    }

    pub fn store(&self) -> Arc<dyn Store> {
        open(&self.location, &StoreSettings::new(self.variables.clone())).unwrap().0
    }

    /// The repository, for what the program does not show.
    pub fn repository(&self) -> Repository {
        let key = fs::read(&self.key).unwrap();
        let key = Credential::parse(key.trim_ascii_end().to_vec()).unwrap();
        Repository::open(self.store(), key).unwrap()
    }
}
