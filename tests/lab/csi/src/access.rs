//! What a caller wants of a volume (`VolumeCapability`), checked against what the driver offers.

use crate::error::DriverError;
use crate::filesystem::FsType;
use crate::proto::csi_v1::VolumeCapability;
use crate::proto::csi_v1::volume_capability::{AccessType, access_mode::Mode};
use crate::record::Shape;
use crate::settings::{Capability, Settings};

/// A checked `VolumeCapability`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Device or file system.
    pub kind: AccessKind,
    /// Who may write.
    pub mode: Mode,
}

/// Device or file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessKind {
    /// A raw device.
    Block,
    /// A mounted file system.
    Filesystem {
        /// The type, if the caller cares.
        fs_type: Option<FsType>,
        /// Options for `mount -o`.
        flags: Vec<String>,
    },
}

impl Access {
    /// Checks one capability. The driver offers every access mode that one node, or readers on many nodes, can have.
    pub fn parse(capability: Option<VolumeCapability>, settings: &Settings) -> Result<Self, DriverError> {
        let capability = capability.ok_or(DriverError::MissingField { field: "volume_capability" })?;
        let mode = capability.access_mode.map_or(Mode::Unknown, |mode| mode.mode());
        let unsupported = |reason: String| DriverError::UnsupportedCapability { reason };
        match mode {
            Mode::SingleNodeWriter
            | Mode::SingleNodeReaderOnly
            | Mode::SingleNodeSingleWriter
            | Mode::SingleNodeMultiWriter
            | Mode::MultiNodeReaderOnly => {}
            Mode::Unknown | Mode::MultiNodeSingleWriter | Mode::MultiNodeMultiWriter => {
                return Err(unsupported(format!("access mode {}", mode.as_str_name())));
            }
        }
        let kind = match capability.access_type {
            None => return Err(DriverError::MissingField { field: "volume_capability.access_type" }),
            Some(AccessType::Block(_)) if !settings.offers(Capability::Block) => {
                return Err(unsupported("block access".to_owned()));
            }
            Some(AccessType::Block(_)) => AccessKind::Block,
            Some(AccessType::Mount(mount)) => {
                AccessKind::Filesystem { fs_type: FsType::parse(&mount.fs_type)?, flags: mount.mount_flags }
            }
        };
        Ok(Self { kind, mode })
    }

    /// Checks all capabilities of a new volume; they must agree on device or file system, because the volume is one of them.
    pub fn parse_all(capabilities: Vec<VolumeCapability>, settings: &Settings) -> Result<Shape, DriverError> {
        let mut shape = None;
        for capability in capabilities {
            let found = Self::parse(Some(capability), settings)?.shape();
            if shape.as_ref().is_some_and(|shape| *shape != found) {
                return Err(DriverError::UnsupportedCapability {
                    reason: "one volume cannot be several devices and file systems".to_owned(),
                });
            }
            shape = Some(found);
        }
        shape.ok_or(DriverError::MissingField { field: "volume_capabilities" })
    }

    /// The shape of a volume with this access.
    pub fn shape(&self) -> Shape {
        match &self.kind {
            AccessKind::Block => Shape::Block,
            AccessKind::Filesystem { fs_type, .. } => {
                Shape::Filesystem { fs_type: fs_type.map_or("", FsType::name).to_owned() }
            }
        }
    }

    /// Nobody may write.
    pub fn is_read_only(&self) -> bool {
        matches!(self.mode, Mode::SingleNodeReaderOnly | Mode::MultiNodeReaderOnly)
    }

    /// One target path at most.
    pub fn is_single_writer(&self) -> bool {
        self.mode == Mode::SingleNodeSingleWriter
    }
}
