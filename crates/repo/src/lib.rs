//! The repository: content-addressed, encrypted storage of volumes and file trees on top of an object store.
//!
//! Start with `Repository`. Everything that writes goes through a `BackupSession`; `commit` is the one place where a
//! snapshot comes into being. The bytes are defined in `docs/format.md`.
//!
//! # Planned surface (signatures being filled in; this list is what the mover and the command line build on)
//! ```text
//! Repository::init(store: Arc<dyn Store>, password: &Secret, cost: KdfCost) -> Result<Repository>
//! Repository::open(store, password) -> Result<Repository>
//! Repository::open_or_init_empty(store, password, cost) -> Result<(Repository, Opened)>      Opened::{Existing, Initialised}
//!   .source_id(&SourceIdentity) -> SourceId          SourceIdentity::{Pvc{cluster_uid,namespace,pvc}, Path{host,path}}
//!   .volume_splitter() -> VolumeSplitter   .file_splitter() -> FileSplitter      (crates/splitter types, keyed)
//!   .snapshots() -> Result<Vec<Snapshot>>            Snapshot { key: SnapshotKey{source,run,attempt}, record: SnapshotRecord }
//!   .resolve("latest" | run id | unique prefix) -> Result<Snapshot>
//!   .find_run(SourceId, RunId) -> Result<Option<Snapshot>>   .latest_of(SourceId) -> Result<Option<Snapshot>>
//!   .begin_backup(SourceId, RunId, BackupOptions) -> Result<BackupSession>
//!   .open_volume(&Snapshot) -> Result<VolumeReader>  .open_tree(&Snapshot) -> Result<TreeReader>
//!   .read_chunk(&ChunkRef) -> Result<Vec<u8>>
//!   .read_chunks(&[ChunkRef], &(dyn Fn(usize, &[u8]) -> Result<(), E> + Sync)) -> Result<(), ReadError<E>>   batched, parallel
//!   .check(&CheckOptions, &progress) -> Result<CheckReport>
//! BackupSession (Sync, share by &):
//!   .put_chunk(&[u8], near: Option<&ChunkRef>) -> Result<ChunkRef>     near = chunk of the parent at the same place
//!   .volume_writer(size_bytes) -> VolumeWriter       .put_span(index, Vec<Run>) from any thread; .finish() -> VolumeRoot
//!                                                    Run::{Hole{length_bytes}, Chunk(ChunkRef)}
//!   .tree_writer() -> TreeWriter                     .directory() -> DirectoryWriter: .push(TreeEntry) in name order, .finish() -> NodeRef
//!                                                    .file() -> FileWriter: .push(Run).., .finish() -> FileContent
//!   .stats() -> SessionStats                         .commit(SnapshotRecord) -> Result<Committed>   Committed::{New, AlreadyCommitted}(Snapshot)
//! VolumeReader: .size_bytes(), .span_count(), .span(index) -> Result<Option<Vec<Run>>>   (None: the whole span is a hole)
//! TreeReader:   .root(), .directory(&NodeRef) -> iterator of Result<TreeEntry>, .file_runs(&FileContent) -> iterator of Result<Run>
//! ```
//! All calls block; call them from ordinary threads (not from async tasks).
