//! Real Kubernetes on one plain machine: two clusters, a CSI driver, an object store, all of them ordinary processes.
//!
//! It owns the lab's state folder (`/var/lib/longshore-lab`, or `LONGSHORE_LAB_STATE`), the caches of foreign programs and images, and
//! everything on the machine that carries its marker: processes, network namespaces, mounts, loop devices, control groups. It knows
//! nothing of what Longshore does: scenarios belong to `tests/e2e`. It is blocking code without a Kubernetes client; it calls kubectl.
//!
//! First type to read: [`Lab`].

pub mod azure;
mod cache;
pub mod cargo;
mod cluster;
mod driver;
pub mod gobuild;
mod hash;
mod host;
mod image;
mod lab;
mod minio;
pub mod network;
pub mod npm;
pub mod packages;
mod paths;
mod pki;
mod process;
mod report;
mod s3;
mod shell;
mod sweep;
mod velero;

pub use cluster::{Cluster, ClusterName};
pub use driver::{DEFAULT_DRIVER, Driver, DriverOptions, Fault};
pub use image::Image;
pub use lab::{Lab, Options, remove_lab};
pub use minio::{Credentials, Minio};
pub use network::{Addresses, HOST_ADDRESS};
pub use paths::Paths;
pub use process::MARKER;
pub use report::{Console, Reporter, Silent};
pub use s3::{Client, Object};
pub use shell::{run, wait_until};
pub use velero::{Velero, VeleroPrograms};
