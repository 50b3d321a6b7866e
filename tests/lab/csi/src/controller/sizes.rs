//! Sizes: what a request allows, what the pool has room for, growing.

use std::path::Path;

use crate::driver::{Driver, required};
use crate::error::DriverError;
use crate::filesystem::FsType;
use crate::images;
use crate::pool;
use crate::proto::csi_v1::{
    CapacityRange, ControllerExpandVolumeRequest, ControllerExpandVolumeResponse, GetCapacityRequest,
    GetCapacityResponse,
};
use crate::record::Volume;
use crate::settings::Capability;

/// Sizes are multiples of this many bytes.
const STEP: u64 = 1 << 20;

/// A checked `CapacityRange`, in bytes; `None` is no demand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    required: Option<u64>,
    limit: Option<u64>,
}

impl Range {
    /// Checks the fields.
    pub fn parse(range: Option<CapacityRange>) -> Result<Self, DriverError> {
        let Some(range) = range else { return Ok(Self::default()) };
        let field = |bytes: i64| {
            let bytes = u64::try_from(bytes).map_err(|_| out_of_range(0, "a size cannot be negative"))?;
            Ok(Some(bytes).filter(|bytes| *bytes > 0))
        };
        let range = Self { required: field(range.required_bytes)?, limit: field(range.limit_bytes)? };
        match range {
            Self { required: Some(required), limit: Some(limit) } if required > limit => {
                Err(out_of_range(required, "the limit in the request is smaller"))
            }
            range => Ok(range),
        }
    }

    /// Whether a volume of this size is what the request asks for.
    pub fn allows(self, bytes: u64) -> bool {
        self.required.is_none_or(|required| bytes >= required)
            && self.limit.is_none_or(|limit| bytes <= limit)
    }

    /// The size of a new volume: as required, else `default`; never below `smallest`.
    pub fn choose(self, default: u64, smallest: u64) -> Result<u64, DriverError> {
        let default = self.limit.map_or(default, |limit| default.min(limit - limit % STEP));
        let wanted = self.required.unwrap_or(default).max(smallest).max(STEP);
        let wanted = wanted.checked_next_multiple_of(STEP).filter(|bytes| i64::try_from(*bytes).is_ok());
        let wanted = wanted.ok_or_else(|| out_of_range(u64::MAX, "no volume is that large"))?;
        if self.limit.is_some_and(|limit| wanted > limit) {
            return Err(out_of_range(wanted, "the limit in the request is smaller"));
        }
        Ok(wanted)
    }

    /// The size of a clone: as required, but not below the source; the source's size if nothing is required.
    pub fn choose_for_clone(self, source: u64, smallest: u64) -> Result<u64, DriverError> {
        if self.required.is_some_and(|required| required < source) {
            return Err(out_of_range(source, "the request asks for less than its source holds"));
        }
        self.choose(source, smallest.max(source))
    }
}

/// `GetCapacity`.
pub fn capacity(driver: &Driver, request: GetCapacityRequest) -> Result<GetCapacityResponse, DriverError> {
    driver.settings.demand(Capability::GetCapacity)?;
    let mut smallest = STEP;
    for capability in request.volume_capabilities {
        // Asked about something that the driver does not offer, it has no room for it.
        match crate::access::Access::parse(Some(capability), &driver.settings).map(|access| access.kind) {
            Ok(crate::access::AccessKind::Filesystem { fs_type, .. }) => {
                smallest = smallest.max(fs_type.unwrap_or(FsType::Ext4).smallest_bytes());
            }
            Ok(crate::access::AccessKind::Block) => {}
            Err(_) => return Ok(GetCapacityResponse::default()),
        }
    }
    let free = signed(free_bytes(driver)?);
    Ok(GetCapacityResponse {
        available_capacity: free,
        maximum_volume_size: Some(free),
        minimum_volume_size: Some(signed(smallest)),
    })
}

