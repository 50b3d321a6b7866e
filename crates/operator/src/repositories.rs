//! Which Repository is meant, and which Secret opens it. Pure.

use std::sync::Arc;

use kube::ResourceExt;
use longshore_api::{
    ChoiceError, ForgetLocation, LocalReference, Repository, repository_for_location, repository_named,
};

use crate::reason::{OperatorReason, Trouble};

fn not_configured(message: impl Into<String>) -> Trouble {
    Trouble::new(OperatorReason::RepositoryNotConfigured, message)
}

fn name_of(reference: Option<&LocalReference>) -> Option<String> {
    reference.and_then(|reference| reference.name.clone()).filter(|name| !name.is_empty())
}

impl From<ChoiceError> for Trouble {
    fn from(error: ChoiceError) -> Self {
        not_configured(error.to_string())
    }
}

/// Name of the Secret with which movers open a Repository.
///
/// # Errors
/// `RepositoryNotConfigured` when it names none.
pub fn mover_secret(repository: &Repository) -> Result<String, Trouble> {
    name_of(repository.spec.secret_ref.as_ref())
        .ok_or_else(|| not_configured(format!("Repository {} names no Secret", repository.name_any())))
}

/// Name of the Secret with which a Repository is maintained and points of it are forgotten.
///
/// # Errors
/// `RepositoryNotConfigured` when it names none.
pub fn maintenance_secret(repository: &Repository) -> Result<String, Trouble> {
    match name_of(repository.spec.maintenance_secret_ref.as_ref()) {
        Some(name) => Ok(name),
        None => mover_secret(repository),
    }
}

/// Name of the Secret for the location of a request in `namespace`: exactly one of its fields must lead to one.
///
/// # Errors
/// `RepositoryNotConfigured` otherwise, since a Repository may still come.
pub fn secret_of(
    all: &[Arc<Repository>],
    namespace: &str,
    location: Option<&ForgetLocation>,
) -> Result<String, Trouble> {
    let location = location.cloned().unwrap_or_default();
    let storage = location.backup_storage_location.filter(|name| !name.is_empty());
    let named = (name_of(location.repository.as_ref()), storage, name_of(location.secret_ref.as_ref()));
    match named {
        (Some(name), None, None) => {
            maintenance_secret(repository_named(all.iter().map(AsRef::as_ref), namespace, &name)?)
        }
        (None, Some(storage), None) => {
            maintenance_secret(repository_for_location(all.iter().map(AsRef::as_ref), namespace, &storage)?)
        }
        (None, None, Some(secret)) => Ok(secret),
        _ => Err(not_configured(
            "spec.location must have exactly one of repository, backupStorageLocation and secretRef",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(name: &str) -> Option<LocalReference> {
        Some(LocalReference { name: Some(name.to_owned()) })
    }

    fn repository(namespace: &str, name: &str, locations: &[&str]) -> Repository {
        let mut repository = Repository::default();
        repository.metadata.namespace = Some(namespace.to_owned());
        repository.metadata.name = Some(name.to_owned());
        repository.spec.backup_storage_locations = locations.iter().map(|name| (*name).to_owned()).collect();
        repository.spec.secret_ref = reference(&format!("{name}-movers"));
        repository
    }

    fn asked(
        all: &[Arc<Repository>],
        repository: &str,
        storage: &str,
        secret: &str,
    ) -> Result<String, &'static str> {
        let location = ForgetLocation {
            repository: reference(repository),
            backup_storage_location: Some(storage.to_owned()),
            secret_ref: reference(secret),
        };
        secret_of(all, "velero", Some(&location)).map_err(|trouble| trouble.reason.as_str())
    }

    #[test]
    fn exactly_one_way_leads_to_one_secret() {
        let mut own = repository("velero", "own", &["default", "both"]);
        own.spec.maintenance_secret_ref = reference("own-maintenance");
        let mut bare = repository("velero", "bare", &["bare"]);
        bare.spec.secret_ref = None;
        let all: Vec<Arc<Repository>> = [
            own,
            repository("velero", "plain", &["second", "both"]),
            repository("elsewhere", "foreign", &["default", "foreign"]),
            bare,
        ]
        .into_iter()
        .map(Arc::new)
        .collect();
        let not_configured = Err("RepositoryNotConfigured");
        assert_eq!(asked(&all, "own", "", ""), Ok("own-maintenance".to_owned()));
        assert_eq!(asked(&all, "plain", "", ""), Ok("plain-movers".to_owned()));
        assert_eq!(asked(&all, "", "default", ""), Ok("own-maintenance".to_owned()));
        assert_eq!(asked(&all, "", "second", ""), Ok("plain-movers".to_owned()));
        assert_eq!(asked(&all, "", "", "secret"), Ok("secret".to_owned()));
        for (repository, storage, secret) in [
            ("", "", ""),
            ("own", "default", ""),
            ("own", "", "secret"),
            ("foreign", "", ""),
            ("", "foreign", ""),
            ("", "both", ""),
            ("", "nowhere", ""),
            ("bare", "", ""),
            ("", "bare", ""),
        ] {
            assert_eq!(asked(&all, repository, storage, secret), not_configured, "{repository}{storage}");
        }
        assert!(secret_of(&all, "velero", None).is_err());
        assert_eq!(mover_secret(&all[0]).unwrap(), "own-movers", "movers never get the maintenance's Secret");
    }
}
