//! Which Repository is meant: one rule for the operator and for backup tools' plugins.

use kube::ResourceExt;

use crate::Repository;

/// Why no single Repository is meant. The messages are for users.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// None lists the storage location.
    #[error("no Repository of namespace {namespace} lists BackupStorageLocation {location}")]
    NoneServes {
        /// Where it was looked for.
        namespace: String,
        /// The location.
        location: String,
    },
    /// Several list the storage location.
    #[error("several Repositories list BackupStorageLocation {location}: {}", .names.join(", "))]
    SeveralServe {
        /// The location.
        location: String,
        /// Their names, in order.
        names: Vec<String>,
    },
    /// None has the name.
    #[error("there is no Repository {name} in namespace {namespace}")]
    NoneNamed {
        /// Where it was looked for.
        namespace: String,
        /// The name.
        name: String,
    },
}

/// What to do about a [`ChoiceError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChoiceClass {
    /// Somebody must create or mend a Repository.
    NotConfigured,
}

impl ChoiceError {
    /// The kind of this failure.
    pub fn class(&self) -> ChoiceClass {
        ChoiceClass::NotConfigured
    }
}

/// The one Repository of `namespace` that lists a Velero BackupStorageLocation.
///
/// # Errors
/// When none lists it, or several do.
pub fn repository_for_location<'a>(
    all: impl IntoIterator<Item = &'a Repository>,
    namespace: &str,
    location: &str,
) -> Result<&'a Repository, ChoiceError> {
    let lists = |repository: &&Repository| {
        repository.namespace().as_deref() == Some(namespace)
            && repository.spec.backup_storage_locations.iter().any(|listed| listed == location)
    };
    let found: Vec<&Repository> = all.into_iter().filter(lists).collect();
    let location = location.to_owned();
    match found[..] {
        [only] => Ok(only),
        [] => Err(ChoiceError::NoneServes { namespace: namespace.to_owned(), location }),
        _ => {
            let mut names: Vec<String> = found.iter().map(|repository| repository.name_any()).collect();
            names.sort();
            Err(ChoiceError::SeveralServe { location, names })
        }
    }
}

/// The Repository of this name in `namespace`.
///
/// # Errors
/// When there is none.
pub fn repository_named<'a>(
    all: impl IntoIterator<Item = &'a Repository>,
    namespace: &str,
    name: &str,
) -> Result<&'a Repository, ChoiceError> {
    all.into_iter()
        .find(|repository| {
            repository.namespace().as_deref() == Some(namespace) && repository.name_any() == name
        })
        .ok_or_else(|| ChoiceError::NoneNamed { namespace: namespace.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(namespace: &str, name: &str, location: &str) -> Repository {
        let mut repository = Repository::new(name, Default::default());
        repository.metadata.namespace = Some(namespace.to_owned());
        repository.spec.backup_storage_locations = vec![location.to_owned()];
        repository
    }

    #[test]
    fn a_location_or_a_name_leads_to_just_one_repository_or_to_a_reason() {
        let all = [
            repository("velero", "a", "one"),
            repository("velero", "c", "two"),
            repository("velero", "b", "two"),
            repository("elsewhere", "d", "three"),
        ];
        let serves =
            |location| repository_for_location(&all, "velero", location).map(|found| found.name_any());
        assert_eq!(serves("one").unwrap(), "a");
        assert_eq!(
            serves("two").unwrap_err().to_string(),
            "several Repositories list BackupStorageLocation two: b, c"
        );
        assert!(serves("three").unwrap_err().to_string().contains("no Repository of namespace velero"));
        assert_eq!(repository_named(&all, "velero", "c").unwrap().name_any(), "c");
        let missing = repository_named(&all, "velero", "d").unwrap_err();
        assert_eq!(missing.class(), ChoiceClass::NotConfigured);
        assert!(missing.to_string().contains("no Repository d in namespace velero"));
    }
}
