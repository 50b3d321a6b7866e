//! What the three services share.

use std::path::PathBuf;

use crate::error::DriverError;
use crate::images;
use crate::record::{Snapshot, Volume};
use crate::settings::Settings;
use crate::store::Store;

/// One driver: its settings and its state folder.
#[derive(Debug)]
pub struct Driver {
    /// How it is set up.
    pub settings: Settings,
    /// Where its volumes are.
    pub store: Store,
}

impl Driver {
    /// Opens the state folder and removes what a killed driver left there.
    pub fn open(settings: Settings) -> Result<Self, DriverError> {
        let store = Store::open(&settings.state_dir)?;
        crate::loop_device::make_nodes()?;
        images::collect_leftovers(&store)?;
        Ok(Self { settings, store })
    }

    /// The volume, or NOT_FOUND.
    pub fn volume(&self, id: &str) -> Result<Volume, DriverError> {
        self.store.get(id)?.ok_or_else(|| DriverError::VolumeNotFound { id: id.to_owned() })
    }

    /// The snapshot, or NOT_FOUND.
    pub fn snapshot(&self, id: &str) -> Result<Snapshot, DriverError> {
        self.store.get(id)?.ok_or_else(|| DriverError::SnapshotNotFound { id: id.to_owned() })
    }
}

/// A text field that may not be empty.
pub fn required(value: String, field: &'static str) -> Result<String, DriverError> {
    if value.is_empty() { Err(DriverError::MissingField { field }) } else { Ok(value) }
}

/// A path that may not be empty.
pub fn required_path(value: String, field: &'static str) -> Result<PathBuf, DriverError> {
    required(value, field).map(PathBuf::from)
}
