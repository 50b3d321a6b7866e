use longshore_crypto::CryptoError;
use longshore_format::FormatError;
use longshore_store::{ProbeError, StoreError};
use thiserror::Error;

/// What failed. The closed set behind reasons in conditions, exit codes and metric labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The store; its own class says how.
    Store(longshore_store::Class),
    /// Stored bytes are not what they should be, or are missing.
    Corrupt,
    /// Written by a newer version.
    Unsupported,
    /// The password or key opens no key slot.
    WrongPassword,
    /// The keys were rotated after this process read them.
    KeysRotated,
    /// A key that was named is not there, may not be removed, or one too many.
    KeySlot,
    /// The key may read and add, but not do what maintenance does.
    NoAuthority,
    /// There is no repository here.
    NoRepository,
    /// There already is a repository here.
    AlreadyInitialised,
    /// Other objects are here, so no repository is made.
    NotEmpty,
    /// The store cannot do what a repository needs.
    StoreUnsuitable,
    /// No snapshot matches, or several do.
    SnapshotNotFound,
    /// This process was paused so long that others went on without it; it may begin again.
    Fenced,
    /// The store shows an older state than there was.
    RolledBack,
    /// The run's snapshot was forgotten.
    Forgotten,
    /// The caller broke a rule of the interface.
    Misuse,
    /// The machine failed: memory, randomness, or a computation that did not verify.
    Machine,
}

impl Class {
    /// A stable word for reasons and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store(class) => class.as_str(),
            Self::Corrupt => "Corrupt",
            Self::Unsupported => "Unsupported",
            Self::WrongPassword => "WrongPassword",
            Self::KeysRotated => "KeysRotated",
            Self::KeySlot => "KeySlot",
            Self::NoAuthority => "NoAuthority",
            Self::NoRepository => "NoRepository",
            Self::AlreadyInitialised => "AlreadyInitialised",
            Self::NotEmpty => "NotEmpty",
            Self::StoreUnsuitable => "StoreUnsuitable",
            Self::SnapshotNotFound => "SnapshotNotFound",
            Self::Fenced => "Fenced",
            Self::RolledBack => "RolledBack",
            Self::Forgotten => "Forgotten",
            Self::Misuse => "Misuse",
            Self::Machine => "Machine",
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Store(class) => class.is_transient(),
            Self::KeysRotated | Self::Fenced => true,
            _ => false,
        }
    }
}

