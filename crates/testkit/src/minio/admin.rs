//! What its owner does to a MinIO: roles, versions, locks.

use super::{MINIO_PASSWORD, Minio, SHORT, USER};
use anyhow::{Context as _, Result};
use aws_sdk_s3::{
    config::Credentials,
    error::ProvideErrorMetadata,
    types::{
        DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule,
    },
};
use longshore_store::StoreSettings;
use std::time::{Duration, Instant};

impl Minio {
    /// The settings of somebody to whom `policy`, a document of IAM, applies and nothing else does: temporary credentials of
    /// AssumeRole, which an inline policy restricts.
    pub async fn settings_of_role(&self, policy: &str) -> Result<StoreSettings> {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
            .region(aws_sdk_sts::config::Region::new("us-east-1"))
            .endpoint_url(self.endpoint())
            .credentials_provider(owner())
            .http_client(http_client())
            .build();
        let client = aws_sdk_sts::Client::from_conf(config);
        let deadline = Instant::now() + STARTING_MAX;
        let answer = loop {
            // MinIO has no roles to name; it takes whatever stands there.
            let request = client.assume_role().role_arn("arn:aws:iam:::role/test").role_session_name("test");
            match request.policy(policy).send().await {
                // It listens before it knows whom it serves.
                Err(error) if is_starting(&error) && Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                answer => break answer?,
            }
        };
        let found = answer.credentials().context("no credentials")?;
        let mut variables = self.variables();
        variables.insert("AWS_ACCESS_KEY_ID".into(), found.access_key_id().into());
        variables.insert("AWS_SECRET_ACCESS_KEY".into(), found.secret_access_key().into());
        variables.insert("AWS_SESSION_TOKEN".into(), found.session_token().into());
        Ok(StoreSettings::new(variables).with_retry(SHORT))
    }

    /// Makes a bucket with versions and Object Lock; with `days`, it locks in compliance mode whatever is put into it.
    pub async fn make_locked_bucket(&self, name: &str, days: Option<i32>) -> Result<()> {
        let client = self.client();
        client.create_bucket().bucket(name).object_lock_enabled_for_bucket(true).send().await?;
        let Some(days) = days else { return Ok(()) };
        let retention =
            DefaultRetention::builder().mode(ObjectLockRetentionMode::Compliance).days(days).build();
        let configured = ObjectLockConfiguration::builder()
            .object_lock_enabled(ObjectLockEnabled::Enabled)
            .rule(ObjectLockRule::builder().default_retention(retention).build())
            .build();
        let request = client.put_object_lock_configuration().bucket(name);
        request.object_lock_configuration(configured).send().await?;
        Ok(())
    }

    /// Its owner's client.
    pub fn client(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .region(aws_sdk_s3::config::Region::new("us-east-1"))
            .endpoint_url(self.endpoint())
            .force_path_style(true)
            .credentials_provider(owner())
            .http_client(http_client())
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }
}

const STARTING_MAX: Duration = Duration::from_secs(30);

fn is_starting(error: &impl ProvideErrorMetadata) -> bool {
    error.message().is_some_and(|message| message.contains("Server not initialized"))
}

fn owner() -> Credentials {
    Credentials::new(USER, MINIO_PASSWORD, None, None, "test")
}

/// In the clear: for servers on loopback.
fn http_client() -> aws_sdk_s3::config::SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_http()
}
