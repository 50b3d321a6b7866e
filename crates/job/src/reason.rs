//! Why a mover failed: a closed list, shown to users as the reason of a condition.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$meta:meta])* $name:ident => ($exit:expr, $transient:expr, $advice:literal),)*) => {
        /// Why a mover failed. Part of the user interface: conditions, events, metrics and the runbook use these words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$meta])* $name,)*
        }

        impl Reason {
            /// Every reason, for documents and tests.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The CamelCase word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// The exit code of the mover process; [`Reason::EXIT_TRANSIENT`] for everything that another attempt may mend.
            pub fn exit_code(self) -> u8 {
                match self { $(Self::$name => $exit),* }
            }

            /// Whether another attempt, without anybody's help, may succeed.
            pub fn is_transient(self) -> bool {
                match self { $(Self::$name => $transient),* }
            }

            /// What to do about it, one sentence.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice),* }
            }
        }
    };
}

reasons! {
    /// The job document was missing or of an unknown version.
    InvalidJob => (2, false, "Run operator and mover from the same release."),
    /// The Secret lacks a key that this kind of storage needs.
    SecretKeyMissing => (2, false, "Add the named key to the Secret."),
    /// The repository address in the Secret is not understood.
    RepositoryAddressInvalid => (2, false, "Mend RESTIC_REPOSITORY in the Secret; the message shows the forms that are understood."),
    /// The store refused the credentials.
    CredentialsInvalid => (1, false, "Check the access key and secret key in the Secret."),
    /// The credentials are good but may not do this.
    AccessDenied => (1, false, "Grant the identity the rights listed in the documentation of the store."),
    /// The bucket does not exist.
    BucketNotFound => (4, false, "Create the bucket, or mend its name in the Secret."),
    /// The store's address does not answer.
    EndpointUnreachable => (75, true, "Check the endpoint's address and that pods of the protected namespace can reach it."),
    /// The store's certificate is not trusted.
    TLSUntrusted => (1, false, "Put the store's CA certificate into the Secret as RESTIC_CUSTOM_CA."),
    /// The store is there but slow, overloaded or failing.
    StoreUnavailable => (75, true, "Nothing, if it passes; otherwise look at the store's health."),
    /// The store is full, or a quota is.
    StoreFull => (1, false, "Free space in the store or raise its quota."),
    /// The store cannot do what a repository needs; conditional create, most of all.
    StoreUnsuitable => (1, false, "Use another store, or a version of it that can do what the message names."),
    /// There is no repository here.
    RepositoryNotFound => (10, false, "Check bucket and prefix; a restore never creates a repository."),
    /// The prefix holds something else than a repository.
    RepositoryForeign => (1, false, "Choose an empty prefix, or the prefix of a Longshore repository."),
    /// The password or key does not open the repository, or not any more.
    WrongKey => (12, false, "Use a password or key that `longshore key list` lists."),
    /// The keys of the repository were rotated while the mover ran.
    KeysRotated => (75, true, "Nothing: the job runs again, with the new keys."),
    /// The key opens the repository but may only read and add, not forget, prune or change keys.
    NoAuthority => (1, false, "Use a key with role maintenance."),
    /// The restore point is not in the repository.
    RestorePointNotFound => (4, false, "List what there is with `longshore snapshots`."),
    /// The requesting namespace may not restore this point.
    NamespaceNotAllowed => (1, false, "Restore in the namespace that the point was made in, or let an administrator allow this one."),
    /// The point was made in another volume mode.
    VolumeModeMismatch => (2, false, "Restore to a PVC of the volume mode that the reference names."),
    /// The target cannot hold the restore point.
    VolumeTooSmall => (1, false, "Ask for a PVC of at least the size that the message names."),
    /// Part of the source could not be read.
    SourceUnreadable => (1, false, "Look at the storage of the source; the message names the first unreadable places."),
    /// The target could not be written.
    TargetUnwritable => (1, false, "Look at the storage of the target; the message names what failed."),
    /// The store shows an older state of the repository than there was.
    RepositoryRolledBack => (1, false, "Find out who put the store back to an older state; do not restore from it unless you mean that state."),
    /// Stored data is damaged.
    RepositoryDamaged => (1, false, "Run `longshore check --read-data` and keep the bucket as it is."),
    /// The mover was told to stop, by an eviction or a deletion.
    Interrupted => (75, true, "Nothing: the job runs again."),
    /// Anything else.
    Internal => (1, false, "Report it with the mover's log."),
}

impl Reason {
    /// Exit code of a failure that another attempt may mend (`EX_TEMPFAIL` of sysexits.h).
    pub const EXIT_TRANSIENT: u8 = 75;
    /// Exit codes after which the Job must not try again.
    pub const EXIT_CODES_PERMANENT: &[i32] = &[1, 2, 3, 4, 10, 12];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transient_reasons_end_with_the_transient_code() {
        for reason in Reason::ALL {
            let code = reason.exit_code();
            assert_eq!(reason.is_transient(), code == Reason::EXIT_TRANSIENT, "{reason:?}");
            assert_eq!(
                !reason.is_transient(),
                Reason::EXIT_CODES_PERMANENT.contains(&i32::from(code)),
                "{reason:?}"
            );
            assert_eq!(serde_json::to_string(reason).unwrap(), format!("\"{}\"", reason.as_str()));
        }
    }
}
