//! Which Repository is meant, and which Secret opens it. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::ResourceExt;
use longshore_api::{
    ChoiceError, ForgetLocation, LocalReference, Repository, RepositoryStatus, repository_for_location,
    repository_named,
};

use crate::reason::{OperatorReason, Trouble};

fn not_configured(message: impl Into<String>) -> Trouble {
    Trouble::new(OperatorReason::RepositoryNotConfigured, message)
}

/// Secret of runs that name none: what the first generation of plugins wrote into restores.
const DEFAULT_SECRET: &str = "restic-secret";

/// The Secret that a run names, or the one that OADP's first plugins meant by naming none.
pub fn secret_name(named: Option<&LocalReference>) -> &str {
    let name = named.and_then(|reference| reference.name.as_deref());
    name.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_SECRET)
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

/// The PVC that movers with this Secret mount, if their repository is on a volume. While it is maintained they wait: on a network file system
/// maintenance must be alone.
///
/// # Errors
/// `RepositoryNotConfigured` when Repositories with this Secret do not agree, `RepositoryInMaintenance` while one is maintained.
pub fn claim_of<'a>(
    all: impl IntoIterator<Item = &'a Repository>,
    namespace: &str,
    secret: &str,
) -> Result<Option<String>, Trouble> {
    let of_namespace: Vec<&Repository> =
        all.into_iter().filter(|repository| repository.namespace().as_deref() == Some(namespace)).collect();
    let mut claims = BTreeSet::new();
    for repository in of_namespace.iter().filter(|repository| uses_secret(repository, secret)) {
        claims.insert(own_claim(repository)?);
    }
    if claims.len() > 1 {
        return Err(not_configured(format!("Repositories with Secret {secret} are in different places")));
    }
    let Some(claim) = claims.pop_first().flatten() else { return Ok(None) };
    let is_maintained = |repository: &&&Repository| {
        own_claim(repository).is_ok_and(|own| own.as_ref() == Some(&claim))
            && repository.status.as_ref().is_some_and(RepositoryStatus::is_maintaining)
    };
    match of_namespace.iter().find(is_maintained) {
        Some(busy) => {
            let message =
                format!("Repository {}, which is on a volume, is being maintained", busy.name_any());
            Err(Trouble::new(OperatorReason::RepositoryInMaintenance, message))
        }
        None => Ok(Some(claim)),
    }
}

fn uses_secret(repository: &Repository, secret: &str) -> bool {
    let spec = &repository.spec;
    let named = [name_of(spec.secret_ref.as_ref()), name_of(spec.maintenance_secret_ref.as_ref())];
    named.iter().flatten().any(|name| name == secret)
}

/// The PVC that holds a Repository, if it is on a volume.
///
/// # Errors
/// `RepositoryNotConfigured` when it is on a volume and names none: the schema forbids that, but an older one may be installed.
pub fn own_claim(repository: &Repository) -> Result<Option<String>, Trouble> {
    let Some(volume) = &repository.spec.volume else { return Ok(None) };
    match volume.claim_name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => Ok(Some(name.to_owned())),
        None => Err(not_configured(format!("Repository {} names no PVC", repository.name_any()))),
    }
}

#[cfg(test)]
mod tests {
    use longshore_api::RepositoryVolume;

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

    fn on_volume(name: &str, claim: &str) -> Repository {
        let mut repository = repository("velero", name, &[]);
        repository.spec.volume = Some(RepositoryVolume { claim_name: Some(claim.to_owned()) });
        repository
    }

    #[test]
    fn a_secret_leads_to_the_volume_of_its_repository() {
        let claim = |all: &[&Repository], secret: &str| {
            let found = claim_of(all.iter().copied(), "velero", secret);
            found.map_err(|trouble| trouble.reason.as_str())
        };
        let (plain, mut nfs) = (repository("velero", "plain", &[]), on_volume("nfs", "export"));
        nfs.spec.maintenance_secret_ref = reference("nfs-maintenance");
        assert_eq!(claim(&[&plain, &nfs], "nfs-movers"), Ok(Some("export".to_owned())));
        assert_eq!(claim(&[&plain, &nfs], "nfs-maintenance"), Ok(Some("export".to_owned())));
        assert_eq!(claim(&[&plain, &nfs], "plain-movers"), Ok(None));
        assert_eq!(claim(&[&plain, &nfs], "unknown"), Ok(None), "a Secret without a Repository");
        let mut foreign = nfs.clone();
        foreign.metadata.namespace = Some("elsewhere".to_owned());
        assert_eq!(claim(&[&foreign], "nfs-movers"), Ok(None), "another namespace's PVC is out of reach");
        let mut other = on_volume("other", "another-export");
        other.spec.secret_ref = nfs.spec.secret_ref.clone();
        assert_eq!(claim(&[&nfs, &other], "nfs-movers"), Err("RepositoryNotConfigured"));
        other.spec.volume = None;
        assert_eq!(claim(&[&nfs, &other], "nfs-movers"), Err("RepositoryNotConfigured"));
        other.spec.volume = Some(RepositoryVolume::default());
        assert_eq!(claim(&[&other], "nfs-movers"), Err("RepositoryNotConfigured"));
    }

    #[test]
    fn movers_keep_away_from_a_volume_that_is_maintained() {
        let (mut nfs, same_volume) = (on_volume("nfs", "export"), on_volume("same", "export"));
        nfs.status.get_or_insert_default().phase = Some(RepositoryStatus::MAINTAINING.to_owned());
        for secret in ["nfs-movers", "same-movers"] {
            let trouble = claim_of([&nfs, &same_volume], "velero", secret).unwrap_err();
            assert_eq!(trouble.reason.as_str(), "RepositoryInMaintenance", "{secret}");
        }
        nfs.spec.volume = None;
        assert_eq!(claim_of([&nfs], "velero", "nfs-movers"), Ok(None), "object stores need no such thing");
        nfs.status = None;
        assert_eq!(claim_of([&same_volume], "velero", "same-movers"), Ok(Some("export".to_owned())));
    }
}
