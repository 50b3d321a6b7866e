//! Generated messages and services, written by `cargo xtask proto`. Messages of one package refer to others as siblings.

/// Velero's listing of plugins, its delete item actions, and shared messages.
#[allow(missing_docs, clippy::all, unused_qualifications)]
pub mod generated;

/// Velero's backup item actions, version 2.
#[allow(missing_docs, clippy::all, unused_qualifications)]
pub mod backup_item_action_v2;

/// Velero's restore item actions, version 2.
#[allow(missing_docs, clippy::all, unused_qualifications)]
pub mod restore_item_action_v2;

/// What go-plugin wants of every plugin.
#[allow(missing_docs, clippy::all, unused_qualifications)]
pub mod go_plugin;

/// gRPC's health service.
#[allow(missing_docs, clippy::all, unused_qualifications)]
pub mod health;
