//! What the scenarios on the real clusters share: a client, one installation of Longshore per run, and for each scenario its own namespaces,
//! Secret and bucket, with the proof at its end that nothing is left behind.
//!
//! It attaches to the running lab (`cargo xtask lab up`) and fails when there is none. It sees Longshore from outside only: custom resources,
//! other objects, the bucket, the CSI driver's state, the audit log, processes. It must not know how Longshore works inside, so it uses
//! none of its crates; objects are plain JSON. Waits are watches with a deadline, and their failures tell the last state seen.
//!
//! First type to read: [`Scenario`].

pub mod application;
pub mod audit;
mod cluster;
mod diagnosis;
mod installation;
pub mod kinds;
mod leftovers;
mod plugin;
pub mod processes;
mod run;
mod scenario;
pub mod storage;
pub mod tree;
pub mod velero;
mod wait;

pub use application::{Snapshot, VolumeMode};
pub use cluster::Cluster;
pub use installation::{
    IMAGE, OPERATOR_NAMESPACE, PROTECTED_NAMESPACE, QUOTA_NAMESPACE, Site, VELERO_NAMESPACE, WORKLOAD_IMAGE,
    allowed_pair, site,
};
pub use kinds::Kind;
pub use plugin::{Ended, Plugin};
pub use run::{Run, condition, has_reason, phase, reasons, text};
pub use scenario::{Failure, Outcome, Scenario};
pub use wait::{SETTLE, SHORT, WORK, eventually};
