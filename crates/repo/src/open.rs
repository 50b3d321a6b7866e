//! Making and opening repositories.

use crate::{
    Class, RepoError,
    index::{Index, IndexLimits},
    io::Io,
    keys::{self, Unlock},
    plans::PlanViews,
    read::PackKeys,
    record, reserve,
};
use longshore_crypto::{Anchor, Keyset, NewSlot, OpenedSlot, RepositoryKeys, random_bytes};
use longshore_format::{
    FORMAT_VERSION, RepositoryId, SourceId,
    config::RepositoryConfig,
    header::{HEADER_BYTES, RepositoryHeader},
    keyset::Role,
    names,
    sealed::{EnvelopeHead, RecordKind},
    slot::KdfCost,
    snapshot::SourceIdentity,
};
use longshore_splitter::{ChunkSizes, FileSplitter, VolumeSplitter};
use longshore_store::{Class as StoreClass, PROBE_PREFIX, Store, StoreCapabilities};
use std::sync::Arc;

/// The size at which packs are closed.
pub(crate) const PACK_BYTES: u32 = 16 << 20;
/// The zstd level of chunks. Measured on 4 GiB of mixed data (benches/README.md): level 1 stores 537 MiB in 5.0 CPU seconds,
/// level 2 524 in 5.8, level 3 516 in 6.9; the smallest peer stores 494, and 8% above it is the limit (decision 17).
const COMPRESSION_LEVEL: i32 = 2;
/// How often opening is tried that a rotation of the keys overtakes.
const OPEN_ATTEMPTS: usize = 5;
/// The label of the key that a repository is made with.
const FIRST_KEY: &str = "first key";

/// Half an hour: a machine that is suspended or cut off for less loses no work.
const SILENCE_LIMIT_SECONDS: u32 = 1800;

/// The reserve of a repository that a program makes: enough for the records and the index that a prune writes before it deletes.
pub const RESERVE_BYTES: u32 = 64 << 20;

/// What is settled when a repository is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepositorySettings {
    /// The size at which packs are closed, 1 to 32 MiB.
    pub pack_bytes: u32,
    /// A session that gives no sign of life for longer is given up by prune.
    pub silence_limit_seconds: u32,
    /// Prune waits so long before it deletes, for readers whose credentials do not let them announce themselves.
    pub reader_grace_seconds: u32,
    /// The least, the average (a power of two) and the largest size of chunks.
    pub chunk_bytes: [u32; 3],
    /// The size of the object that maintenance deletes first when the store is full, [`RESERVE_BYTES`] by rights; 0, the default of
    /// this type, makes none.
    pub reserve_bytes: u32,
}

impl Default for RepositorySettings {
    fn default() -> Self {
        Self {
            pack_bytes: PACK_BYTES,
            silence_limit_seconds: SILENCE_LIMIT_SECONDS,
            reader_grace_seconds: 0,
            chunk_bytes: [
                ChunkSizes::STANDARD.least,
                ChunkSizes::STANDARD.average,
                ChunkSizes::STANDARD.most,
            ]
            .map(|bytes| bytes as u32),
            reserve_bytes: 0,
        }
    }
}

/// How [`Repository::open_or_init_empty`] came to its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// It was there.
    Existing,
    /// It was made by this call.
    Initialised,
}

