//! How a driver is set up, and what it offers.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::error::DriverError;

/// A part of CSI that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Capability {
    /// Snapshots, and volumes made from them.
    Snapshot,
    /// Volumes made from volumes.
    Clone,
    /// Growing volumes.
    Expand,
    /// ListSnapshots and GetSnapshot.
    ListSnapshots,
    /// ListVolumes.
    ListVolumes,
    /// GetCapacity.
    GetCapacity,
    /// NodeStageVolume; without it NodePublishVolume does both.
    Stage,
    /// Volumes as raw devices.
    Block,
}

impl Capability {
    fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Clone => "clone",
            Self::Expand => "expand",
            Self::ListSnapshots => "list-snapshots",
            Self::ListVolumes => "list-volumes",
            Self::GetCapacity => "get-capacity",
            Self::Stage => "stage",
            Self::Block => "block",
        }
    }
}

/// The set-up of one driver.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name that CSIDriver objects and StorageClasses use.
    pub driver_name: String,
    /// State folder, maybe shared with other drivers.
    pub state_dir: PathBuf,
    /// This node's name; also the name of a folder.
    pub node_id: String,
    /// What is switched off.
    pub disabled: BTreeSet<Capability>,
    /// Refuse to delete a volume while it has snapshots, as some storage does.
    pub refuse_delete_with_snapshots: bool,
    /// Sum of all volumes' sizes that may not be exceeded, in bytes. None: what the pool has free.
    pub capacity_bytes: Option<u64>,
}

impl Settings {
    /// Whether `capability` is on.
    pub fn offers(&self, capability: Capability) -> bool {
        !self.disabled.contains(&capability)
    }

    /// Fails with UNIMPLEMENTED when `capability` is off.
    pub fn demand(&self, capability: Capability) -> Result<(), DriverError> {
        if self.offers(capability) {
            return Ok(());
        }
        Err(DriverError::NotOffered { capability: capability.name() })
    }
}
