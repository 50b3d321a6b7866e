//! What there is in a cluster, and which of it a name means.

use std::fmt::Debug;

use kube::core::NamespaceResourceScope;
use kube::{Api, Resource};
use longshore_api::{
    DataDownload, DataUpload, ForgetRequest, Repository, VolumeSnapshotBackup, VolumeSnapshotRestore,
};
use serde::de::DeserializeOwned;

use crate::cluster::{Session, list};
use crate::entry::Entry;
use crate::failure::{Class, Failure};
use crate::kind::{Kind, RunName};

/// Name of Longshore in Velero's requests unless told otherwise.
pub const DATA_MOVER: &str = "longshore";

/// What there is in a namespace, or in all.
#[derive(Debug, Default)]
pub struct Found {
    /// The entries, by kind, namespace and name.
    pub entries: Vec<Entry>,
    /// Kinds of our own that the cluster does not serve.
    pub unserved: Vec<Kind>,
    /// What could not be looked at.
    pub unknown: Vec<String>,
}

impl Found {
    /// Says on stderr what is missing.
    pub fn warn(&self) {
        for kind in &self.unserved {
            eprintln!("warning: the cluster does not serve {kind}; run `kubectl longshore doctor`");
        }
        for unknown in &self.unknown {
            eprintln!("warning: {unknown}");
        }
    }
}

/// Gathers all that `status` shows; `None` means all namespaces.
pub async fn gather(session: &Session, namespace: Option<&str>, data_mover: &str) -> Result<Found, Failure> {
    let mut found = Found::default();
    let ours = |name: &Option<String>| name.as_deref() == Some(data_mover);
    add::<VolumeSnapshotBackup>(session, namespace, Kind::VolumeSnapshotBackup, &mut found, |_| true).await?;
    add::<VolumeSnapshotRestore>(session, namespace, Kind::VolumeSnapshotRestore, &mut found, |_| true)
        .await?;
    add::<DataUpload>(session, namespace, Kind::DataUpload, &mut found, |one| ours(&one.spec.data_mover))
        .await?;
    add::<DataDownload>(session, namespace, Kind::DataDownload, &mut found, |one| ours(&one.spec.data_mover))
        .await?;
    add::<Repository>(session, namespace, Kind::Repository, &mut found, |_| true).await?;
    add::<ForgetRequest>(session, namespace, Kind::ForgetRequest, &mut found, |_| true).await?;
    found.entries.sort_by(|one, other| {
        (one.kind, &one.namespace, one.created, &one.name).cmp(&(
            other.kind,
            &other.namespace,
            other.created,
            &other.name,
        ))
    });
    Ok(found)
}

async fn add<K>(
    session: &Session,
    namespace: Option<&str>,
    kind: Kind,
    found: &mut Found,
    wanted: impl Fn(&K) -> bool,
) -> Result<(), Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    for<'a> Entry: From<&'a K>,
{
    let api: Api<K> = match namespace {
        Some(namespace) => session.within(namespace),
        None => session.everywhere(),
    };
    match list(&api, "").await {
        Ok(objects) => found.entries.extend(objects.iter().filter(|one| wanted(one)).map(Entry::from)),
        // A cluster without Velero is no trouble; one without our own kinds is the doctor's.
        Err(failure) if failure.class() == Class::NotFound => {
            if !matches!(kind, Kind::DataUpload | Kind::DataDownload) {
                found.unserved.push(kind);
            }
        }
        Err(failure) if failure.class() == Class::Denied => found.unknown.push(failure.to_string()),
        Err(failure) => return Err(failure),
    }
    Ok(())
}

/// The entries that are meant, in the order of the names; a name that means nothing is a failure. Pure.
pub fn named<'a>(
    entries: &'a [Entry],
    names: &[RunName],
    namespace: Option<&str>,
) -> Result<Vec<&'a Entry>, Failure> {
    let mut found: Vec<&Entry> = Vec::new();
    for name in names {
        let meant: Vec<&Entry> = entries.iter().filter(|entry| name.means(entry.kind, &entry.name)).collect();
        if meant.is_empty() {
            let place = namespace.map_or("in any namespace".to_owned(), |one| format!("in namespace {one}"));
            return Err(Failure::NotFound {
                message: format!("there is no run or repository {name} {place}"),
                advice: "List what there is with `kubectl longshore status -A`.".to_owned(),
            });
        }
        found.extend(meant);
    }
    Ok(found)
}

/// The one run that is meant. The VolumeSnapshotBackup that serves a DataUpload has its name: who names both means the DataUpload. Pure.
pub fn only<'a>(entries: &'a [Entry], name: &RunName, namespace: &str) -> Result<&'a Entry, Failure> {
    let mut meant = named(entries, std::slice::from_ref(name), Some(namespace))?;
    let uids: Vec<String> = meant.iter().map(|entry| entry.uid.clone()).collect();
    if meant.len() > 1 {
        meant.retain(|entry| entry.serves.as_ref().is_none_or(|served| !uids.contains(served)));
    }
    match meant[..] {
        [only] => Ok(only),
        _ => {
            let titles: Vec<String> = meant.iter().map(|entry| entry.title()).collect();
            Err(Failure::usage(format!("{name} could be {}; name its type too", titles.join(" or "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, name: &str, uid: &str, serves: Option<&str>) -> Entry {
        let labels = serves
            .map(|served| serde_json::json!({"longshore.dev/data-upload-uid": served}))
            .unwrap_or_else(|| serde_json::json!({}));
        let metadata = serde_json::json!({"name": name, "namespace": "n", "uid": uid, "labels": labels});
        let object =
            serde_json::json!({"apiVersion": "x/v1", "kind": kind, "metadata": metadata, "spec": {}});
        match kind {
            "DataUpload" => Entry::from(&serde_json::from_value::<DataUpload>(object).unwrap()),
            "VolumeSnapshotRestore" => {
                Entry::from(&serde_json::from_value::<VolumeSnapshotRestore>(object).unwrap())
            }
            _ => Entry::from(&serde_json::from_value::<VolumeSnapshotBackup>(object).unwrap()),
        }
    }

    fn title(entries: &[Entry], name: &str) -> Result<String, (u8, String)> {
        only(entries, &name.parse().unwrap(), "n")
            .map(Entry::title)
            .map_err(|failure| (failure.exit_code(), failure.to_string()))
    }

    #[test]
    fn a_name_that_could_be_two_runs_is_wrong_usage() {
        let all =
            [entry("VolumeSnapshotBackup", "a", "1", None), entry("VolumeSnapshotRestore", "a", "2", None)];
        let (code, message) = title(&all, "a").unwrap_err();
        assert_eq!(code, 2);
        assert!(message.contains("vsb/a or vsr/a"), "{message}");
        assert_eq!(title(&all, "vsr/a").unwrap(), "vsr/a");
        assert_eq!(title(&all, "b").unwrap_err().0, 1);
    }

    #[test]
    fn the_backup_that_serves_a_data_upload_is_not_meant_unless_it_is_named() {
        let all = [entry("VolumeSnapshotBackup", "a", "1", Some("2")), entry("DataUpload", "a", "2", None)];
        assert_eq!(title(&all, "a").unwrap(), "du/a");
        assert_eq!(title(&all, "vsb/a").unwrap(), "vsb/a");
    }
}
