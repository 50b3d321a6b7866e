//! The object store of the lab: MinIO on the host's end of the lab's network, outliving both clusters, and on request a second one
//! that speaks TLS with an authority of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::gobuild::Programs;
use crate::network::{self, HOST_ADDRESS};
use crate::paths::Paths;
use crate::pki::{Authority, write_private};
use crate::process::{Spec, Supervisor};
use crate::s3::Client;
use crate::shell::wait_until;

/// Name and password of MinIO's administrator; they are made anew with each store.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_key: String,
}

/// A handle on one MinIO; the server itself lives on without it.
#[derive(Clone)]
pub struct Minio {
    name: &'static str,
    folder: PathBuf,
    port: u16,
    tls: bool,
    program: PathBuf,
    supervisor: Supervisor,
}

impl Minio {
    pub(crate) fn plain(paths: &Paths, programs: &Programs) -> Self {
        Self::new("minio", 9000, false, paths, programs)
    }

    pub(crate) fn tls(paths: &Paths, programs: &Programs) -> Self {
        Self::new("minio-tls", 9443, true, paths, programs)
    }

    fn new(name: &'static str, port: u16, tls: bool, paths: &Paths, programs: &Programs) -> Self {
        let folder = paths.state().join(name);
        let supervisor = Supervisor::new(&folder, paths.state());
        Self { name, port, tls, program: programs.minio(), supervisor, folder }
    }

    /// `http://address:port` or `https://...`, the same for pods of both clusters and for the host.
    pub fn endpoint(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{HOST_ADDRESS}:{}", self.port)
    }

    /// The administrator's credentials.
    pub fn credentials(&self) -> Result<Credentials> {
        let text = fs::read(self.folder.join("credentials.json")).context("MinIO was never started")?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// The certificate of the authority that signed the server's; only for the one that speaks TLS.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("certificates/ca.crt")
    }

    /// What the server printed.
    pub fn log(&self) -> PathBuf {
        self.supervisor.log(self.name)
    }

    /// Starts the server if it does not run; what it held is there again.
    pub fn start(&self) -> Result<()> {
        network::ensure_bridge()?;
        if self.supervisor.pid(self.name)?.is_none() {
            self.supervisor.start(&self.spec()?)?;
        }
        let address = format!("{HOST_ADDRESS}:{}", self.port);
        wait_until(self.name, Duration::from_secs(30), || {
            self.supervisor.check(self.name)?;
            std::net::TcpStream::connect(&address)?;
            // Without TLS its readiness can be asked for.
            if self.tls { Ok(true) } else { Ok(self.client()?.list_buckets().is_ok()) }
        })
    }

    /// Stops the server; its endpoint refuses connections until it is started again.
    pub fn stop(&self) -> Result<()> {
        self.supervisor.stop(self.name, Signal::TERM)
    }

    /// Whether the server runs.
    pub fn is_running(&self) -> bool {
        self.supervisor.pid(self.name).is_ok_and(|pid| pid.is_some())
    }

    /// A client for tests. Not for the server that speaks TLS.
    pub fn client(&self) -> Result<Client> {
        let Credentials { access_key, secret_key } = self.credentials()?;
        Ok(Client::new(&format!("{HOST_ADDRESS}:{}", self.port), &access_key, &secret_key))
    }

    /// Makes a bucket; one that is there already is fine.
    pub fn create_bucket(&self, bucket: &str) -> Result<()> {
        if self.tls {
            // To a MinIO of one folder a bucket is a folder; the small client speaks no TLS.
            return Ok(fs::create_dir_all(self.folder.join("data").join(bucket))?);
        }
        self.client()?.create_bucket(bucket)
    }

    fn spec(&self) -> Result<Spec> {
        let data = self.folder.join("data");
        fs::create_dir_all(&data)?;
        let file = self.folder.join("credentials.json");
        if !file.exists() {
            let credentials =
                Credentials { access_key: "longshore-lab".into(), secret_key: random_secret()? };
            write_private(&file, &serde_json::to_string(&credentials)?)?;
        }
        let Credentials { access_key, secret_key } = self.credentials()?;
        let mut arguments = vec!["server".to_owned(), "--quiet".to_owned()];
        arguments.push(format!("--address={HOST_ADDRESS}:{}", self.port));
        arguments.push(format!("--certs-dir={}", self.folder.join("certificates").display()));
        arguments.push(data.to_string_lossy().into_owned());
        if self.tls && !self.authority().exists() {
            self.write_certificates()?;
        }
        let environment = BTreeMap::from([
            ("MINIO_ROOT_USER".to_owned(), access_key),
            ("MINIO_ROOT_PASSWORD".to_owned(), secret_key),
            ("MINIO_BROWSER".to_owned(), "off".to_owned()),
            ("MINIO_UPDATE".to_owned(), "off".to_owned()),
        ]);
        Ok(Spec {
            name: self.name.into(),
            program: self.program.clone(),
            arguments,
            environment,
            network: None,
            respawn: false,
        })
    }

    fn write_certificates(&self) -> Result<()> {
        let folder = self.folder.join("certificates");
        fs::create_dir_all(&folder)?;
        let authority = Authority::new("longshore-lab-minio")?;
        let identity = authority.sign("minio", None, &[HOST_ADDRESS, "localhost"])?;
        write_private(&folder.join("public.crt"), &identity.certificate)?;
        write_private(&folder.join("private.key"), &identity.key)?;
        fs::write(self.authority(), authority.certificate())?;
        Ok(())
    }
}

fn random_secret() -> Result<String> {
    let mut bytes = [0_u8; 20];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("no random bytes"))?;
    Ok(hex::encode(bytes))
}
