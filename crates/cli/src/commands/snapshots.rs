//! `longshore snapshots`

use std::collections::BTreeMap;

use longshore_job::{RestorePointReference, VolumeMode};
use longshore_repo::{Content, KubernetesVolume, SourceIdentity};
use longshore_repo::{Snapshot, SnapshotList};
use serde::Serialize;

use crate::arguments::{GlobalArguments, SnapshotsArguments};
use crate::output::bytes;
use crate::settings::Access;
use crate::{Failure, output};

/// A snapshot as `-o json` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotView {
    id: String,
    /// When the data was taken, as far as known, else when the backup began; RFC 3339.
    time: String,
    started_at: String,
    finished_at: String,
    /// `namespace/pvc` or `host:path`.
    source: String,
    /// `volume` or `tree`.
    kind: &'static str,
    size_bytes: u64,
    read_bytes: u64,
    new_bytes: u64,
    stored_bytes: u64,
    files: u64,
    unchanged_files: u64,
    failed_files: u64,
    incomplete: bool,
    parent: Option<String>,
    /// What a VolumeSnapshotRestore names; absent for snapshots made without Kubernetes.
    reference: Option<String>,
    kubernetes: Option<KubernetesVolume>,
    labels: BTreeMap<String, String>,
    software: String,
}

#[derive(Serialize)]
struct List {
    snapshots: Vec<SnapshotView>,
    /// What stands at a snapshot's key and cannot be read.
    damaged: Vec<Damaged>,
}

#[derive(Serialize)]
struct Damaged {
    id: String,
    object: String,
    reason: String,
}

pub fn run(global: &GlobalArguments, verb: &SnapshotsArguments) -> Result<u8, Failure> {
    let repository = Access::from(global)?.open()?;
    let SnapshotList { snapshots: mut found, damaged } =
        repository.list_snapshots().map_err(longshore_mover::MoverError::from)?;
    found.sort_by_key(|snapshot| (snapshot.record.started_at, snapshot.record.run));
    let snapshots = found
        .iter()
        .map(SnapshotView::from)
        .filter(|view| verb.source.as_ref().is_none_or(|text| view.source.contains(text.as_str())))
        .filter(|view| verb.labels.iter().all(|wanted| view.has_label(wanted)))
        .collect();
    let damaged = damaged.into_iter().map(|damaged| Damaged {
        id: damaged.key.run.to_string(),
        object: damaged.object,
        reason: damaged.reason,
    });
    let list = List { snapshots, damaged: damaged.collect() };
    output::print(global.output, "Snapshots", &list, |out| {
        for damaged in &list.damaged {
            writeln!(out, "DAMAGED {}: {}: {}", damaged.id, damaged.object, damaged.reason)?;
        }
        if list.snapshots.is_empty() {
            return writeln!(out, "no snapshots");
        }
        let header = ["ID", "TIME", "SOURCE", "KIND", "SIZE", "NEW", "CLASS", "LABELS"];
        let rows: Vec<Vec<String>> = list.snapshots.iter().map(row).collect();
        output::table(out, &header, &rows)?;
        for view in &list.snapshots {
            if let Some(reference) = &view.reference {
                writeln!(out, "\nrestore point {}\n  {reference}", view.id)?;
            }
        }
        Ok(())
    })?;
    Ok(0)
}

fn row(view: &SnapshotView) -> Vec<String> {
    let class = view.kubernetes.as_ref().and_then(|volume| volume.storage_class.clone()).unwrap_or_default();
    let labels: Vec<String> = view.all_labels().map(|(key, value)| format!("{key}={value}")).collect();
    let kind = if view.incomplete { format!("{} (incomplete)", view.kind) } else { view.kind.to_owned() };
    vec![
        view.id.clone(),
        view.time.clone(),
        view.source.clone(),
        kind,
        bytes(view.size_bytes),
        bytes(view.stored_bytes),
        if class.is_empty() { "-".to_owned() } else { class },
        labels.join(","),
    ]
}

impl SnapshotView {
    /// The snapshot's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its own labels, and those of its PVC.
    fn all_labels(&self) -> impl Iterator<Item = (&String, &String)> {
        self.labels.iter().chain(self.kubernetes.iter().flat_map(|volume| &volume.pvc_labels))
    }

    fn has_label(&self, (key, value): &(String, String)) -> bool {
        self.all_labels().any(|(own_key, own_value)| own_key == key && own_value == value)
    }

    /// The time that the list shows.
    pub fn time(&self) -> &str {
        &self.time
    }
}

impl From<&Snapshot> for SnapshotView {
    fn from(snapshot: &Snapshot) -> Self {
        let record = &snapshot.record;
        Self {
            id: record.run.to_string(),
            time: second(record.data_at.unwrap_or(record.started_at)),
            started_at: second(record.started_at),
            finished_at: second(record.finished_at),
            source: source_text(&record.source),
            kind: match record.content {
                Content::Volume { .. } => "volume",
                Content::Tree { .. } => "tree",
            },
            size_bytes: record.content.size_bytes(),
            read_bytes: record.stats.read_bytes,
            new_bytes: record.stats.new_bytes,
            stored_bytes: record.stats.stored_bytes,
            files: record.stats.files,
            unchanged_files: record.stats.unchanged_files,
            failed_files: record.stats.failed_files,
            incomplete: record.incomplete,
            parent: record.parent.map(|run| run.to_string()),
            reference: reference(snapshot),
            kubernetes: record.kubernetes.clone(),
            labels: record.labels.clone(),
            software: record.software.clone(),
        }
    }
}

fn reference(snapshot: &Snapshot) -> Option<String> {
    let SourceIdentity::Pvc { cluster_uid, namespace, pvc } = &snapshot.record.source else { return None };
    let reference = RestorePointReference {
        cluster_uid: cluster_uid.clone(),
        namespace: namespace.clone(),
        pvc_name: pvc.clone(),
        run: snapshot.record.run.to_string(),
        volume_mode: match snapshot.record.content {
            Content::Volume { .. } => VolumeMode::Block,
            Content::Tree { .. } => VolumeMode::Filesystem,
        },
    };
    Some(reference.to_string())
}

/// `namespace/pvc` or `host:path`.
pub fn source_text(source: &SourceIdentity) -> String {
    match source {
        SourceIdentity::Pvc { namespace, pvc, .. } => format!("{namespace}/{pvc}"),
        SourceIdentity::Path { host, path } => format!("{host}:{path}"),
    }
}

/// RFC 3339, in UTC, without fractions.
pub(super) fn second(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
