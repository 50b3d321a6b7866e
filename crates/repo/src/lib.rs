//! The repository: content-addressed, encrypted storage of volumes and file trees on top of an object store.
//!
//! Start with [`Repository`]. Everything that writes goes through a [`BackupSession`]; its `commit` is the one place where
//! a snapshot comes into being. The bytes are defined in `docs/format.md`. All calls block: call them from ordinary
//! threads, not from async tasks.
//!
//! # Invariants
//! - A snapshot record exists only after every pack and index segment it needs is durable.
//! - Nothing is ever overwritten, and deleted only by prune, by the protocol of `docs/concurrency.md`.
//! - Every byte that was read is authenticated and compared with its id before anybody sees it.
//!
//! # Does not know
//! Kubernetes, files, devices, wall clocks (callers pass times), the process environment.

mod check;
mod checkpoint;
mod damage;
mod diff;
mod error;
mod examine;
mod forget;
mod frame;
mod index;
mod io;
mod keyless;
mod keys;
mod losses;
mod open;
mod pack;
mod parallel;
mod plans;
mod protection;
mod prune;
mod read;
mod reading;
mod record;
mod registration;
mod repair;
mod reserve;
mod session;
mod snapshots;
mod stats;
mod tree;
mod volume;
mod walk;

pub use check::{CheckOptions, CheckProgress, CheckReport, Problem, Sample};
pub use checkpoint::{Anchor, AnchorError, Seen as SeenCheckpoint};
pub use diff::{
    DiffTotals, Difference, EachDifference, EntryChange, EntryCounts, EntryDifference, RangeContent,
    RangeDifference,
};
pub use error::{Class, RepoError};
pub use forget::{ForgetDecision, ForgetPolicy, KeepReason, decide_forget};
pub use index::RebuildReport;
pub use keyless::{KeylessReport, check_keyless};
pub use keys::{AddedKey, ChangedKeys, KeyChange, KeyHolder, KeyInfo, KeyList, Unlock};
pub use longshore_crypto::{Credential, CryptoError, Identity, Recipient, Secret, StrongKey};
pub use longshore_format::{
    ChunkId, ChunkRef, FORMAT_VERSION, Location, NodeId, NodeRef, PackId, Place, RepositoryId, Run, RunId,
    SlotId, SourceId,
    keyset::Role,
    map::SPAN_BYTES,
    names::SnapshotKey,
    slot::{KdfCost, SlotKind},
    snapshot::{Content, KubernetesVolume, SnapshotRecord, SnapshotStats, SourceIdentity},
    tree::{Entry, EntryContent, EntryKind, INLINE_BYTES_MAX, Time, Xattr},
};
pub use longshore_splitter as splitter;
pub use longshore_store as store;
pub use losses::{Loss, Losses};
pub use open::{Opened, RESERVE_BYTES, Repository, RepositorySettings};
pub use protection::{
    LockOptions, LockReport, Locks, ProtectionReport, RemovedVersions, Undeleted, keeps_versions, undelete,
};
pub use prune::{PruneEstimate, PruneOptions, PrunePolicy, PruneReport, PruneStage};
pub use read::{Deliver, ReadError};
pub use reading::Reading;
pub use repair::{DamagedPack, PacksRepair};
pub use session::{BackupOptions, BackupSession, Committed, SessionStats, SnapshotDraft, WrittenContent};
pub use snapshots::{DamagedSnapshot, Snapshot, SnapshotList};
pub use stats::{ObjectCount, RepositoryStats, SnapshotUsage, Usage};
pub use tree::{DirectoryWriter, Entries, FileRuns, FileWriter, TreeReader};
pub use volume::{VolumeReader, VolumeWriter};

/// Whether an object lives for the time of one run or prune, by its name.
pub use longshore_format::names::is_short_lived;

/// Name and version of this software, as it stands in records.
pub(crate) const SOFTWARE: &str = concat!("longshore ", env!("CARGO_PKG_VERSION"));