/// `ControllerExpandVolume`. The node does its part next, whatever the volume is: its loop device must see the new size.
pub fn expand(
    driver: &Driver,
    request: ControllerExpandVolumeRequest,
) -> Result<ControllerExpandVolumeResponse, DriverError> {
    driver.settings.demand(Capability::Expand)?;
    let id = required(request.volume_id, "volume_id")?;
    let range = request.capacity_range.ok_or(DriverError::MissingField { field: "capacity_range" })?;
    let range = Range::parse(Some(range))?;
    let _volume_lock = driver.store.lock_volume(&id)?;
    let _lock = driver.store.lock()?;
    let volume = driver.volume(&id)?;
    let capacity_bytes = range.choose(volume.capacity_bytes, volume.capacity_bytes)?;
    if capacity_bytes > volume.capacity_bytes {
        demand_room(driver, capacity_bytes - volume.capacity_bytes)?;
        // The image first: a record may say less than the image has, never more.
        images::grow(&driver.store.image::<Volume>(&id), capacity_bytes)?;
        driver.store.put(&Volume { capacity_bytes, ..volume })?;
    }
    Ok(ControllerExpandVolumeResponse {
        capacity_bytes: signed(capacity_bytes),
        node_expansion_required: true,
    })
}

/// Fails when `bytes` more would exceed the capacity. The caller holds the lock of the lists.
pub fn demand_room(driver: &Driver, bytes: u64) -> Result<(), DriverError> {
    let Some(capacity) = driver.settings.capacity_bytes else { return Ok(()) };
    let free = free_bytes(driver)?;
    if bytes <= free {
        return Ok(());
    }
    Err(DriverError::SizeOutOfRange { wanted: bytes, limit: format!("{free} of {capacity} bytes are free") })
}

/// Bytes for the interface of CSI, which counts with a sign.
pub fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn out_of_range(wanted: u64, limit: &str) -> DriverError {
    DriverError::SizeOutOfRange { wanted, limit: limit.to_owned() }
}

/// With a capacity: what its volumes' sizes leave of it. Without: what the pool has free.
fn free_bytes(driver: &Driver) -> Result<u64, DriverError> {
    match driver.settings.capacity_bytes {
        Some(capacity) => {
            let used: u64 = driver.store.list::<Volume>()?.iter().map(|volume| volume.capacity_bytes).sum();
            Ok(capacity.saturating_sub(used))
        }
        None => pool_free(&pool::mount_point(driver.store.state())),
    }
}

fn pool_free(point: &Path) -> Result<u64, DriverError> {
    let numbers = rustix::fs::statvfs(point).map_err(DriverError::io("measure", point))?;
    Ok(numbers.f_bavail.saturating_mul(numbers.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn range(required: i64, limit: i64) -> Range {
        Range::parse(Some(CapacityRange { required_bytes: required, limit_bytes: limit })).unwrap()
    }

    #[test]
    fn sizes_are_rounded_up_within_the_limit() {
        assert_eq!(range(1, 0).choose(0, 0).unwrap(), MIB);
        assert_eq!(range(0, 0).choose(1024 * MIB, 0).unwrap(), 1024 * MIB);
        assert_eq!(range(0, 5 << 20).choose(1024 * MIB, 0).unwrap(), 5 * MIB);
        assert_eq!(range(10 << 20, 0).choose(0, 300 * MIB).unwrap(), 300 * MIB);
        assert!(range(10 << 20, 20 << 20).choose(0, 300 * MIB).is_err());
        assert!(range(10, 20).choose(0, 0).is_err());
        assert!(range(i64::MAX, 0).choose(0, 0).is_err());
    }

    #[test]
    fn a_clone_is_never_smaller_than_its_source() {
        assert_eq!(range(0, 0).choose_for_clone(7 * MIB, 0).unwrap(), 7 * MIB);
        assert_eq!(range(9 << 20, 0).choose_for_clone(7 * MIB, 0).unwrap(), 9 * MIB);
        assert!(range(6 << 20, 0).choose_for_clone(7 * MIB, 0).is_err());
        assert!(range(0, 6 << 20).choose_for_clone(7 * MIB, 0).is_err());
    }

    #[test]
    fn senseless_ranges_are_refused() {
        for (required, limit) in [(-1, 0), (0, -1), (2, 1)] {
            let range = CapacityRange { required_bytes: required, limit_bytes: limit };
            assert_eq!(Range::parse(Some(range)).unwrap_err().class(), tonic::Code::OutOfRange);
        }
        assert!(range(5, 10).allows(7) && !range(5, 10).allows(4) && !range(5, 10).allows(11));
    }
}