/// An open repository. Cheap to share by reference between threads.
pub struct Repository {
    pub(crate) io: Arc<Io>,
    pub(crate) keys: Arc<RepositoryKeys>,
    pub(crate) slot: Arc<OpenedSlot>,
    pub(crate) config: RepositoryConfig,
    pub(crate) index: Arc<Index>,
    pub(crate) pack_keys: PackKeys,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Repository {
    /// Makes a repository where there is nothing. What it is unlocked with becomes its first key, of role maintenance.
    pub fn init(store: Arc<dyn Store>, unlock: impl Into<Unlock>, cost: KdfCost) -> Result<Self, RepoError> {
        let io = Arc::new(Io::new(store)?);
        if read_header(&io)?.is_some() {
            return Err(RepoError::AlreadyInitialised { location: io.store().describe() });
        }
        match create(&io, &unlock.into(), cost, RepositorySettings::default(), Reserve::Now)? {
            Some(repository) => Ok(repository),
            None => Err(RepoError::AlreadyInitialised { location: io.store().describe() }),
        }
    }

    /// [`Self::init`] with settings of the caller's.
    pub fn init_with(
        store: Arc<dyn Store>,
        unlock: impl Into<Unlock>,
        cost: KdfCost,
        settings: RepositorySettings,
    ) -> Result<Self, RepoError> {
        let io = Arc::new(Io::new(store)?);
        let made = create(&io, &unlock.into(), cost, settings, Reserve::Now)?;
        made.ok_or_else(|| RepoError::AlreadyInitialised { location: io.store().describe() })
    }

    /// Opens a repository. What is not there is [`RepoError::NoRepository`], never an empty repository.
    pub fn open(store: Arc<dyn Store>, unlock: impl Into<Unlock>) -> Result<Self, RepoError> {
        let io = Arc::new(Io::new(store)?);
        let header =
            read_header(&io)?.ok_or_else(|| RepoError::NoRepository { location: io.store().describe() })?;
        open_with(io, header.id, &unlock.into())
    }

    /// Opens a repository, or makes it if the place is empty. Only backups may use this. Of two that race, the loser
    /// adopts the winner's repository, or fails if its password or key does not open it.
    pub fn open_or_init_empty(
        store: Arc<dyn Store>,
        unlock: impl Into<Unlock>,
        cost: KdfCost,
    ) -> Result<(Self, Opened), RepoError> {
        Self::open_or_init_empty_with(store, unlock, cost, RepositorySettings::default())
    }

    /// [`Self::open_or_init_empty`] with settings of the caller's, which only count if the repository is made.
    pub fn open_or_init_empty_with(
        store: Arc<dyn Store>,
        unlock: impl Into<Unlock>,
        cost: KdfCost,
        settings: RepositorySettings,
    ) -> Result<(Self, Opened), RepoError> {
        let (io, unlock) = (Arc::new(Io::new(store)?), unlock.into());
        if let Some(header) = read_header(&io)? {
            return Ok((open_with(io, header.id, &unlock)?, Opened::Existing));
        }
        if let Some(repository) = create(&io, &unlock, cost, settings, Reserve::WithFirstPrune)? {
            return Ok((repository, Opened::Initialised));
        }
        let header =
            read_header(&io)?.ok_or_else(|| RepoError::NoRepository { location: io.store().describe() })?;
        Ok((open_with(io, header.id, &unlock)?, Opened::Existing))
    }

    /// The identity of the repository.
    pub fn id(&self) -> RepositoryId {
        self.keys.repository()
    }

    /// Where the repository is, without any secret.
    pub fn location(&self) -> String {
        self.io.store().describe()
    }

    /// The configuration that all writers follow.
    pub fn config(&self) -> &RepositoryConfig {
        &self.config
    }

    /// What the store was found able to do when the repository was made; `None` if that was not looked at.
    pub fn store_capabilities(&self) -> Option<StoreCapabilities> {
        self.config.store.clone().and_then(|found| serde_json::from_value(found).ok())
    }

    /// Whether the key that opened the repository may forget, prune and change keys.
    pub fn can_maintain(&self) -> bool {
        self.keys.can_maintain()
    }

    /// The id under which a source's snapshots stand.
    pub fn source_id(&self, source: &SourceIdentity) -> SourceId {
        match source {
            SourceIdentity::Pvc { cluster_uid, namespace, pvc } => {
                self.keys.source_id(&["pvc", cluster_uid, namespace, pvc])
            }
            SourceIdentity::Path { host, path } => self.keys.source_id(&["path", host, path]),
        }
    }

    /// The splitter of volumes.
    pub fn volume_splitter(&self) -> VolumeSplitter {
        self.keys.volume_splitter(self.chunk_sizes())
    }

    /// The splitter of files.
    pub fn file_splitter(&self) -> FileSplitter {
        self.keys.file_splitter(self.chunk_sizes())
    }

    fn chunk_sizes(&self) -> ChunkSizes {
        let [least, average, most] = self.config.chunk_bytes.map(|bytes| bytes as usize);
        ChunkSizes { least, average, most }
    }
}

fn read_header(io: &Io) -> Result<Option<RepositoryHeader>, RepoError> {
    match io.get(names::REPOSITORY, HEADER_BYTES as u64) {
        Ok(bytes) => RepositoryHeader::decode(&bytes).map(Some).map_err(RepoError::format(names::REPOSITORY)),
        Err(RepoError::Store { source }) if source.class() == StoreClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// When the reserve is made. A mover that makes a repository leaves it to maintenance: its backup waits, and its role of the
/// store may not make that object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reserve {
    Now,
    WithFirstPrune,
}

/// Makes a repository; `None` if another process was first. Everything but `repo` is bound to a fresh id and means
/// nothing without it, so leavings of a crash or of the loser harm nobody.
fn create(
    io: &Arc<Io>,
    unlock: &Unlock,
    cost: KdfCost,
    settings: RepositorySettings,
    reserve: Reserve,
) -> Result<Option<Repository>, RepoError> {
    require_empty(io)?;
    let store = probe_store(io)?;
    let id = RepositoryId(random_bytes()?);
    let mut keyset = Keyset::generate()?;
    let anchor = Anchor { revision: 0, authority: keyset.authority() };
    let slot = NewSlot::for_credential(id, anchor, &unlock.credential, cost)?;
    keyset.add_slot(&slot, Role::Maintenance, FIRST_KEY, 1);
    let opened = slot.opened().cloned().ok_or(RepoError::Misuse { rule: "the first key must be at hand" })?;
    let revision = keyset.seal(id, 1, [0; 32], &keyset)?;
    let keys = RepositoryKeys::new(id, keyset)?;
    let config = RepositoryConfig {
        format: FORMAT_VERSION,
        pack_bytes: settings.pack_bytes,
        silence_limit_seconds: settings.silence_limit_seconds,
        reader_grace_seconds: settings.reader_grace_seconds,
        reserve_bytes: settings.reserve_bytes,
        compression_level: COMPRESSION_LEVEL,
        chunk_bytes: settings.chunk_bytes,
        store: serde_json::to_value(&store).ok(),
        software: crate::SOFTWARE.to_owned(),
    };
    if let Some(object) = &slot.object {
        io.create(&names::key_slot(id, slot.id), object.encode())?;
    }
    io.create(&names::keyset(id, 1), revision.encode())?;
    if reserve == Reserve::Now {
        // Before the header: a place that has no room for the reserve is no place for a repository.
        reserve::make(io, config.reserve_bytes)?;
    }
    let name = names::config(id, 1);
    let plain = config.encode().map_err(RepoError::format(&name))?;
    io.create(&name, record::seal(&keys, RecordKind::Config, &name, &plain)?)?;
    match io.create(names::REPOSITORY, RepositoryHeader { id }.encode()) {
        Ok(()) => Ok(Some(assemble(io.clone(), keys, opened, config))),
        Err(RepoError::Store { source }) if source.class() == StoreClass::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a repository can live here at all, and what is worth knowing of the place.
fn probe_store(io: &Io) -> Result<StoreCapabilities, RepoError> {
    let store = io.store().clone();
    let found = io.wait(async move { Ok(longshore_store::probe(&*store).await) })?;
    found.map_err(|source| RepoError::Unsuitable { source })
}

/// Leavings of an interrupted init (probes, keys, configuration, reserve) are no content; anything else is.
fn require_empty(io: &Io) -> Result<(), RepoError> {
    let listed = io.list("")?;
    let other = listed.iter().find(|object| {
        let name = object.name.as_str();
        let leaving = [PROBE_PREFIX, names::KEYS, names::KEYSETS, names::CONFIG]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        // `repo` may have appeared since it was looked for: then creating it fails, and the winner is adopted.
        !leaving && name != names::REPOSITORY && name != names::RESERVE
    });
    // A winner of the race may even have stored data by now.
    let lost_race = listed.iter().any(|object| object.name == names::REPOSITORY);
    match other {
        Some(object) if !lost_race => {
            Err(RepoError::NotEmpty { location: io.store().describe(), example: object.name.clone() })
        }
        _ => Ok(()),
    }
}

fn open_with(io: Arc<Io>, id: RepositoryId, unlock: &Unlock) -> Result<Repository, RepoError> {
    let (slot, mut keyset) = keys::unlock(&io, id, unlock)?;
    let mut attempt = 1;
    loop {
        let keys = RepositoryKeys::new(id, keyset)?;
        match read_config(&io, &keys) {
            Ok(config) => return Ok(assemble(io, keys, slot, config)),
            // Rotated between the two reads: then there is a newer keyset too.
            Err(error) if error.class() == Class::KeysRotated && attempt < OPEN_ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
        keyset = keys::load(&io, id, &slot)?.keyset;
    }
}

/// The configuration in force: the highest revision that the maintenance key in force has signed, so that somebody who holds
/// a replaced one cannot add to it; or, if that key has signed none yet, the highest of all. A revision that does not open
/// is an error and never passed over.
fn read_config(io: &Io, keys: &RepositoryKeys) -> Result<RepositoryConfig, RepoError> {
    let prefix = names::config_revisions(keys.repository());
    let mut fallback = None;
    for object in io.list(&prefix)?.iter().rev() {
        let name = object.name.as_str();
        if names::parse_revision(&prefix, name).is_none() {
            continue;
        }
        let (epoch, config) = read_config_at(io, keys, name)?;
        if epoch >= keys.authority_epoch() {
            return Ok(config);
        }
        fallback.get_or_insert(config);
    }
    fallback.ok_or_else(|| RepoError::Incomplete { location: io.store().describe(), what: "configuration" })
}

/// A revision of the configuration, with the epoch that sealed it.
pub(crate) fn read_config_at(
    io: &Io,
    keys: &RepositoryKeys,
    name: &str,
) -> Result<(u32, RepositoryConfig), RepoError> {
    let bytes = io.get(name, RecordKind::Config.object_bytes_max() as u64)?;
    let (head, _) = EnvelopeHead::split(RecordKind::Config, &bytes).map_err(RepoError::format(name))?;
    let plain = record::open(keys, RecordKind::Config, name, &bytes)?;
    let config = RepositoryConfig::decode(&plain).map_err(RepoError::format(name))?;
    Ok((head.epoch, config))
}

fn assemble(io: Arc<Io>, keys: RepositoryKeys, slot: OpenedSlot, config: RepositoryConfig) -> Repository {
    let slot = Arc::new(slot);
    let (own_io, own_slot, id) = (io.clone(), slot.clone(), keys.repository());
    // A flipped bit must not pass for a rotation. Who cannot find out believes it: another attempt will tell.
    let keys = Arc::new(keys.with_epoch_check(move |epoch| {
        keys::load(&own_io, id, &own_slot).map_or(true, |loaded| loaded.keyset.newest_epoch() >= epoch)
    }));
    let views = PlanViews { io: io.clone(), keys: keys.clone() };
    let index = Arc::new(Index::new(keys.clone(), io.clone(), IndexLimits::STANDARD, Box::new(views)));
    tracing::info!(repository = %keys.repository(), location = io.store().describe(), format = config.format, "the repository is open");
    Repository { io, keys, slot, config, index, pack_keys: PackKeys::default() }
}
