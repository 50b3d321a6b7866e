//! A real MinIO on loopback, in the clear and with TLS: the suite, and the reasons that an operator shows.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::TryStreamExt as _;
use longshore_lab::{Paths, Silent, gobuild};
use longshore_store::{Class, ObjectInfo, RetryPolicy, Store, StoreSettings, open};
use longshore_testkit::conformance;
use std::{
    collections::BTreeMap,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

const USER: &str = "longshore-test";
const PASSWORD: &str = "not-a-real-secret";

/// A MinIO that ends with the test.
struct Minio {
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
    fn start(tls: bool) -> Result<Self> {
        let program = gobuild::minio(&Paths::from_environment()?, &Silent)?;
        let folder = tempfile::tempdir()?;
        // To a MinIO of one folder, a bucket is a folder.
        std::fs::create_dir_all(folder.path().join("data/bucket"))?;
        let certificates = folder.path().join("certificates");
        std::fs::create_dir_all(&certificates)?;
        let authority = if tls { Some(write_certificates(&certificates)?) } else { None };
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = Command::new(program)
            .args(["server", "--quiet", &format!("--address=127.0.0.1:{port}")])
            .arg(format!("--certs-dir={}", certificates.display()))
            .arg(folder.path().join("data"))
            .env_clear()
            .envs([("MINIO_ROOT_USER", USER), ("MINIO_ROOT_PASSWORD", PASSWORD)])
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

    fn endpoint(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    fn variables(&self) -> BTreeMap<String, String> {
        [
            ("AWS_ACCESS_KEY_ID", USER),
            ("AWS_SECRET_ACCESS_KEY", PASSWORD),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &self.endpoint()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn settings(&self) -> StoreSettings {
        let settings = StoreSettings::new(self.variables()).with_retry(SHORT);
        match &self.authority {
            Some(pem) => settings.with_ca_pem(pem.clone().into_bytes()),
            None => settings,
        }
    }
}

/// Enough for a server that is still starting, short enough for a test of failures.
const SHORT: RetryPolicy = RetryPolicy {
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

async fn failure(location: &str, settings: &StoreSettings) -> Class {
    let (store, _) = open(location, settings).unwrap();
    store.get("repo", 100).await.unwrap_err().class()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minio_keeps_every_promise() {
    let minio = Minio::start(false).unwrap();
    let (store, _) = open("s3://bucket/a/prefix", &minio.settings()).unwrap();
    conformance::run(store).await;
    // The same objects by restic's way of writing it, and nothing outside the prefix.
    let location = format!("s3:{}/bucket/a/prefix", minio.endpoint());
    let (store, _) = open(&location, &minio.settings()).unwrap();
    assert_eq!(&store.get("once/a", 100).await.unwrap()[..], b"first");
    let (outside, _) = open("s3://bucket/a/pre", &minio.settings()).unwrap();
    let all: Vec<ObjectInfo> = outside.list("").try_collect().await.unwrap();
    assert_eq!(all, []);
    assert!(minio.folder.path().join("data/bucket/a/prefix/once/a").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minio_behind_tls_keeps_every_promise_and_needs_its_authority() {
    let minio = Minio::start(true).unwrap();
    let (store, _) = open("s3://bucket/tls", &minio.settings()).unwrap();
    conformance::run(store).await;
    let stranger = StoreSettings::new(minio.variables()).with_retry(SHORT);
    assert_eq!(failure("s3://bucket/tls", &stranger).await, Class::CertificateUntrusted);
    // The authority by AWS_CA_BUNDLE, as other tools take it.
    let bundle = minio.folder.path().join("ca.pem");
    std::fs::write(&bundle, minio.authority.as_ref().unwrap()).unwrap();
    let mut variables = minio.variables();
    variables.insert("AWS_CA_BUNDLE".into(), bundle.to_str().unwrap().into());
    let (store, _) = open("s3://bucket/tls", &StoreSettings::new(variables).with_retry(SHORT)).unwrap();
    assert_eq!(&store.get("once/a", 100).await.unwrap()[..], b"first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_have_the_reasons_that_an_operator_shows() {
    let minio = Minio::start(false).unwrap();
    let with = |name: &str, value: &str| {
        let mut variables = minio.variables();
        variables.insert(name.to_owned(), value.to_owned());
        StoreSettings::new(variables).with_retry(SHORT)
    };
    let (ready, _) = open("s3://bucket", &minio.settings()).unwrap();
    ready.create("here", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(failure("s3://bucket", &minio.settings()).await, Class::NotFound);
    assert_eq!(failure("s3://no-such-bucket", &minio.settings()).await, Class::BucketMissing);
    let wrong_secret = with("AWS_SECRET_ACCESS_KEY", "wrong-wrong-wrong");
    assert_eq!(failure("s3://bucket", &wrong_secret).await, Class::BadCredentials);
    assert_eq!(failure("s3://bucket", &with("AWS_ACCESS_KEY_ID", "nobody")).await, Class::BadCredentials);
    assert_eq!(failure("s3://bucket", &with("AWS_SKIP_SIGNATURE", "true")).await, Class::AccessDenied);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let down = with("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{closed}"));
    assert_eq!(failure("s3://bucket", &down).await, Class::Unreachable);
    let unknown = with("AWS_ENDPOINT_URL", "http://no-such-host.invalid");
    assert_eq!(failure("s3://bucket", &unknown).await, Class::Unreachable);
    // No key at all: the instance's own identity is asked for, and there is none.
    let mut variables = minio.variables();
    variables.retain(|name, _| !name.contains("KEY"));
    variables.insert("AWS_METADATA_ENDPOINT".into(), format!("http://127.0.0.1:{closed}"));
    let nobody = StoreSettings::new(variables).with_retry(SHORT);
    assert_eq!(failure("s3://bucket", &nobody).await, Class::BadCredentials);
    for settings in [wrong_secret, down] {
        let (store, _): (Arc<dyn Store>, _) = open("s3://bucket", &settings).unwrap();
        let mut texts = vec![format!("{settings:?}")];
        let error = store.create("x", Bytes::from_static(b"x")).await.unwrap_err();
        texts.push(format!("{error:?} {error}"));
        assert!(
            texts.iter().all(|text| !text.contains("wrong-wrong-wrong") && !text.contains(PASSWORD)),
            "{texts:?}"
        );
    }
}
