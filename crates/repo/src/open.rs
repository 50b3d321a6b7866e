//! Making and opening repositories.

use crate::{
    RepoError,
    index::{Index, IndexLimits, NothingDeleted},
    io::Io,
    read::PackKeys,
    record,
};
use longshore_crypto::{Keyset, RepositoryKeys, Secret, random_bytes};
use longshore_format::{
    FORMAT_VERSION, RepositoryId, SourceId,
    config::RepositoryConfig,
    header::{HEADER_BYTES, RepositoryHeader},
    names,
    sealed::{ENVELOPE_HEAD_BYTES, RECORD_BYTES_MAX, RecordKind},
    slot::{KdfCost, KeySlot, SLOT_BYTES_MAX},
    snapshot::SourceIdentity,
};
use longshore_splitter::{ChunkSizes, FileSplitter, VolumeSplitter};
use longshore_store::{Class as StoreClass, Store};
use std::sync::Arc;

/// The size at which packs are closed.
pub(crate) const PACK_BYTES: u32 = 16 << 20;
/// The zstd level of chunks. Measured on 4 GiB of mixed data (benches/README.md): level 1 stores 537 MiB in 5.0 CPU seconds,
/// level 2 524 in 5.8, level 3 516 in 6.9; the smallest peer stores 494, and 8% above it is the limit (decision 17).
const COMPRESSION_LEVEL: i32 = 2;
/// Slots that are tried at most; each try costs a key derivation.
const SLOTS_TRIED_MAX: usize = 32;
/// Largest sealed record object.
pub(crate) const RECORD_OBJECT_BYTES_MAX: u64 = (RECORD_BYTES_MAX + ENVELOPE_HEAD_BYTES) as u64;

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
    /// Makes a repository where there is nothing, protected by a password.
    pub fn init(store: Arc<dyn Store>, password: &Secret, cost: KdfCost) -> Result<Self, RepoError> {
        let io = Arc::new(Io::new(store)?);
        if read_header(&io)?.is_some() {
            return Err(RepoError::AlreadyInitialised { location: io.store().describe() });
        }
        match create(&io, password, cost, PACK_BYTES)? {
            Some(repository) => Ok(repository),
            None => Err(RepoError::AlreadyInitialised { location: io.store().describe() }),
        }
    }

    /// [`Self::init`] with smaller packs, so that tests meet many of them in little data.
    #[doc(hidden)]
    pub fn init_with_pack_bytes(
        store: Arc<dyn Store>,
        password: &Secret,
        cost: KdfCost,
        pack_bytes: u32,
    ) -> Result<Self, RepoError> {
        let io = Arc::new(Io::new(store)?);
        let made = create(&io, password, cost, pack_bytes)?;
        made.ok_or_else(|| RepoError::AlreadyInitialised { location: io.store().describe() })
    }

    /// Opens a repository. What is not there is [`RepoError::NoRepository`], never an empty repository.
    pub fn open(store: Arc<dyn Store>, password: &Secret) -> Result<Self, RepoError> {
        let io = Arc::new(Io::new(store)?);
        let header =
            read_header(&io)?.ok_or_else(|| RepoError::NoRepository { location: io.store().describe() })?;
        open_with(io, header.id, password)
    }

    /// Opens a repository, or makes it if the place is empty. Only backups may use this. Of two that race, the loser
    /// adopts the winner's repository, or fails if its password does not open it.
    pub fn open_or_init_empty(
        store: Arc<dyn Store>,
        password: &Secret,
        cost: KdfCost,
    ) -> Result<(Self, Opened), RepoError> {
        let io = Arc::new(Io::new(store)?);
        if let Some(header) = read_header(&io)? {
            return Ok((open_with(io, header.id, password)?, Opened::Existing));
        }
        if let Some(repository) = create(&io, password, cost, PACK_BYTES)? {
            return Ok((repository, Opened::Initialised));
        }
        let header =
            read_header(&io)?.ok_or_else(|| RepoError::NoRepository { location: io.store().describe() })?;
        Ok((open_with(io, header.id, password)?, Opened::Existing))
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

/// Makes a repository; `None` if another process was first. Everything but `repo` is bound to a fresh id and means
/// nothing without it, so leavings of a crash or of the loser harm nobody.
fn create(
    io: &Arc<Io>,
    password: &Secret,
    cost: KdfCost,
    pack_bytes: u32,
) -> Result<Option<Repository>, RepoError> {
    require_empty(io)?;
    let id = RepositoryId(random_bytes()?);
    let keyset = Keyset::generate()?;
    let slot = keyset.wrap(id, password, cost)?;
    let keys = RepositoryKeys::new(id, keyset)?;
    let sizes = ChunkSizes::STANDARD;
    let config = RepositoryConfig {
        format: FORMAT_VERSION,
        pack_bytes,
        compression_level: COMPRESSION_LEVEL,
        chunk_bytes: [sizes.least as u32, sizes.average as u32, sizes.most as u32],
        software: crate::SOFTWARE.to_owned(),
    };
    io.create(&names::key_slot(id, slot.id), slot.encode())?;
    let name = names::config(id, 1);
    let plain = config.encode().map_err(RepoError::format(&name))?;
    io.create(&name, record::seal(&keys, RecordKind::Config, &name, &plain)?)?;
    match io.create(names::REPOSITORY, RepositoryHeader { id }.encode()) {
        Ok(()) => Ok(Some(assemble(io.clone(), keys, config))),
        Err(RepoError::Store { source }) if source.class() == StoreClass::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

/// Leavings of an interrupted init (keys, configuration) are no content; anything else is.
fn require_empty(io: &Io) -> Result<(), RepoError> {
    let listed = io.list("")?;
    let other = listed.iter().find(|object| {
        let name = object.name.as_str();
        // `repo` may have appeared since it was looked for: then creating it fails, and the winner is adopted.
        !name.starts_with(names::KEYS) && !name.starts_with(names::CONFIG) && name != names::REPOSITORY
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

fn open_with(io: Arc<Io>, id: RepositoryId, password: &Secret) -> Result<Repository, RepoError> {
    let keyset = open_slot(&io, id, password)?;
    let keys = RepositoryKeys::new(id, keyset)?;
    let revisions = io.list(&names::config_revisions(id))?;
    let newest = revisions.last().map(|object| object.name.clone());
    let name = newest
        .ok_or_else(|| RepoError::Incomplete { location: io.store().describe(), what: "configuration" })?;
    let bytes = io.get(&name, RECORD_OBJECT_BYTES_MAX)?;
    let plain = record::open(&keys, RecordKind::Config, &name, &bytes)?;
    let config = RepositoryConfig::decode(&plain).map_err(RepoError::format(&name))?;
    Ok(assemble(io, keys, config))
}

fn open_slot(io: &Io, id: RepositoryId, password: &Secret) -> Result<Keyset, RepoError> {
    let (mut tried, mut damaged) = (0, None);
    for object in io.list(&names::key_slots(id))?.iter().take(SLOTS_TRIED_MAX) {
        let bytes = io.get(&object.name, SLOT_BYTES_MAX as u64)?;
        let slot = match KeySlot::decode(&bytes) {
            Ok(slot) if names::key_slot(id, slot.id) == object.name && slot.repository == id => slot,
            Ok(_) => {
                damaged = Some(RepoError::WrongContent { object: object.name.clone() });
                continue;
            }
            Err(source) => {
                damaged = Some(RepoError::Format { object: object.name.clone(), source });
                continue;
            }
        };
        tried += 1;
        match Keyset::unwrap(&slot, password) {
            Ok(keyset) => return Ok(keyset),
            Err(error) if error.class() == longshore_crypto::Class::WrongPassword => {}
            Err(error) => return Err(RepoError::seal(&object.name)(error)),
        }
    }
    match damaged {
        _ if tried > 0 => Err(RepoError::WrongPassword { slots: tried }),
        Some(error) => Err(error),
        None => Err(RepoError::Incomplete { location: io.store().describe(), what: "key slot" }),
    }
}

fn assemble(io: Arc<Io>, keys: RepositoryKeys, config: RepositoryConfig) -> Repository {
    let keys = Arc::new(keys);
    let index =
        Arc::new(Index::new(keys.clone(), io.clone(), IndexLimits::STANDARD, Box::new(NothingDeleted)));
    Repository { io, keys, config, index, pack_keys: PackKeys::default() }
}
