//! From arguments and environment to an open repository.

use std::collections::BTreeMap;
use std::path::Path;

use longshore_job::Reason;
use longshore_mover::MoverError;
use longshore_repo::store::{self, OpenError, RateLimits, StoreSettings};
use longshore_repo::{Credential, KdfCost, Repository, Secret, SlotKind, Unlock};

use crate::Failure;
use crate::arguments::{CopyArguments, GlobalArguments};
use crate::failure::chain;

/// Environment variable that holds the password itself.
const PASSWORD: &str = "LONGSHORE_PASSWORD";
/// The same for the repository that is copied into.
const TO_PASSWORD: &str = "LONGSHORE_TO_PASSWORD";
/// Stands before the names of store variables that are meant for the repository that is copied into.
const TO: &str = "LONGSHORE_TO_";
/// Variables of these families belong to the store.
const STORE_VARIABLES: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];
/// The longest password file that is read.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;

/// A repository's address and key.
pub struct Access {
    location: String,
    settings: StoreSettings,
    unlock: Unlock,
}

impl Access {
    /// From what a mounted Secret holds.
    pub fn new(location: &str, settings: StoreSettings, unlock: impl Into<Unlock>) -> Self {
        Self { location: normal_location(location), settings, unlock: unlock.into() }
    }

    /// From the command line and the environment.
    pub fn from(global: &GlobalArguments) -> Result<Self, Failure> {
        let location = location(global)?;
        let credential = match &global.key_file {
            Some(file) => key_file(file)?,
            None => password(
                global.password_file.as_deref(),
                PASSWORD,
                "no password: give --password-file or --key-file, or set LONGSHORE_PASSWORD_FILE, LONGSHORE_PASSWORD or \
                 LONGSHORE_KEY_FILE",
            )?,
        };
        let unlock =
            Unlock { credential, slot: global.key_slot.as_ref().map(|slot| slot.to_ascii_lowercase()) };
        Ok(Self::new(location, settings(global), unlock))
    }

    /// The repository that is copied into.
    pub fn to(verb: &CopyArguments) -> Result<Self, Failure> {
        let credential = password(
            verb.to_password_file.as_deref(),
            TO_PASSWORD,
            "no password of the repository to copy into: give --to-password-file, or set LONGSHORE_TO_PASSWORD_FILE or \
             LONGSHORE_TO_PASSWORD",
        )?;
        let settings = StoreSettings::new(target_variables(store_variables(), to_variables()));
        Ok(Self::new(&verb.to, settings, Unlock { credential, slot: None }))
    }

    /// Where the repository is, as the user wrote it.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Opens the repository that is there.
    pub fn open(&self) -> Result<Repository, Failure> {
        Repository::open(self.store()?, &self.unlock).map_err(|error| self.failed(error.into()))
    }

    /// Makes a repository where there is none.
    pub fn init(&self) -> Result<Repository, Failure> {
        Repository::init(self.store()?, &self.unlock, KdfCost::STANDARD)
            .map_err(|error| self.failed(error.into()))
    }

    /// Opens the repository that is there, or makes one if the place is empty.
    pub fn open_or_init(&self) -> Result<Repository, Failure> {
        let (repository, _) = Repository::open_or_init_empty(self.store()?, &self.unlock, KdfCost::STANDARD)
            .map_err(|error| self.failed(error.into()))?;
        Ok(repository)
    }

    fn store(&self) -> Result<std::sync::Arc<dyn store::Store>, Failure> {
        open_store(&self.location, &self.settings)
    }

    fn failed(&self, error: MoverError) -> Failure {
        let mut failure = Failure::from(error);
        failure.message = format!("repository {}: {}", self.location, failure.message);
        failure
    }
}

/// The store that the command line names, without anything that opens the repository in it.
pub fn store_alone(global: &GlobalArguments) -> Result<std::sync::Arc<dyn store::Store>, Failure> {
    open_store(&normal_location(location(global)?), &settings(global))
}

fn location(global: &GlobalArguments) -> Result<&str, Failure> {
    let location = global.repo.as_deref().filter(|location| !location.is_empty());
    location.ok_or_else(|| Failure::usage("no repository: give --repo or set LONGSHORE_REPOSITORY"))
}

fn settings(global: &GlobalArguments) -> StoreSettings {
    let limits = RateLimits {
        upload_bytes_per_second: global.limit_upload,
        download_bytes_per_second: global.limit_download,
        ..RateLimits::NONE
    };
    StoreSettings::new(store_variables()).with_limits(limits)
}

fn open_store(location: &str, settings: &StoreSettings) -> Result<std::sync::Arc<dyn store::Store>, Failure> {
    if holds_credentials(location) {
        // The address stands in messages and in the status of resources.
        let message = "the repository's address holds a user or password; give credentials apart from it";
        return Err(Failure::of(Reason::RepositoryAddressInvalid, message.to_owned()));
    }
    let (store, _counters) = store::open(location, settings).map_err(|error| {
        let reason = match &error {
            OpenError::Location { .. } => Reason::RepositoryAddressInvalid,
            _ => Reason::SecretKeyMissing,
        };
        Failure::of(reason, chain(&error))
    })?;
    Ok(store)
}

