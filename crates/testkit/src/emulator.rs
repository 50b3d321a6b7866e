//! What stands in on loopback for a cloud that no test can reach. For Google Cloud Storage nothing does: docs/stores.md.

use crate::{minio::SHORT, server::Server};
use anyhow::{Result, ensure};
use longshore_lab::{
    Paths, Silent,
    azure::{EMULATOR_ACCOUNT, EMULATOR_KEY, create_container},
    npm,
};
use longshore_store::StoreSettings;
use std::{collections::BTreeMap, process::Command};

/// Azurite with one empty container, `bucket`; it ends with the test.
#[derive(Debug)]
pub struct Azurite {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Azurite {
    /// Starts it. The program comes from npm, by way of the lab's cache.
    pub fn start() -> Result<Self> {
        let script = npm::azurite(&Paths::from_environment()?, &Silent)?;
        ensure!(script.is_file(), "{} is missing", script.display());
        let folder = tempfile::tempdir()?;
        let server = Server::start("Azurite", |port| {
            let mut command = Command::new("node");
            command.arg(script).args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
            command.arg("--location").arg(folder.path());
            command.args(["--silent", "--disableTelemetry", "--skipApiVersionCheck"]);
            command
        })?;
        create_container(&server.address(), "bucket")?;
        Ok(Self { server, _folder: folder })
    }

    /// The variables that reach it; its location is `az://bucket`.
    pub fn variables(&self) -> BTreeMap<String, String> {
        [
            ("AZURE_STORAGE_ACCOUNT_NAME", EMULATOR_ACCOUNT.to_owned()),
            ("AZURE_STORAGE_ACCOUNT_KEY", EMULATOR_KEY.to_owned()),
            ("AZURE_STORAGE_ENDPOINT", format!("http://{}/{EMULATOR_ACCOUNT}", self.server.address())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The settings that reach it.
    pub fn settings(&self) -> StoreSettings {
        StoreSettings::new(self.variables()).with_retry(SHORT)
    }
}
