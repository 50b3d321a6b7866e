//! A real MinIO on loopback, in the clear or with TLS, for as long as a test needs it.

mod admin;

use crate::server::Server;
use anyhow::Result;
use longshore_lab::{Paths, Silent, gobuild};
use longshore_store::{RetryPolicy, StoreSettings};
use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

const USER: &str = "longshore-test";
/// The password of every such MinIO, so that tests can look for it where it must not be.
pub const MINIO_PASSWORD: &str = "not-a-real-secret";

/// A MinIO that ends with the test.
#[derive(Debug)]
pub struct Minio {
    server: Server,
    folder: tempfile::TempDir,
    authority: Option<String>,
}

impl Minio {
    /// Starts a server with one bucket, `bucket`. The program comes from the lab, which builds it if need be.
    pub fn start(tls: bool) -> Result<Self> {
        let program = gobuild::minio(&Paths::from_environment()?, &Silent)?;
        let folder = tempfile::tempdir()?;
        // To a MinIO of one folder, a bucket is a folder.
        std::fs::create_dir_all(folder.path().join("data/bucket"))?;
        let certificates = folder.path().join("certificates");
        std::fs::create_dir_all(&certificates)?;
        let authority = if tls { Some(write_certificates(&certificates)?) } else { None };
        let data = folder.path().join("data");
        let server = Server::start("MinIO", |port| {
            let mut command = Command::new(program);
            command.args(["server", "--quiet", &format!("--address=127.0.0.1:{port}")]);
            command.arg(format!("--certs-dir={}", certificates.display())).arg(data);
            command.envs([("MINIO_ROOT_USER", USER), ("MINIO_ROOT_PASSWORD", MINIO_PASSWORD)]);
            command.envs([("MINIO_BROWSER", "off"), ("MINIO_UPDATE", "off")]);
            command
        })?;
        Ok(Self { server, folder, authority })
    }

    /// `http://address:port` or `https://...`.
    pub fn endpoint(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.server.address())
    }

    /// The variables that reach it.
    pub fn variables(&self) -> BTreeMap<String, String> {
        [
            ("AWS_ACCESS_KEY_ID", USER),
            ("AWS_SECRET_ACCESS_KEY", MINIO_PASSWORD),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &self.endpoint()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// The authority that signed its certificate, if it speaks TLS.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// A folder for the test, gone with the server; its data lie under `data/bucket`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The settings that reach it, with its authority.
    pub fn settings(&self) -> StoreSettings {
        let settings = StoreSettings::new(self.variables()).with_retry(SHORT);
        match &self.authority {
            Some(pem) => settings.with_ca_pem(pem.clone().into_bytes()),
            None => settings,
        }
    }
}

/// Enough for a server that is still starting, short enough for a test of failures.
pub const SHORT: RetryPolicy = RetryPolicy {
    budget: Duration::from_secs(5),
    budget_unreachable: Duration::from_millis(200),
    budget_credentials: Duration::from_secs(2),
    attempts_min: 2,
    pause_first: Duration::from_millis(100),
    pause_max: Duration::from_millis(500),
};

fn write_certificates(folder: &Path) -> Result<String> {
    let authority_key = rcgen::KeyPair::generate()?;
    let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new())?;
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = parameters.self_signed(&authority_key)?;
    let pem = certificate.pem();
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let key = rcgen::KeyPair::generate()?;
    let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
    std::fs::write(folder.join("public.crt"), server.pem())?;
    std::fs::write(folder.join("private.key"), key.serialize_pem())?;
    Ok(pem)
}
