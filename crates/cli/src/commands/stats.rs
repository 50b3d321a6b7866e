//! `longshore stats`

use longshore_job::Stage;
use longshore_mover::MoverError;
use longshore_repo::{ObjectCount, RepositoryStats, SnapshotUsage, Usage};
use serde::Serialize;

use super::snapshots::{second, source_text};
use crate::arguments::{GlobalArguments, StatsArguments};
use crate::output::bytes;
use crate::progress::{Sink, Watcher};
use crate::settings::Access;
use crate::{Failure, output};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    /// Oldest first.
    snapshots: Vec<SnapshotStats>,
    /// All of these together.
    total: Total,
    /// What the store holds, needed by these snapshots or not.
    repository: Objects,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SnapshotStats {
    id: String,
    time: String,
    source: String,
    size_bytes: u64,
    referenced_bytes: u64,
    /// What it needs that none of those before it in the list needs.
    #[serde(flatten)]
    added: Needs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Total {
    size_bytes: u64,
    referenced_bytes: u64,
    #[serde(flatten)]
    needs: Needs,
    /// Referenced by unique bytes.
    deduplication_ratio: f64,
    /// Unique by stored bytes.
    compression_ratio: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Needs {
    unique_bytes: u64,
    stored_bytes: u64,
    metadata_bytes: u64,
    chunks: u64,
    nodes: u64,
    packs: u64,
    missing: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Objects {
    data_packs: u64,
    data_pack_bytes: u64,
    meta_packs: u64,
    meta_pack_bytes: u64,
    index_segments: u64,
    index_bytes: u64,
    objects: u64,
    bytes: u64,
}

pub fn run(global: &GlobalArguments, verb: &StatsArguments) -> Result<u8, Failure> {
    let repository = Access::from(global)?.open()?;
    let mut snapshots = super::named_or_all(&repository, &verb.snapshots)?;
    snapshots.sort_by_key(|snapshot| (snapshot.record.started_at, snapshot.record.run));
    let control = super::backup::watch()?;
    control.set_stage(Stage::Scanning);
    let found = {
        let _watcher = Watcher::start(global.progress, Sink::Stderr, control.clone());
        let sizes: Vec<u64> = snapshots.iter().map(|snapshot| snapshot.record.content.size_bytes()).collect();
        control.set_total(sizes.iter().sum());
        let mut seen = |done: u64| control.raise_done(sizes.iter().take(done as usize).sum());
        repository.stats(snapshots, &mut seen).map_err(MoverError::from)?
    };
    let document = Document::from(&found);
    output::print(global.output, "Stats", &document, |out| {
        let header = ["ID", "TIME", "SOURCE", "SIZE", "UNIQUE", "STORED", "CHUNKS", "PACKS"];
        let rows: Vec<Vec<String>> = document.snapshots.iter().map(row).collect();
        output::table(out, &header, &rows)?;
        writeln!(out)?;
        summary(&document).iter().try_for_each(|(name, value)| writeln!(out, "{name:16}{value}"))
    })?;
    Ok(0)
}

fn row(view: &SnapshotStats) -> Vec<String> {
    vec![
        view.id.clone(),
        view.time.clone(),
        view.source.clone(),
        bytes(view.size_bytes),
        bytes(view.added.unique_bytes),
        bytes(view.added.stored_bytes + view.added.metadata_bytes),
        view.added.chunks.to_string(),
        view.added.packs.to_string(),
    ]
}

fn summary(document: &Document) -> Vec<(&'static str, String)> {
    let (total, store) = (&document.total, &document.repository);
    let needs = &total.needs;
    let mut lines = vec![
        ("size", format!("{} in {} snapshots", bytes(total.size_bytes), document.snapshots.len())),
        ("data", format!("{} without holes", bytes(total.referenced_bytes))),
        (
            "unique",
            format!(
                "{} in {} chunks, deduplicated {:.2} : 1",
                bytes(needs.unique_bytes),
                needs.chunks,
                total.deduplication_ratio
            ),
        ),
        (
            "stored",
            format!(
                "{}, compressed {:.2} : 1, and {} of metadata, in {} packs",
                bytes(needs.stored_bytes),
                total.compression_ratio,
                bytes(needs.metadata_bytes),
                needs.packs
            ),
        ),
        (
            "in the store",
            format!(
                "{} in {} data packs, {} in {} metadata packs, {} in {} index segments; {} in all",
                bytes(store.data_pack_bytes),
                store.data_packs,
                bytes(store.meta_pack_bytes),
                store.meta_packs,
                bytes(store.index_bytes),
                store.index_segments,
                bytes(store.bytes)
            ),
        ),
    ];
    if needs.missing > 0 {
        lines.push(("MISSING", format!("{} chunks; run `longshore check`", needs.missing)));
    }
    lines
}

impl From<&RepositoryStats> for Document {
    fn from(found: &RepositoryStats) -> Self {
        let ratio = |of: u64, by: u64| if by == 0 { 1.0 } else { of as f64 / by as f64 };
        let (size_bytes, referenced_bytes) = (found.logical_bytes(), found.referenced_bytes());
        let ObjectCount { objects, bytes } = found.all;
        Self {
            snapshots: found.snapshots.iter().map(SnapshotStats::from).collect(),
            total: Total {
                size_bytes,
                referenced_bytes,
                needs: Needs::from(&found.usage),
                deduplication_ratio: ratio(referenced_bytes, found.usage.unique_bytes),
                compression_ratio: ratio(found.usage.unique_bytes, found.usage.stored_bytes),
            },
            repository: Objects {
                data_packs: found.data_packs.objects,
                data_pack_bytes: found.data_packs.bytes,
                meta_packs: found.meta_packs.objects,
                meta_pack_bytes: found.meta_packs.bytes,
                index_segments: found.index.objects,
                index_bytes: found.index.bytes,
                objects,
                bytes,
            },
        }
    }
}

impl From<&SnapshotUsage> for SnapshotStats {
    fn from(usage: &SnapshotUsage) -> Self {
        let record = &usage.snapshot.record;
        Self {
            id: record.run.to_string(),
            time: second(record.data_at.unwrap_or(record.started_at)),
            source: source_text(&record.source),
            size_bytes: record.content.size_bytes(),
            referenced_bytes: usage.referenced_bytes,
            added: Needs::from(&usage.added),
        }
    }
}

impl From<&Usage> for Needs {
    fn from(usage: &Usage) -> Self {
        Self {
            unique_bytes: usage.unique_bytes,
            stored_bytes: usage.stored_bytes,
            metadata_bytes: usage.metadata_bytes,
            chunks: usage.chunks,
            nodes: usage.nodes,
            packs: usage.packs,
            missing: usage.missing,
        }
    }
}
