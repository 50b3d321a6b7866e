//! The lab's CSI driver: a real one, for real clusters on one machine.
//!
//! It serves the Identity, Controller and Node services of CSI 1.13 on a unix socket and registers itself with the kubelet.
//! A volume is a sparse file on a reflink file system (the pool), used through a loop device; snapshots and clones share
//! its blocks, so they are instant. The crate owns the state folder ([`store::Store`] says what is in it), the loop devices
//! and the mounts of its volumes. It knows nothing of Kubernetes beside the registration, nor of Longshore.
//!
//! First type to read: [`store::Store`]; then [`calls::Calls`], through which every call passes, then `controller` and `node`.
//! What is true is asked of the kernel (mount table, list of loop devices) or of the state folder, never remembered, so
//! a driver can be killed at any instant. Topology would join [`driver::Driver`] and the identity's capabilities; groups and
//! changed blocks are further services beside the three.

pub mod access;
pub mod calls;
pub mod command;
pub mod controller;
pub mod driver;
pub mod error;
pub mod faults;
pub mod filesystem;
pub mod flush;
pub mod identity;
pub mod images;
pub mod loop_device;
pub mod mounts;
pub mod node;
pub mod pool;
pub mod prepare;
pub mod proto;
pub mod record;
pub mod registration;
pub mod server;
pub mod settings;
pub mod store;
