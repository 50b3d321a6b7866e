//! A real MinIO on loopback, in the clear or with TLS, for as long as a test needs it.

use anyhow::{Context as _, Result};
use longshore_lab::{Paths, Silent, gobuild};
use longshore_store::{RetryPolicy, StoreSettings};
use std::{
    collections::BTreeMap,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const USER: &str = "longshore-test";
/// The password of every such MinIO, so that tests can look for it where it must not be.
pub const MINIO_PASSWORD: &str = "not-a-real-secret";

/// A MinIO that ends with the test.
#[derive(Debug)]
pub struct Minio {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
    authority: Option<String>,
}

impl Drop for Minio {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        // Killed with the test's thread even if nobody is left to drop it.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(["server", "--quiet", &format!("--address=127.0.0.1:{port}")])
            .arg(format!("--certs-dir={}", certificates.display()))
            .arg(folder.path().join("data"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs([("MINIO_ROOT_USER", USER), ("MINIO_ROOT_PASSWORD", MINIO_PASSWORD)])
            .envs([("MINIO_BROWSER", "off"), ("MINIO_UPDATE", "off"), ("HOME", "/nonexistent")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting MinIO")?;
        let minio = Self { process, folder, port, authority };
        minio.wait_until_it_listens()?;
        Ok(minio)
    }

    fn wait_until_it_listens(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            anyhow::ensure!(Instant::now() < deadline, "MinIO does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// `http://address:port` or `https://...`.
    pub fn endpoint(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
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
    attempts: 8,
    attempts_unreachable: 2,
    pause_first: Duration::from_millis(50),
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