/// The store's variables of this process.
pub fn store_variables() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| STORE_VARIABLES.iter().any(|family| name.starts_with(family)))
        .collect()
}

/// Variables that are given for the repository that is copied into, without their prefix.
fn to_variables() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter_map(|(name, value)| Some((name.strip_prefix(TO)?.to_owned(), value)))
        .filter(|(name, _)| STORE_VARIABLES.iter().any(|family| name.starts_with(family)))
        .collect()
}

/// Of each family of variables either those that are meant for the repository that is copied into, or the plain ones: half of one
/// and half of the other would send keys to a store that they are not for.
fn target_variables(
    plain: BTreeMap<String, String>,
    mut own: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let given = |family: &&&str| own.keys().any(|name| name.starts_with(**family));
    let taken: Vec<&str> = STORE_VARIABLES.iter().filter(|family| given(family)).copied().collect();
    own.extend(plain.into_iter().filter(|(name, _)| !taken.iter().any(|family| name.starts_with(family))));
    own
}

/// A password, or a key that stands in its place.
fn password(file: Option<&Path>, variable: &str, missing: &str) -> Result<Credential, Failure> {
    match file {
        Some(file) => parse(password_file(file)?),
        None => match std::env::var(variable) {
            Ok(password) => parse(Secret::new(password.into_bytes())),
            Err(_) => Err(Failure::usage(missing)),
        },
    }
}

/// The key in a file. What is no key is not taken for a password: somebody meant a key.
pub fn key_file(file: &Path) -> Result<Credential, Failure> {
    let credential = parse(secret_file("key", file)?)?;
    if credential.kind() == SlotKind::Password {
        return Err(Failure::usage(format!("the file {} holds no key", file.display())));
    }
    Ok(credential)
}

/// The password in a file.
pub fn password_file(file: &Path) -> Result<Secret, Failure> {
    secret_file("password", file)
}

/// Tells keys from passwords.
pub fn parse(secret: Secret) -> Result<Credential, Failure> {
    if secret.is_empty() {
        return Err(Failure::usage("the password is empty"));
    }
    Credential::parse(secret.expose().to_vec()).map_err(|error| Failure::of(Reason::WrongKey, chain(&error)))
}

fn secret_file(what: &str, file: &Path) -> Result<Secret, Failure> {
    let failed = |error: std::io::Error| {
        Failure::usage(format!("cannot read the {what} file {}: {error}", file.display()))
    };
    let size = std::fs::metadata(file).map_err(failed)?.len();
    if size > PASSWORD_BYTES_MAX {
        return Err(Failure::usage(format!("the file {} is too large to hold a {what}", file.display())));
    }
    let mut bytes = std::fs::read(file).map_err(failed)?;
    trim_line_break(&mut bytes);
    Ok(Secret::new(bytes))
}

/// Removes one line break at the end: editors and `echo` add it, nobody means it.
pub fn trim_line_break(bytes: &mut Vec<u8>) {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
}

/// True for `scheme://user:password@host/…`.
fn holds_credentials(location: &str) -> bool {
    let authority = location.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    authority.is_some_and(|authority| authority.contains('@'))
}

/// Turns restic's forms of an address, as Secrets of backup operators hold them, into ours.
pub fn normal_location(text: &str) -> String {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("s3:")
        && !rest.starts_with("http://")
        && !rest.starts_with("https://")
        && !rest.starts_with("//")
    {
        return format!("s3:https://{rest}");
    }
    for (restic, ours) in [("gs:", "gs://"), ("azure:", "az://")] {
        if let Some((bucket, prefix)) = text.strip_prefix(restic).and_then(|rest| rest.split_once(':')) {
            return format!("{ours}{bucket}/{}", prefix.trim_start_matches('/'));
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restic_addresses_are_understood() {
        for (text, expected) in [
            ("s3:s3.amazonaws.com/bucket/a", "s3:https://s3.amazonaws.com/bucket/a"),
            ("s3:http://minio:9000/bucket", "s3:http://minio:9000/bucket"),
            ("s3://bucket/a", "s3://bucket/a"),
            ("gs:bucket:/a/b", "gs://bucket/a/b"),
            ("azure:container:/a", "az://container/a"),
            ("gs://bucket/a", "gs://bucket/a"),
            ("/srv/repository\n", "/srv/repository"),
        ] {
            assert_eq!(normal_location(text), expected);
        }
    }

    #[test]
    fn a_family_of_variables_belongs_to_one_store() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let plain = map(&[("AWS_ACCESS_KEY_ID", "a"), ("AWS_ENDPOINT_URL", "b"), ("GOOGLE_X", "c")]);
        assert_eq!(target_variables(plain.clone(), BTreeMap::new()), plain);
        assert_eq!(
            target_variables(plain, map(&[("AWS_ACCESS_KEY_ID", "d")])),
            map(&[("AWS_ACCESS_KEY_ID", "d"), ("GOOGLE_X", "c")])
        );
    }

    #[test]
    fn one_line_break_is_not_part_of_a_password() {
        for (text, expected) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("\n", "")] {
            let mut bytes = text.as_bytes().to_vec();
            trim_line_break(&mut bytes);
            assert_eq!(bytes, expected.as_bytes());
        }
    }
}
