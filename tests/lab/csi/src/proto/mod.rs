//! Generated messages and services, and how they appear in the call log.
//!
//! `csi_v1` and `plugin_registration` are written by `cargo xtask proto`. Every message can be serialised; fields that the
//! CSI specification marks as secret pass through `strip_secret`, so that no log line can hold one.

use std::collections::HashMap;

use serde::Serializer;

/// The Container Storage Interface, version 1.13.
#[allow(missing_docs, clippy::all, unused_qualifications)]
pub mod csi_v1;

/// The kubelet's plugin registration, version 1.
#[allow(missing_docs, clippy::all, unused_qualifications)]
pub mod plugin_registration;

/// Writes the names of the secrets, never their values.
pub(crate) fn strip_secret<S: Serializer>(
    secret: &HashMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(secret.keys().map(|name| (name, "***stripped***")))
}

/// Writes a protobuf time as RFC 3339; a time out of range as null.
pub(crate) fn serialize_time<S: Serializer>(
    time: &Option<prost_types::Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let time = time.as_ref().and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok());
    match time {
        Some(time) => serializer.collect_str(&time),
        None => serializer.serialize_none(),
    }
}
