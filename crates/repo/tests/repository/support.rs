//! Backups and restores of byte vectors, as a mover does them.

use bytes::Bytes;
use futures::TryStreamExt as _;
use longshore_repo::{
    BackupOptions, ChunkRef, Committed, KdfCost, RepoError, Repository, RepositorySettings, Run, RunId,
    SPAN_BYTES, Secret, Snapshot, SnapshotDraft, SnapshotStats, SourceIdentity, VolumeReader,
    splitter::PieceKind,
    store::{Store, memory},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// Cheap enough for tests; passed explicitly so that nothing else gets it by accident.
pub const COST: KdfCost = KdfCost { memory_kib: 64, passes: 1, lanes: 1 };

pub fn password() -> Secret {
    Secret::from("correct horse")
}

pub fn new_repository() -> (Arc<dyn Store>, Repository) {
    let store = memory();
    let repository = Repository::init(store.clone(), &password(), COST).unwrap();
    (store, repository)
}

pub fn run_id(number: u128) -> RunId {
    RunId(uuid::Uuid::from_u128(number))
}

pub fn pvc(name: &str) -> SourceIdentity {
    SourceIdentity::Pvc { cluster_uid: "c1".into(), namespace: "shop".into(), pvc: name.into() }
}

pub fn draft(source: SourceIdentity, content: longshore_repo::WrittenContent) -> SnapshotDraft {
    SnapshotDraft {
        source,
        started_at: jiff::Timestamp::UNIX_EPOCH,
        finished_at: jiff::Timestamp::UNIX_EPOCH,
        data_at: None,
        content,
        parent: None,
        incomplete: false,
        stats: SnapshotStats::default(),
        kubernetes: None,
        labels: BTreeMap::new(),
    }
}

/// Pseudorandom bytes, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut out = vec![0u8; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// Backs up a volume with `threads` threads, each taking spans.
pub fn back_up(
    repository: &Repository,
    source: &str,
    run: RunId,
    volume: &[u8],
    parent: Option<&Snapshot>,
) -> Result<Committed, RepoError> {
    back_up_with(repository, source, run, volume, parent, BackupOptions::default(), 2)
}

pub fn back_up_with(
    repository: &Repository,
    source: &str,
    run: RunId,
    volume: &[u8],
    parent: Option<&Snapshot>,
    options: BackupOptions,
    threads: usize,
) -> Result<Committed, RepoError> {
    let identity = pvc(source);
    let session = repository.begin_backup(repository.source_id(&identity), run, parent, options)?;
    let reader = session.parent().map(|parent| repository.open_volume(parent)).transpose()?;
    let writer = session.volume_writer(volume.len() as u64, reader.as_ref());
    let spans: Vec<(usize, &[u8])> = volume.chunks(SPAN_BYTES as usize).enumerate().collect();
    let next = Mutex::new(spans.into_iter());
    std::thread::scope(|scope| {
        let work = || -> Result<(), RepoError> {
            loop {
                let Some((index, span)) = next.lock().unwrap().next() else { return Ok(()) };
                let runs = put_span(&session, span, reader.as_ref(), index as u64)?;
                writer.put_span(index as u64, &runs)?;
            }
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles.into_iter().try_for_each(|handle| handle.join().unwrap())
    })?;
    let content = writer.finish()?;
    session.commit(draft(identity, content))
}

/// Puts all chunks of a volume of one span.
pub fn split(session: &longshore_repo::BackupSession<'_>, volume: &[u8]) -> Vec<Run> {
    put_span(session, volume, None, 0).unwrap()
}

fn put_span(
    session: &longshore_repo::BackupSession<'_>,
    span: &[u8],
    parent: Option<&VolumeReader<'_>>,
    index: u64,
) -> Result<Vec<Run>, RepoError> {
    let mut padded = span.to_vec();
    padded.resize(span.len().next_multiple_of(4096), 0);
    let old = match parent {
        Some(parent) => parent.span(index)?.unwrap_or_default(),
        None => Vec::new(),
    };
    let mut old_at: BTreeMap<u64, ChunkRef> = BTreeMap::new();
    let mut at = 0;
    for run in &old {
        if let Run::Chunk(chunk) = run {
            old_at.insert(at, *chunk);
        }
        at += run.length_bytes();
    }
    let mut runs = Vec::new();
    let mut at = 0;
    for piece in session.repository().volume_splitter().split_span(&padded) {
        let bytes = &padded[at..at + piece.length_bytes];
        runs.push(match piece.kind {
            PieceKind::Hole => Run::Hole { length_bytes: piece.length_bytes as u64 },
            PieceKind::Data => Run::Chunk(session.put_chunk(bytes, old_at.get(&(at as u64)))?),
        });
        at += piece.length_bytes;
    }
    Ok(runs)
}

#[derive(Debug, thiserror::Error)]
#[error("never")]
pub struct Never;

/// Restores a volume into a vector that begins full of rubbish, so that nothing is right by accident.
pub fn restore(repository: &Repository, snapshot: &Snapshot) -> Result<Vec<u8>, RepoError> {
    let reader = repository.open_volume(snapshot)?;
    let padded = (reader.size_bytes() as usize).next_multiple_of(4096);
    let target = Mutex::new(vec![0xa5u8; padded]);
    for index in 0..reader.span_count() {
        let start = (index * SPAN_BYTES) as usize;
        let end = (start + SPAN_BYTES as usize).min(padded);
        let Some(runs) = reader.span(index)? else {
            target.lock().unwrap()[start..end].fill(0);
            continue;
        };
        let (mut chunks, mut places, mut at) = (Vec::new(), Vec::new(), start);
        for run in runs {
            let length = run.length_bytes() as usize;
            match run {
                Run::Hole { .. } => target.lock().unwrap()[at..at + length].fill(0),
                Run::Chunk(chunk) => {
                    chunks.push(chunk);
                    places.push(at);
                }
            }
            at += length;
        }
        let deliver = |number: usize, bytes: &[u8]| -> Result<(), Never> {
            let at = places[number];
            target.lock().unwrap()[at..at + bytes.len()].copy_from_slice(bytes);
            Ok(())
        };
        repository.read_chunks(&chunks, &deliver).map_err(|error| match error {
            longshore_repo::ReadError::Repo(error) => error,
            longshore_repo::ReadError::Deliver(_) => unreachable!("delivering to memory does not fail"),
        })?;
    }
    let mut out = target.into_inner().unwrap();
    out.truncate(reader.size_bytes() as usize);
    Ok(out)
}

/// A repository whose packs are small, so that little data makes many.
pub fn small_packs() -> (Arc<dyn Store>, Repository) {
    let store = memory();
    let repository = Repository::init_with(
        store.clone(),
        &password(),
        COST,
        RepositorySettings { pack_bytes: 1 << 20, ..RepositorySettings::default() },
    )
    .unwrap();
    (store, repository)
}

pub fn open(store: &Arc<dyn Store>) -> Result<Repository, RepoError> {
    Repository::open(store.clone(), &password())
}

/// Drives a store's futures.
pub fn block_on<T>(task: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(task)
}

/// All objects of a store by name.
pub fn objects(store: &Arc<dyn Store>) -> BTreeMap<String, Bytes> {
    block_on(async {
        let all: Vec<_> = store.list("").try_collect().await.unwrap();
        let mut out = BTreeMap::new();
        for object in all {
            out.insert(object.name.clone(), store.get(&object.name, object.size_bytes).await.unwrap());
        }
        out
    })
}

/// A store in memory that holds these objects.
pub fn store_of(objects: &BTreeMap<String, Bytes>) -> Arc<dyn Store> {
    let store = memory();
    block_on(async {
        for (name, body) in objects {
            store.create(name, body.clone()).await.unwrap();
        }
    });
    store
}

/// The class of a failure.
pub fn class<T>(result: Result<T, RepoError>) -> longshore_repo::Class {
    match result {
        Ok(_) => panic!("it should have failed"),
        Err(error) => error.class(),
    }
}
