//! The mounted Secret: which store, which keys.

use std::collections::BTreeMap;
use std::path::Path;

use longshore_job::Reason;
use longshore_repo::Credential;
use longshore_repo::store::StoreSettings;

use super::Failed;
use crate::arguments::MoverArguments;
use crate::settings::{Access, normal_location, store_variables, trim_line_break};

/// Largest value of a Secret; Kubernetes allows 1 MiB for all of one.
const VALUE_BYTES_MAX: u64 = 1 << 20;

/// Keys of OADP's that mean nothing here. Its data mover forgot points and started runs by them; a point of ours belongs to a backup that somebody
/// asked for, and goes when that one is deleted.
const WITHOUT_MEANING: [&str; 8] = [
    "SnapshotScheduleCron",
    "SnapshotRetainPolicyHourly",
    "SnapshotRetainPolicyDaily",
    "SnapshotRetainPolicyWeekly",
    "SnapshotRetainPolicyMonthly",
    "SnapshotRetainPolicyYearly",
    "SnapshotRetainPolicyWithin",
    "restic-prune-interval",
];

/// Says once which keys of the Secret are ignored. Their values are not read.
pub(super) fn note_ignored_keys(folder: &Path) {
    let present: Vec<&str> = WITHOUT_MEANING.into_iter().filter(|name| folder.join(name).exists()).collect();
    if !present.is_empty() {
        let keys = present.join(", ");
        tracing::info!(keys, "keys of the Secret are ignored: nothing is forgotten or scheduled by them");
    }
}

/// Reads the Secret's files and finds out what the address needs. Values never leave this function but for the store. A repository on a volume
/// needs the password only.
pub(super) fn access(arguments: &MoverArguments) -> Result<Access, Failed> {
    let folder = arguments.credentials.as_path();
    let secret = Files { folder };
    let location = match &arguments.repository {
        Some(place) => {
            if folder.join("RESTIC_REPOSITORY").exists() {
                tracing::info!("the Secret's address is ignored: the repository is on a volume");
            }
            place.to_str().map(str::to_owned)
        }
        None => {
            String::from_utf8(secret.required("RESTIC_REPOSITORY")?).ok().map(|text| normal_location(&text))
        }
    };
    let location = location.ok_or_else(|| {
        Failed::new(Reason::RepositoryAddressInvalid, "the repository's address is no text")
    })?;
    let password = secret.required("RESTIC_PASSWORD")?;
    let variables = variables(&secret)?;
    require_keys(&location, &variables)?;
    // A Secret that is changed shows in the files of a pod that runs.
    let again = folder.to_owned();
    let mut settings =
        StoreSettings::new(variables).with_refresh(move || self::variables(&Files { folder: &again }).ok());
    if let Some(pem) = secret.optional("RESTIC_CUSTOM_CA")? {
        settings = settings.with_ca_pem(pem);
    }
    // A key file's text, or an identity's, may stand in the password's place: Velero and OADP know of that key only.
    let credential = Credential::parse(password)
        .map_err(|error| Failed::new(Reason::WrongKey, format!("RESTIC_PASSWORD: {error}")))?;
    Ok(Access::new(&location, settings, credential))
}

/// What the store needs. Cloud identity (a projected token) comes through the pod's environment, everything else through the
/// Secret.
fn variables(secret: &Files) -> Result<BTreeMap<String, String>, Failed> {
    let mut variables = store_variables();
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_ENDPOINT_URL",
    ] {
        secret.copy(name, name, &mut variables)?;
    }
    for (ours, theirs) in [
        ("AZURE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_NAME"),
        ("AZURE_ACCOUNT_KEY", "AZURE_STORAGE_ACCOUNT_KEY"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT_KEY"),
    ] {
        secret.copy(ours, theirs, &mut variables)?;
    }
    Ok(variables)
}

/// Says which key is missing before the store says something less clear.
fn require_keys(location: &str, variables: &BTreeMap<String, String>) -> Result<(), Failed> {
    let has = |name: &str| variables.get(name).is_some_and(|value| !value.is_empty());
    let by_identity =
        ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AZURE_FEDERATED_TOKEN_FILE"];
    if by_identity.iter().any(|name| has(name)) {
        return Ok(());
    }
    let needed: &[(&str, &str)] = if location.starts_with("s3:") {
        &[("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"), ("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY")]
    } else if location.starts_with("az://") {
        &[
            ("AZURE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_NAME"),
            ("AZURE_ACCOUNT_KEY", "AZURE_STORAGE_ACCOUNT_KEY"),
        ]
    } else if location.starts_with("gs://") {
        &[("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT_KEY")]
    } else {
        &[]
    };
    match needed.iter().find(|(_, variable)| !has(variable)) {
        Some((key, _)) => Err(missing(key)),
        None => Ok(()),
    }
}

