//! Looking at volumes and snapshots, one or a page at a time.

use super::{snapshots, volumes};
use crate::driver::{Driver, required};
use crate::error::DriverError;
use crate::proto::csi_v1::{
    ControllerGetVolumeRequest, ControllerGetVolumeResponse, GetSnapshotRequest, GetSnapshotResponse,
    ListSnapshotsRequest, ListSnapshotsResponse, ListVolumesRequest, ListVolumesResponse,
    controller_get_volume_response::VolumeStatus, list_snapshots_response, list_volumes_response,
};
use crate::record::{Record, Snapshot, Volume};
use crate::settings::Capability;

/// `ListVolumes`.
pub fn volumes(driver: &Driver, request: ListVolumesRequest) -> Result<ListVolumesResponse, DriverError> {
    driver.settings.demand(Capability::ListVolumes)?;
    let (page, next_token) =
        page(driver.store.list::<Volume>()?, request.starting_token, request.max_entries)?;
    let entry = |volume: &Volume| list_volumes_response::Entry {
        volume: Some(volumes::message(volume)),
        status: None,
    };
    Ok(ListVolumesResponse { entries: page.iter().map(entry).collect(), next_token })
}

/// `ControllerGetVolume`.
pub fn volume(
    driver: &Driver,
    request: ControllerGetVolumeRequest,
) -> Result<ControllerGetVolumeResponse, DriverError> {
    let volume = driver.volume(&required(request.volume_id, "volume_id")?)?;
    let status = Some(VolumeStatus::default());
    Ok(ControllerGetVolumeResponse { volume: Some(volumes::message(&volume)), status })
}

/// `ListSnapshots`, maybe of one volume, or the one with a handle. No match is an empty list.
pub fn snapshots(
    driver: &Driver,
    request: ListSnapshotsRequest,
) -> Result<ListSnapshotsResponse, DriverError> {
    driver.settings.demand(Capability::ListSnapshots)?;
    let (id, source) = (request.snapshot_id, request.source_volume_id);
    let mut found = if id.is_empty() {
        driver.store.list::<Snapshot>()?
    } else {
        driver.store.get::<Snapshot>(&id)?.into_iter().collect()
    };
    found.retain(|snapshot| source.is_empty() || snapshot.source_volume_id == source);
    let (page, next_token) = page(found, request.starting_token, request.max_entries)?;
    let entry =
        |snapshot: &Snapshot| list_snapshots_response::Entry { snapshot: Some(snapshots::message(snapshot)) };
    Ok(ListSnapshotsResponse { entries: page.iter().map(entry).collect(), next_token })
}

/// `GetSnapshot`.
pub fn snapshot(driver: &Driver, request: GetSnapshotRequest) -> Result<GetSnapshotResponse, DriverError> {
    driver.settings.demand(Capability::ListSnapshots)?;
    let snapshot = driver.snapshot(&required(request.snapshot_id, "snapshot_id")?)?;
    Ok(GetSnapshotResponse { snapshot: Some(snapshots::message(&snapshot)) })
}

/// One page of records that are in order, and the token of the next. A token is the last handle of the page before, so it
/// stays good when that record is deleted and when new ones come.
fn page<R: Record>(
    mut records: Vec<R>,
    token: String,
    max_entries: i32,
) -> Result<(Vec<R>, String), DriverError> {
    if !token.is_empty() {
        if !R::is_id(&token) {
            return Err(DriverError::InvalidToken { token });
        }
        records.retain(|record| record.id() > token.as_str());
    }
    let most = usize::try_from(max_entries).ok().filter(|most| *most > 0).unwrap_or(usize::MAX);
    let more = records.len() > most;
    records.truncate(most);
    let next = records.last().filter(|_| more).map(|record| record.id().to_owned());
    Ok((records, next.unwrap_or_default()))
}