/// A failed operation on a repository.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RepoError {
    /// A request to the store failed.
    #[error("the store did not do what the repository needs")]
    Store {
        /// The request and its cause.
        #[from]
        source: StoreError,
    },
    /// An object's bytes are not of its format.
    #[error("object {object} is malformed")]
    Format {
        /// The object.
        object: String,
        /// What is wrong.
        #[source]
        source: FormatError,
    },
    /// An object did not open with this repository's keys.
    #[error("object {object} cannot be opened")]
    Seal {
        /// The object.
        object: String,
        /// What is wrong.
        #[source]
        source: CryptoError,
    },
    /// An object's content is not what its name or its id says.
    #[error("object {object} holds other content than its id says")]
    WrongContent {
        /// The object.
        object: String,
    },
    /// A computation on secrets failed.
    #[error("a cryptographic operation failed")]
    Crypto {
        /// Which.
        #[from]
        source: CryptoError,
    },
    /// A chunk or node is in no pack that can be found.
    #[error("{what} {id} is missing from the repository")]
    Missing {
        /// A chunk or a node.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The object `repo` is not there.
    #[error("there is no repository at {location}")]
    NoRepository {
        /// Where.
        location: String,
    },
    /// The object `repo` is already there.
    #[error("there already is a repository at {location}")]
    AlreadyInitialised {
        /// Where.
        location: String,
    },
    /// A repository is only made where nothing else is.
    #[error("{location} is not empty (it holds {example}), so no repository is made there")]
    NotEmpty {
        /// Where.
        location: String,
        /// One of the objects.
        example: String,
    },
    /// A repository is only made in a store that keeps the promises it needs.
    #[error("no repository is made here")]
    Unsuitable {
        /// Which promise it breaks.
        #[source]
        source: ProbeError,
    },
    /// No key slot opens with what was given.
    #[error("the {kind} opens none of the repository's {slots} key slot(s) of its kind")]
    WrongKey {
        /// What was given.
        kind: &'static str,
        /// Slots that were tried.
        slots: usize,
    },
    /// The file of an identity does not say whom to trust.
    #[error(
        "the identity's file does not say whom to trust for this repository; `longshore key add` printed the line. The store \
         says it is the following one, and could lie: {line}"
    )]
    NoAnchor {
        /// The line, as the store would have it.
        line: String,
    },
    /// No key, or more than one, has such a slot.
    #[error("{count} keys match {wanted:?}; `longshore key list` lists them")]
    KeyNotFound {
        /// What was asked for.
        wanted: String,
        /// How many match.
        count: usize,
    },
    /// The recipient has a key already.
    #[error("this recipient has a key already: {slot}")]
    KeyExists {
        /// Its slot.
        slot: String,
    },
    /// Without a key of role maintenance nobody could change keys, forget or prune ever again.
    #[error("the repository would have no key of role maintenance any more")]
    LastMaintenanceKey,
    /// More keys than the format allows.
    #[error("a repository has at most {keys} keys, and {of_kind} of each kind but recipients")]
    TooManyKeys {
        /// All keys.
        keys: usize,
        /// Passwords, key files or recovery keys among them.
        of_kind: usize,
    },
    /// A label is too long, or holds what a terminal obeys.
    #[error("a key's label has at most {longest_bytes} bytes and no control characters")]
    KeyLabel {
        /// The longest.
        longest_bytes: usize,
    },
    /// Others changed the keys again and again.
    #[error("others keep changing the keys of this repository")]
    KeysBusy,
    /// The repository has no readable key slot or configuration.
    #[error("the repository at {location} has no {what}")]
    Incomplete {
        /// Where.
        location: String,
        /// What is missing.
        what: &'static str,
    },
    /// No snapshot has this id.
    #[error("no snapshot matches {wanted:?}")]
    SnapshotNotFound {
        /// What was asked for.
        wanted: String,
    },
    /// Several snapshots have ids that begin so.
    #[error("{count} snapshots match {wanted:?}; give more of the id")]
    SnapshotAmbiguous {
        /// What was asked for.
        wanted: String,
        /// How many match.
        count: usize,
    },
    /// Prune waited for this session longer than the silence limit, then went on without it.
    #[error("prune gave up on this session, which was silent too long; begin the run again")]
    Fenced,
    /// The key that opened the repository is a mover's.
    #[error(
        "this key may read and add, but not forget or prune; open the repository with one of maintenance"
    )]
    NoAuthority,
    /// Another prune has gone on while this one was paused.
    #[error("another prune has overtaken this one; there is nothing left to do for it")]
    Overtaken,
    /// Much that snapshots need is in no index segment.
    #[error("{bytes} bytes that snapshots need are in no index segment; run `repair index` before `prune`")]
    IndexIncomplete {
        /// How many bytes.
        bytes: u64,
    },
    /// A run that was forgotten must not come back.
    #[error("the snapshot of run {run} was forgotten")]
    Forgotten {
        /// The run.
        run: String,
    },
    /// A record that cannot be read may be that of the newest snapshot.
    #[error(
        "{object} cannot be read and may be the newest snapshot; say which one you mean, `snapshots` lists them all"
    )]
    LatestUnknown {
        /// The record.
        object: String,
    },
    /// What keeps a snapshot alive cannot be read, so nothing may be deleted.
    #[error(
        "{object} cannot be read, so that nothing may be deleted; `check` says what is damaged, `repair snapshots` what can be done"
    )]
    Undecidable {
        /// A node of a snapshot, or the record of a session.
        object: String,
        /// Why not.
        #[source]
        source: Box<RepoError>,
    },
    /// The store shows an older state of the repository than there was.
    #[error("the store does not show the repository as it was at checkpoint {number}: {what}")]
    RolledBack {
        /// The checkpoint that was expected.
        number: u64,
        /// What is missing.
        what: String,
    },
    /// The bucket's versions show deletions that nobody made who keeps to the protocol.
    #[error(
        "{count} objects that snapshots need were deleted by somebody else, {first} among them, and only their versions are \
         left, which are not removed; `repair undelete` shows them again"
    )]
    HiddenObjects {
        /// How many.
        count: usize,
        /// One of them.
        first: String,
    },
    /// A snapshot of the other kind was given.
    #[error("the snapshot holds a {found}, not a {wanted}")]
    WrongKind {
        /// What it holds.
        found: &'static str,
        /// What was wanted.
        wanted: &'static str,
    },
    /// A frame that was just sealed does not open to the same bytes: bad memory or processor.
    #[error("sealed data did not verify before upload: memory or processor of this machine are faulty")]
    Verification,
    /// Compression failed.
    #[error("compression failed")]
    Compression {
        /// The library's reason.
        #[source]
        source: std::io::Error,
    },
    /// The session failed earlier; this says why.
    #[error("the session has failed")]
    SessionFailed {
        /// The first failure.
        #[source]
        source: std::sync::Arc<RepoError>,
    },
    /// The caller broke a rule of the interface.
    #[error("misuse of the repository: {rule}")]
    Misuse {
        /// The rule.
        rule: &'static str,
    },
    /// The background runtime could not be started, or a task of it died.
    #[error("the repository's input and output threads failed")]
    Runtime {
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl RepoError {
    /// The closed class of this error.
    pub fn class(&self) -> Class {
        match self {
            Self::Store { source } => Class::Store(source.class()),
            Self::Format { source, .. } => match source.class() {
                longshore_format::Class::Unsupported => Class::Unsupported,
                longshore_format::Class::Corrupt => Class::Corrupt,
            },
            Self::WrongContent { .. } | Self::Missing { .. } | Self::Incomplete { .. } => Class::Corrupt,
            Self::Seal { source, .. } | Self::Crypto { source } => match source.class() {
                longshore_crypto::Class::WrongPassword => Class::WrongPassword,
                longshore_crypto::Class::Corrupt => Class::Corrupt,
                longshore_crypto::Class::Unsupported => Class::Unsupported,
                longshore_crypto::Class::NoAuthority => Class::NoAuthority,
                longshore_crypto::Class::Stale => Class::KeysRotated,
                longshore_crypto::Class::Machine => Class::Machine,
            },
            Self::NoRepository { .. } => Class::NoRepository,
            Self::AlreadyInitialised { .. } => Class::AlreadyInitialised,
            Self::NotEmpty { .. } => Class::NotEmpty,
            Self::Unsuitable { source: ProbeError::Store { source, .. } } => Class::Store(source.class()),
            Self::Unsuitable { .. } => Class::StoreUnsuitable,
            Self::WrongKey { .. } | Self::NoAnchor { .. } => Class::WrongPassword,
            Self::KeyNotFound { .. }
            | Self::KeyExists { .. }
            | Self::LastMaintenanceKey
            | Self::TooManyKeys { .. }
            | Self::KeyLabel { .. } => Class::KeySlot,
            Self::KeysBusy => Class::KeysRotated,
            Self::SnapshotNotFound { .. } | Self::SnapshotAmbiguous { .. } => Class::SnapshotNotFound,
            Self::NoAuthority => Class::NoAuthority,
            Self::Fenced | Self::Overtaken => Class::Fenced,
            Self::IndexIncomplete { .. } | Self::LatestUnknown { .. } => Class::Corrupt,
            Self::HiddenObjects { .. } | Self::RolledBack { .. } => Class::RolledBack,
            Self::Forgotten { .. } => Class::Forgotten,
            Self::Undecidable { source, .. } => source.class(),
            Self::WrongKind { .. } | Self::Misuse { .. } => Class::Misuse,
            Self::Verification | Self::Compression { .. } | Self::Runtime { .. } => Class::Machine,
            Self::SessionFailed { source } => source.class(),
        }
    }

    pub(crate) fn format(object: &str) -> impl FnOnce(FormatError) -> Self {
        let object = object.to_owned();
        move |source| Self::Format { object, source }
    }

    pub(crate) fn seal(object: &str) -> impl FnOnce(CryptoError) -> Self {
        let object = object.to_owned();
        move |source| Self::Seal { object, source }
    }
}

/// An error with all its causes, for logs and reports.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