fn missing(key: &str) -> Failed {
    Failed::new(Reason::SecretKeyMissing, format!("the Secret has no key {key}, or an empty one"))
}

struct Files<'a> {
    folder: &'a Path,
}

impl Files<'_> {
    fn optional(&self, name: &str) -> Result<Option<Vec<u8>>, Failed> {
        let file = self.folder.join(name);
        let unreadable = |error: std::io::Error| {
            Failed::new(Reason::SecretKeyMissing, format!("key {name} of the Secret cannot be read: {error}"))
        };
        match std::fs::metadata(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
            Ok(status) if status.len() > VALUE_BYTES_MAX => {
                return Err(unreadable(std::io::ErrorKind::FileTooLarge.into()));
            }
            Ok(_) => {}
        }
        let mut value = std::fs::read(&file).map_err(unreadable)?;
        trim_line_break(&mut value);
        Ok(if value.is_empty() { None } else { Some(value) })
    }

    fn required(&self, name: &str) -> Result<Vec<u8>, Failed> {
        self.optional(name)?.ok_or_else(|| missing(name))
    }

    fn copy(
        &self,
        name: &str,
        variable: &str,
        variables: &mut BTreeMap<String, String>,
    ) -> Result<(), Failed> {
        if let Some(value) = self.optional(name)? {
            let value = String::from_utf8(value).map_err(|_| {
                Failed::new(Reason::SecretKeyMissing, format!("key {name} of the Secret is no text"))
            })?;
            variables.insert(variable.to_owned(), value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(files: &[(&str, &str)]) -> (Reason, String) {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in files {
            std::fs::write(folder.path().join(name), value).unwrap();
        }
        let failed = access(&arguments(folder.path())).err().unwrap();
        (failed.reason, failed.message)
    }

    fn arguments(folder: &Path) -> MoverArguments {
        MoverArguments {
            credentials: folder.to_owned(),
            repository: None,
            filesystem: "/nowhere".into(),
            block: "/nowhere".into(),
            result: "/nowhere".into(),
            skip_privileged_xattrs: false,
        }
    }

    #[test]
    fn a_volume_needs_the_password_only_and_goes_before_an_address() {
        let folder = tempfile::tempdir().unwrap();
        let on_volume =
            MoverArguments { repository: Some("/repository/longshore".into()), ..arguments(folder.path()) };
        assert!(access(&on_volume).err().unwrap().message.contains("RESTIC_PASSWORD"));
        std::fs::write(folder.path().join("RESTIC_PASSWORD"), "p").unwrap();
        assert_eq!(access(&on_volume).ok().unwrap().location(), "/repository/longshore");
        std::fs::write(folder.path().join("RESTIC_REPOSITORY"), "s3:http://minio/bucket").unwrap();
        assert_eq!(access(&on_volume).ok().unwrap().location(), "/repository/longshore");
    }

    /// A rotated Secret: the store asks again, and gets what the files hold now.
    #[test]
    fn the_variables_follow_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let secret = Files { folder: folder.path() };
        for key in ["old", "new"] {
            std::fs::write(folder.path().join("AWS_SECRET_ACCESS_KEY"), key).unwrap();
            assert_eq!(variables(&secret).ok().unwrap()["AWS_SECRET_ACCESS_KEY"], key);
        }
    }

    #[test]
    fn a_missing_key_is_named() {
        let s3 = ("RESTIC_REPOSITORY", "s3:http://minio/bucket");
        let password = ("RESTIC_PASSWORD", "p");
        for (files, key) in [
            (&[][..], "RESTIC_REPOSITORY"),
            (&[s3][..], "RESTIC_PASSWORD"),
            (&[s3, ("RESTIC_PASSWORD", "\n")][..], "RESTIC_PASSWORD"),
            (&[s3, password][..], "AWS_ACCESS_KEY_ID"),
            (&[s3, password, ("AWS_ACCESS_KEY_ID", "a")][..], "AWS_SECRET_ACCESS_KEY"),
            (&[("RESTIC_REPOSITORY", "azure:c:/p"), password][..], "AZURE_ACCOUNT_NAME"),
            (&[("RESTIC_REPOSITORY", "gs:b:/p"), password][..], "GOOGLE_APPLICATION_CREDENTIALS"),
        ] {
            let (reason, message) = reason(files);
            assert_eq!(reason, Reason::SecretKeyMissing);
            assert!(message.contains(key), "{message}");
        }
    }
}
