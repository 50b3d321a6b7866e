use crate::{Class, Location, OpenError, Operation, StoreError, StoreSettings, cloud};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, error::CredentialsError, future},
};
use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Config, Region, RequestChecksumCalculation, retry::RetryConfig,
        timeout::TimeoutConfig,
    },
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use object_store::aws::AwsCredentialProvider;
use std::{fmt, time::Duration};

/// Attempts of one request; AWS's client pauses between them.
const ATTEMPTS_MAX: u32 = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// No request here carries more than a listing.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// A repository's part of a bucket of S3, or of a store that speaks like it.
#[derive(Clone)]
pub struct Bucket {
    pub(super) client: Client,
    pub(super) name: String,
    /// Empty, or ends with `/`.
    pub(super) prefix: String,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("name", &self.name)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Bucket {
    /// The bucket at a location; none if that is no S3. Asks nothing of the endpoint.
    pub fn open(location: &str, settings: &StoreSettings) -> Result<Option<Self>, OpenError> {
        match location.parse().map_err(|source| OpenError::Location { source })? {
            Location::S3 { endpoint, bucket, prefix } => {
                Self::at(endpoint.as_deref(), &bucket, &prefix, settings).map(Some)
            }
            Location::Folder(_) | Location::Google { .. } | Location::Azure { .. } => Ok(None),
        }
    }

    pub(crate) fn at(
        endpoint: Option<&str>,
        bucket: &str,
        prefix: &str,
        settings: &StoreSettings,
    ) -> Result<Self, OpenError> {
        let (store, endpoint) = cloud::s3(endpoint, bucket, settings)?;
        let region = settings.variable("AWS_REGION").or_else(|| settings.variable("AWS_DEFAULT_REGION"));
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.unwrap_or("us-east-1").to_owned()))
            .credentials_provider(FromObjectStore(store.credentials().clone()))
            .http_client(http_client(settings)?)
            .force_path_style(endpoint.is_some())
            // Stores that only speak like S3 do not all know the checksums that AWS's client adds by itself.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .build(),
            );
        config.set_endpoint_url(endpoint);
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { client: Client::from_conf(config.build()), name: bucket.to_owned(), prefix })
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The store answered, but not what S3 answers.
    pub(super) fn not_told(&self, name: &str, what: &str) -> StoreError {
        StoreError::new(Class::Permanent, Operation::Protection, name)
            .caused_by(format!("the store's answer has no {what}"))
    }
}

fn http_client(settings: &StoreSettings) -> Result<aws_sdk_s3::config::SharedHttpClient, OpenError> {
    let mut trusted = TrustStore::default();
    if let Some(pem) = cloud::ca_bundle(settings)? {
        trusted.add_pem_certificate(pem);
    }
    let context = TlsContext::builder().with_trust_store(trusted).build();
    let context = context.map_err(|source| OpenError::Client { source: source.into() })?;
    Ok(Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context).build_https())
}

/// The credentials that `object_store` finds or fetches, so that both clients are the same person.
struct FromObjectStore(AwsCredentialProvider);

impl fmt::Debug for FromObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromObjectStore")
    }
}

impl ProvideCredentials for FromObjectStore {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let found = self.0.get_credential().await.map_err(CredentialsError::provider_error)?;
            Ok(Credentials::new(&found.key_id, &found.secret_key, found.token.clone(), None, "object_store"))
        })
    }
}
