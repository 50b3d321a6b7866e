//! Building `object_store` backends from explicit settings.

use crate::{Location, OpenError, StoreSettings, object::ObjectStoreAdapter};
use object_store::{
    Certificate, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder,
};
use std::{sync::Arc, time::Duration};

/// A backend for a cloud location; `None` for a folder.
pub(crate) fn build(
    location: &Location,
    settings: &StoreSettings,
) -> Result<Option<ObjectStoreAdapter>, OpenError> {
    let (inner, prefix, description): (Arc<dyn ObjectStore>, _, _) = match location {
        Location::Folder(_) => return Ok(None),
        Location::S3 { endpoint, bucket, prefix } => {
            let (store, endpoint) = s3(endpoint.as_deref(), bucket, settings)?;
            let description = match endpoint {
                Some(endpoint) => format!("s3:{endpoint}/{bucket}/{prefix}"),
                None => format!("s3://{bucket}/{prefix}"),
            };
            (Arc::new(store), prefix, description)
        }
        Location::Google { bucket, prefix } => {
            (google(bucket, settings)?, prefix, format!("gs://{bucket}/{prefix}"))
        }
        Location::Azure { container, prefix } => {
            (azure(container, settings)?, prefix, format!("az://{container}/{prefix}"))
        }
    };
    Ok(Some(ObjectStoreAdapter::new(inner, prefix, description)))
}

/// The endpoint to speak to; none means that of AWS.
pub(crate) fn s3_endpoint(of_location: Option<&str>, settings: &StoreSettings) -> Option<String> {
    let from_variables =
        || settings.variable("AWS_ENDPOINT_URL_S3").or_else(|| settings.variable("AWS_ENDPOINT_URL"));
    of_location.or_else(from_variables).map(|text| text.trim_end_matches('/').to_owned())
}

/// The backend for a bucket, and its endpoint.
pub(crate) fn s3(
    endpoint: Option<&str>,
    bucket: &str,
    settings: &StoreSettings,
) -> Result<(AmazonS3, Option<String>), OpenError> {
    let endpoint = s3_endpoint(endpoint, settings);
    let plain_http = is_plain_http(endpoint.as_deref());
    let mut builder = AmazonS3Builder::new().with_region("us-east-1").with_retry(no_retries());
    for (name, value) in settings.variables() {
        // Variables that only name the endpoint were read above; others that object_store does not know are not for it.
        if let Ok(key) = name.to_ascii_lowercase().parse()
            && name.starts_with("AWS_")
            && !name.starts_with("AWS_ENDPOINT")
            && name != "AWS_BUCKET"
        {
            builder = builder.with_config(key, value);
        }
    }
    // After the loop: setting any client variable there would replace the options set before.
    builder = builder.with_bucket_name(bucket).with_client_options(client_options(settings, plain_http)?);
    if let Some(endpoint) = &endpoint {
        builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false);
    }
    // One request deletes one object: the bulk request is not part of what every S3-compatible store offers.
    builder = builder.with_disable_bulk_delete(true);
    if !plain_http {
        // TLS protects the payload already; SHA-256 over it would cost half a CPU second per GB (engine.md §5).
        builder = builder.with_unsigned_payload(true);
    }
    let store = builder.build().map_err(|source| OpenError::Settings { source })?;
    Ok((store, endpoint))
}

fn google(bucket: &str, settings: &StoreSettings) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let mut builder = GoogleCloudStorageBuilder::new().with_retry(no_retries());
    for (name, value) in settings.variables() {
        if let Ok(key) = name.to_ascii_lowercase().parse()
            && name.starts_with("GOOGLE_")
        {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(path) = settings.variable("GOOGLE_APPLICATION_CREDENTIALS") {
        builder = builder.with_application_credentials(path);
    }
    let plain_http = is_plain_http(settings.variable("GOOGLE_BASE_URL"));
    builder = builder.with_bucket_name(bucket).with_client_options(client_options(settings, plain_http)?);
    Ok(Arc::new(builder.build().map_err(|source| OpenError::Settings { source })?))
}

fn azure(container: &str, settings: &StoreSettings) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let mut builder = MicrosoftAzureBuilder::new().with_retry(no_retries());
    for (name, value) in settings.variables() {
        if let Ok(key) = name.to_ascii_lowercase().parse()
            && name.starts_with("AZURE_")
        {
            builder = builder.with_config(key, value);
        }
    }
    let endpoint =
        settings.variable("AZURE_STORAGE_ENDPOINT").or_else(|| settings.variable("AZURE_ENDPOINT"));
    builder = builder
        .with_container_name(container)
        .with_client_options(client_options(settings, is_plain_http(endpoint))?);
    Ok(Arc::new(builder.build().map_err(|source| OpenError::Settings { source })?))
}

/// Only an endpoint that was given so explicitly is spoken to in the clear.
fn is_plain_http(endpoint: Option<&str>) -> bool {
    endpoint.is_some_and(|text| text.starts_with("http://"))
}

/// [`crate::RetryStore`] owns all retries.
fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, ..RetryConfig::default() }
}

/// The certificates to trust beside those of the system (PEM).
pub(crate) fn ca_bundle(settings: &StoreSettings) -> Result<Option<Vec<u8>>, OpenError> {
    match (settings.ca_pem(), settings.variable("AWS_CA_BUNDLE")) {
        (Some(pem), _) => Ok(Some(pem.to_vec())),
        (None, Some(path)) => std::fs::read(path)
            .map(Some)
            .map_err(|source| OpenError::CaBundle { path: path.to_owned(), source }),
        (None, None) => Ok(None),
    }
}

fn client_options(settings: &StoreSettings, plain_http: bool) -> Result<ClientOptions, OpenError> {
    let mut options = ClientOptions::new()
        .with_allow_http(plain_http)
        .with_connect_timeout(Duration::from_secs(10))
        // `DeadlineStore` knows better how long a request of this length may last.
        .with_timeout_disabled();
    if let Some(pem) = ca_bundle(settings)? {
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|source| OpenError::Settings { source })?;
        for certificate in certificates {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}
