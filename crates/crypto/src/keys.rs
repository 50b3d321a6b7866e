use crate::{
    CryptoError, Keyset, SecretKey,
    aead::SealKey,
    cut::KeyedCut,
    kdf,
    maintenance::{record_message, verify},
};
use longshore_format::{ChunkId, NodeId, RepositoryId, SourceId, names::PackKind, sealed::RecordKind};
use longshore_splitter::{ChunkSizes, FileSplitter, GearTable, VolumeSplitter};
use std::sync::Arc;

/// What an object's key is for. Keys of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A pack.
    Pack(PackKind),
    /// An index segment.
    Index,
    /// A small record.
    Record(RecordKind),
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Pack(PackKind::Data) => b"data",
            Self::Pack(PackKind::Meta) => b"meta",
            Self::Index => b"index",
            Self::Record(kind) => kind.as_str().as_bytes(),
        }
    }
}

/// Says whether an epoch newer than all that are in hand exists.
type EpochCheck = Box<dyn Fn(u32) -> bool + Send + Sync>;

/// The derived keys of an open repository.
pub struct RepositoryKeys {
    repository: RepositoryId,
    keyset: Keyset,
    chunk_id: SecretKey,
    node_id: SecretKey,
    name: SecretKey,
    cut: Arc<KeyedCut>,
    gear: GearTable,
    is_epoch: Option<EpochCheck>,
}

impl std::fmt::Debug for RepositoryKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RepositoryKeys").field("repository", &self.repository).finish_non_exhaustive()
    }
}

impl RepositoryKeys {
    /// Derives all keys of a repository.
    pub fn new(repository: RepositoryId, keyset: Keyset) -> Result<Self, CryptoError> {
        let of_root =
            |purpose: &[u8]| kdf::subkey(&keyset.root.0, &repository.0, &[b"longshore/1/", purpose]);
        let mut table = [0u8; 2048];
        blake3::Hasher::new_keyed(&of_root(b"gear").0).finalize_xof().fill(&mut table);
        let keys = Self {
            repository,
            chunk_id: of_root(b"chunk id"),
            node_id: of_root(b"node id"),
            name: of_root(b"name"),
            cut: Arc::new(KeyedCut::new(&of_root(b"cut hash"), &of_root(b"cut prf"))?),
            gear: GearTable::from_bytes(&table),
            is_epoch: None,
            keyset,
        };
        zeroize::Zeroize::zeroize(&mut table);
        Ok(keys)
    }

    /// With a way to ask whether a newer epoch exists. Without, every object that names one counts as written after a rotation;
    /// with it, one that names an epoch that is none counts as damaged.
    pub fn with_epoch_check(mut self, is_epoch: impl Fn(u32) -> bool + Send + Sync + 'static) -> Self {
        self.is_epoch = Some(Box::new(is_epoch));
        self
    }

    /// The repository that the keys are bound to.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The id of a chunk's plaintext.
    pub fn chunk_id(&self, plain: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.chunk_id.0, plain).as_bytes())
    }

    /// The id of a node's canonical part.
    pub fn node_id(&self, canonical: &[u8]) -> NodeId {
        NodeId(*blake3::keyed_hash(&self.node_id.0, canonical).as_bytes())
    }

    /// The id of a source. Parts are length-prefixed, so that no two lists of parts run together.
    pub fn source_id(&self, parts: &[&str]) -> SourceId {
        let mut hasher = blake3::Hasher::new_keyed(&self.name.0);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut out = [0u8; 16];
        out.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        SourceId(out)
    }

    /// A keyed number of a name, which decides where a large directory is cut.
    pub fn name_value(&self, name: &[u8]) -> u64 {
        let hash = blake3::keyed_hash(&self.name.0, name);
        let mut out = [0u8; 8];
        out.copy_from_slice(&hash.as_bytes()[16..24]);
        u64::from_le_bytes(out)
    }

    /// The splitter of volumes.
    pub fn volume_splitter(&self, sizes: ChunkSizes) -> VolumeSplitter {
        VolumeSplitter::new(self.cut.clone(), sizes)
    }

    /// The splitter of files.
    pub fn file_splitter(&self, sizes: ChunkSizes) -> FileSplitter {
        FileSplitter::new(self.gear.clone(), sizes)
    }

    /// The epoch that new objects are sealed with.
    pub fn newest_epoch(&self) -> u32 {
        self.keyset.newest_epoch()
    }

    /// The key of one object, and the commitment to it that the object carries. `salt` is fresh for each object.
    pub fn object_key(
        &self,
        purpose: Purpose,
        epoch: u32,
        salt: &[u8; 32],
    ) -> Result<(SealKey, [u8; 32]), CryptoError> {
        let found = self.keyset.epochs.iter().find(|(number, _)| *number == epoch);
        let (_, secret) = found.ok_or_else(|| self.unknown_epoch(epoch))?;
        let purpose_key =
            kdf::subkey(&secret.0, &self.repository.0, &[b"longshore/1/seal/", purpose.label()]);
        let key = kdf::subkey(&purpose_key.0, salt, &[b"key"]);
        let commitment = kdf::subkey(&purpose_key.0, salt, &[b"commitment"]);
        Ok((SealKey::new(&key)?, commitment.0))
    }

    fn unknown_epoch(&self, epoch: u32) -> CryptoError {
        let may_be =
            epoch > self.newest_epoch() && self.is_epoch.as_ref().is_none_or(|is_epoch| is_epoch(epoch));
        if may_be { CryptoError::NewerEpoch { epoch } } else { CryptoError::UnknownEpoch { epoch } }
    }

    /// The key of an object that was read, after comparing the commitment that it carries.
    pub fn open_object_key(
        &self,
        what: &'static str,
        purpose: Purpose,
        epoch: u32,
        salt: &[u8; 32],
        commitment: &[u8; 32],
    ) -> Result<SealKey, CryptoError> {
        let (key, expected) = self.object_key(purpose, epoch, salt)?;
        if &expected == commitment { Ok(key) } else { Err(CryptoError::NotAuthentic { what }) }
    }

    /// The first epoch of the maintenance key in force. What decides for all must be sealed in it or later.
    pub fn authority_epoch(&self) -> u32 {
        self.keyset.authority_epoch()
    }

    /// Whether records that only maintenance may write can be written with these keys.
    pub fn can_maintain(&self) -> bool {
        self.keyset.can_maintain()
    }

    /// The signature of a record that only maintenance may write.
    pub fn sign_record(&self, kind: RecordKind, name: &str, plain: &[u8]) -> Result<[u8; 64], CryptoError> {
        let key = self.keyset.maintenance.as_ref();
        let key = key.ok_or(CryptoError::NoAuthority { what: kind.as_str() })?;
        Ok(key.sign(&record_message(self.repository, kind, name, plain)))
    }

    /// Requires a record's signature to be of the key that maintenance had in the epoch that sealed it.
    pub fn verify_record(
        &self,
        kind: RecordKind,
        name: &str,
        plain: &[u8],
        epoch: u32,
        signature: &[u8; 64],
    ) -> Result<(), CryptoError> {
        let of_epoch = self.keyset.authorities.iter().rfind(|authority| authority.first_epoch <= epoch);
        let authority = of_epoch.ok_or(CryptoError::UnknownEpoch { epoch })?;
        verify(
            kind.as_str(),
            &authority.public,
            &record_message(self.repository, kind, name, plain),
            signature,
        )
    }
}
