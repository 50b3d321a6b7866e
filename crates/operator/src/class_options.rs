//! What OADP's administrators chose for volumes of one StorageClass: the ConfigMap `<class>-config` in the protected namespace, where `<class>` is
//! the class of the application's PVC.
//!
//! Classes and access modes of the mover's volumes are taken from it. Options for a cache volume and for the mover's security context are
//! accepted and mean nothing here: there is no cache volume, and movers have what they need.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;

use crate::cluster::{Error, classify};
use crate::context::Context;
use crate::reason::{OperatorReason, Trouble};

/// Which volume the options are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The copy that a backup reads.
    Source,
    /// The volume that a restore fills.
    Destination,
}

impl Side {
    fn prefix(self) -> &'static str {
        match self {
            Self::Source => "Source",
            Self::Destination => "Destination",
        }
    }

    fn access_modes(self) -> &'static [&'static str] {
        match self {
            Self::Source => &["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany", "ReadOnlyMany"],
            // The mover writes.
            Self::Destination => &["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"],
        }
    }
}

/// What was chosen; `None` where nothing was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassOptions {
    /// StorageClass of the mover's volume.
    pub storage_class: Option<String>,
    /// Its only access mode.
    pub access_mode: Option<String>,
}

impl ClassOptions {
    /// The access modes to ask for.
    pub fn access_modes(&self) -> Vec<String> {
        vec![self.access_mode.clone().unwrap_or_else(|| "ReadWriteOnce".to_owned())]
    }

    /// The class to ask for, if none was chosen `otherwise`.
    pub fn storage_class_or<'a>(&'a self, otherwise: Option<&'a str>) -> Option<&'a str> {
        self.storage_class.as_deref().or(otherwise)
    }

    fn read(name: &str, data: &BTreeMap<String, String>, side: Side) -> Result<Self, Trouble> {
        let chosen = |option: &str| {
            let value = data.get(&format!("{}{option}", side.prefix()))?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let invalid = |option: &str, value: &str, possible: &str| {
            let key = format!("{}{option}", side.prefix());
            let message = format!("ConfigMap {name}: {key} is {value:?}; possible is {possible}");
            Trouble::new(OperatorReason::StorageClassOptionsInvalid, message)
        };
        let options = Self { storage_class: chosen("StorageClassName"), access_mode: chosen("AccessMode") };
        let modes = side.access_modes();
        if let Some(mode) = options.access_mode.as_deref().filter(|mode| !modes.contains(mode)) {
            return Err(invalid("AccessMode", mode, &modes.join(", ")));
        }
        if let Some(class) = options.storage_class.as_deref().filter(|class| !is_object_name(class)) {
            return Err(invalid("StorageClassName", class, "the name of a StorageClass"));
        }
        Ok(options)
    }
}

/// Whether the API server could have an object of this name. Names of classes come from users and become parts of addresses.
fn is_object_name(text: &str) -> bool {
    let legal =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.".contains(letter);
    let ends = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    text.len() <= 253 && text.chars().all(legal) && ends(text.chars().next()) && ends(text.chars().last())
}

fn config_map_name(class: &str) -> Option<String> {
    let name = format!("{class}-config");
    (is_object_name(class) && is_object_name(&name)).then_some(name)
}

/// The options for volumes of `class`; the empty ones if there is no ConfigMap.
///
/// # Errors
/// [`Error::Refused`] with `StorageClassOptionsInvalid` when the ConfigMap says what cannot be, or with `MissingPermission`; whatever else the
/// API server answers.
pub async fn find(
    context: &Context,
    protected_namespace: &str,
    class: Option<&str>,
    side: Side,
) -> Result<ClassOptions, Error> {
    let Some(name) = class.and_then(config_map_name) else { return Ok(ClassOptions::default()) };
    let api = Api::<ConfigMap>::namespaced(context.client.clone(), protected_namespace);
    let found =
        api.get_opt(&name).await.map_err(|source| classify(&format!("read ConfigMap {name}"), source))?;
    let data = found.and_then(|map| map.data).unwrap_or_default();
    ClassOptions::read(&name, &data, side).map_err(Error::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(side: Side, pairs: &[(&str, &str)]) -> Result<ClassOptions, Trouble> {
        let data = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        ClassOptions::read("fast-config", &data, side)
    }

    /// What OADP 1.2's operator writes for a class with all options.
    const FULL: &[(&str, &str)] = &[
        ("SourceStorageClassName", "shallow"),
        ("SourceAccessMode", "ReadOnlyMany"),
        ("SourceCacheStorageClassName", "cache"),
        ("SourceCacheAccessMode", "ReadWriteMany"),
        ("SourceCacheCapacity", "2Gi"),
        ("SourceMoverSecurityContext", "true"),
        ("DestinationStorageClassName", "slow"),
        ("DestinationAccessMode", "ReadWriteMany"),
        ("DestinationCacheCapacity", "2Gi"),
        ("SnapshotRetainPolicyDaily", "3"),
    ];

    #[test]
    fn vsm_26_each_side_gets_its_own_options_and_the_rest_is_ignored() {
        let source = read(Side::Source, FULL).unwrap();
        assert_eq!(
            (source.storage_class_or(Some("fast")), source.access_modes()),
            (Some("shallow"), vec!["ReadOnlyMany".into()])
        );
        let destination = read(Side::Destination, FULL).unwrap();
        assert_eq!(destination.storage_class_or(Some("fast")), Some("slow"));
        assert_eq!(destination.access_modes(), ["ReadWriteMany"]);
        let none = read(Side::Source, &[("SourceStorageClassName", " "), ("SourceAccessMode", "")]).unwrap();
        assert_eq!(
            (none.storage_class_or(Some("fast")), none.access_modes()),
            (Some("fast"), vec!["ReadWriteOnce".into()])
        );
    }

    #[test]
    fn vsm_26_what_cannot_be_is_refused_by_name() {
        for (side, key, value) in [
            (Side::Source, "SourceAccessMode", "RWX"),
            (Side::Destination, "DestinationAccessMode", "ReadOnlyMany"),
            (Side::Source, "SourceStorageClassName", "../secrets"),
        ] {
            let trouble = read(side, &[(key, value)]).unwrap_err();
            assert_eq!(trouble.reason.as_str(), "StorageClassOptionsInvalid");
            assert!(
                trouble.message.contains("fast-config") && trouble.message.contains(key),
                "{}",
                trouble.message
            );
        }
    }

    #[test]
    fn a_class_that_is_no_name_has_no_config_map() {
        assert_eq!(config_map_name("gp3.example-1").as_deref(), Some("gp3.example-1-config"));
        for odd in ["", "../x", "a/b", "a?b", "A", ".a", &"a".repeat(250)] {
            assert_eq!(config_map_name(odd), None, "{odd}");
        }
    }
}
