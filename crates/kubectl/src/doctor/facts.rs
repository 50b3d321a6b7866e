//! What the doctor knows, as plain data.

use jiff::Timestamp;

use crate::entry::Entry;
use crate::place::Operator;

/// An answer, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known<T> {
    /// The answer.
    Is(T),
    /// Why there is none, most often a right that the user lacks.
    Unknown(String),
}

impl<T> Known<T> {
    /// The answer, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

/// A namespace that the operator allows for movers.
#[derive(Debug, Clone)]
pub struct ProtectedNamespace {
    /// Its name.
    pub name: String,
    /// What it is like; `None` when it does not exist.
    pub state: Known<Option<NamespaceState>>,
    /// Name of the movers' account, and whether it is there.
    pub account: (String, Known<bool>),
}

/// What a protected namespace is like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespaceState {
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Level of Pod Security that is enforced.
    pub pod_security: Option<String>,
}

/// A Secret that somebody names. Nothing of its content is ever asked for.
#[derive(Debug, Clone)]
pub struct NamedSecret {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who names it.
    pub users: Vec<String>,
    /// Whether it is there.
    pub present: Known<bool>,
}

/// A VolumeSnapshotClass.
#[derive(Debug, Clone)]
pub struct SnapshotClassFact {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Whether it is marked as default.
    pub default: bool,
}

/// A right: what may be done where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// The verb.
    pub verb: String,
    /// API group; empty for the core.
    pub group: String,
    /// Resource in the plural, with its subresource.
    pub resource: String,
    /// Namespace; `None` for the whole cluster.
    pub namespace: Option<String>,
}

/// A child of a run.
#[derive(Debug, Clone)]
pub struct ChildFact {
    /// `Job vault/longshore-1234`.
    pub title: String,
    /// UID of its run.
    pub run_uid: String,
    /// Kind, namespace and name of its run, as its annotation says.
    pub run: String,
    /// Whether it lives only as long as the run's work.
    pub temporary: bool,
    /// When it was created.
    pub created: Option<Timestamp>,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When it was looked.
    pub now: Timestamp,
    /// Resources in the plural with their group, and whether the cluster serves them.
    pub served: Vec<(&'static str, &'static str, Known<bool>)>,
    /// The operators.
    pub operators: Known<Vec<Operator>>,
    /// The namespaces that they allow.
    pub namespaces: Vec<ProtectedNamespace>,
    /// The Secrets that Repositories and runs name.
    pub secrets: Vec<NamedSecret>,
    /// StorageClasses with their provisioners.
    pub storage_classes: Known<Vec<(String, String)>>,
    /// VolumeSnapshotClasses.
    pub snapshot_classes: Known<Vec<SnapshotClassFact>>,
    /// Names of CSIDriver objects.
    pub drivers: Known<Vec<String>>,
    /// Rights of the user who asks, each with the commands that need it.
    pub own_rights: Vec<(Right, &'static str, Known<bool>)>,
    /// Rights of the operators' accounts.
    pub operator_rights: Vec<(String, Right, Known<bool>)>,
    /// Runs, Repositories, ForgetRequests.
    pub entries: Vec<Entry>,
    /// UIDs of all that can have children, foreign data movers' requests included.
    pub run_uids: Vec<String>,
    /// Children of runs.
    pub children: Vec<ChildFact>,
    /// What could not be listed.
    pub unknown: Vec<String>,
}
