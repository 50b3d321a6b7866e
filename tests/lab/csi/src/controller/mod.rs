//! The Controller service: volumes and snapshots as files, independent of any node.

mod lists;
mod sizes;
mod snapshots;
mod volumes;

pub use sizes::signed;
use tonic::{Request, Response, Status};

use crate::calls::{Calls, refuse};
use crate::driver::Driver;
use crate::proto::csi_v1::controller_server::Controller;
use crate::proto::csi_v1::controller_service_capability::{Rpc, Type, rpc};
use crate::proto::csi_v1::*;
use crate::settings::Capability;

/// The service.
#[derive(Debug, Clone)]
pub struct ControllerService(pub Calls);

#[tonic::async_trait]
impl Controller for ControllerService {
    async fn create_volume(
        &self,
        request: Request<CreateVolumeRequest>,
    ) -> Result<Response<CreateVolumeResponse>, Status> {
        self.0.run("CreateVolume", request, volumes::create).await
    }

    async fn delete_volume(
        &self,
        request: Request<DeleteVolumeRequest>,
    ) -> Result<Response<DeleteVolumeResponse>, Status> {
        self.0.run("DeleteVolume", request, volumes::delete).await
    }

    async fn controller_publish_volume(
        &self,
        request: Request<ControllerPublishVolumeRequest>,
    ) -> Result<Response<ControllerPublishVolumeResponse>, Status> {
        self.0.run("ControllerPublishVolume", request, refuse("ControllerPublishVolume")).await
    }

    async fn controller_unpublish_volume(
        &self,
        request: Request<ControllerUnpublishVolumeRequest>,
    ) -> Result<Response<ControllerUnpublishVolumeResponse>, Status> {
        self.0.run("ControllerUnpublishVolume", request, refuse("ControllerUnpublishVolume")).await
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<ValidateVolumeCapabilitiesRequest>,
    ) -> Result<Response<ValidateVolumeCapabilitiesResponse>, Status> {
        self.0.run("ValidateVolumeCapabilities", request, volumes::validate).await
    }

    async fn list_volumes(
        &self,
        request: Request<ListVolumesRequest>,
    ) -> Result<Response<ListVolumesResponse>, Status> {
        self.0.run("ListVolumes", request, lists::volumes).await
    }

    async fn controller_list_volume_health(
        &self,
        request: Request<ControllerListVolumeHealthRequest>,
    ) -> Result<Response<ControllerListVolumeHealthResponse>, Status> {
        self.0.run("ControllerListVolumeHealth", request, refuse("ControllerListVolumeHealth")).await
    }

    async fn controller_get_volume_health(
        &self,
        request: Request<ControllerGetVolumeHealthRequest>,
    ) -> Result<Response<ControllerGetVolumeHealthResponse>, Status> {
        self.0.run("ControllerGetVolumeHealth", request, refuse("ControllerGetVolumeHealth")).await
    }

    async fn get_capacity(
        &self,
        request: Request<GetCapacityRequest>,
    ) -> Result<Response<GetCapacityResponse>, Status> {
        self.0.run("GetCapacity", request, sizes::capacity).await
    }

    async fn controller_get_capabilities(
        &self,
        request: Request<ControllerGetCapabilitiesRequest>,
    ) -> Result<Response<ControllerGetCapabilitiesResponse>, Status> {
        self.0.run("ControllerGetCapabilities", request, |driver, _| Ok(capabilities(driver))).await
    }

    async fn create_snapshot(
        &self,
        request: Request<CreateSnapshotRequest>,
    ) -> Result<Response<CreateSnapshotResponse>, Status> {
        self.0.run("CreateSnapshot", request, snapshots::create).await
    }

    async fn delete_snapshot(
        &self,
        request: Request<DeleteSnapshotRequest>,
    ) -> Result<Response<DeleteSnapshotResponse>, Status> {
        self.0.run("DeleteSnapshot", request, snapshots::delete).await
    }

    async fn list_snapshots(
        &self,
        request: Request<ListSnapshotsRequest>,
    ) -> Result<Response<ListSnapshotsResponse>, Status> {
        self.0.run("ListSnapshots", request, lists::snapshots).await
    }

    async fn get_snapshot(
        &self,
        request: Request<GetSnapshotRequest>,
    ) -> Result<Response<GetSnapshotResponse>, Status> {
        self.0.run("GetSnapshot", request, lists::snapshot).await
    }

    async fn controller_expand_volume(
        &self,
        request: Request<ControllerExpandVolumeRequest>,
    ) -> Result<Response<ControllerExpandVolumeResponse>, Status> {
        self.0.run("ControllerExpandVolume", request, sizes::expand).await
    }

    async fn controller_get_volume(
        &self,
        request: Request<ControllerGetVolumeRequest>,
    ) -> Result<Response<ControllerGetVolumeResponse>, Status> {
        self.0.run("ControllerGetVolume", request, lists::volume).await
    }

    async fn controller_modify_volume(
        &self,
        request: Request<ControllerModifyVolumeRequest>,
    ) -> Result<Response<ControllerModifyVolumeResponse>, Status> {
        self.0.run("ControllerModifyVolume", request, refuse("ControllerModifyVolume")).await
    }
}

/// What `ControllerGetCapabilities` says.
fn capabilities(driver: &Driver) -> ControllerGetCapabilitiesResponse {
    let always = [rpc::Type::CreateDeleteVolume, rpc::Type::GetVolume, rpc::Type::SingleNodeMultiWriter];
    let optional = [
        (Capability::Snapshot, rpc::Type::CreateDeleteSnapshot),
        (Capability::ListSnapshots, rpc::Type::ListSnapshots),
        (Capability::ListSnapshots, rpc::Type::GetSnapshot),
        (Capability::ListVolumes, rpc::Type::ListVolumes),
        (Capability::GetCapacity, rpc::Type::GetCapacity),
        (Capability::Clone, rpc::Type::CloneVolume),
        (Capability::Expand, rpc::Type::ExpandVolume),
    ];
    let offered = optional.into_iter().filter(|(capability, _)| driver.settings.offers(*capability));
    let types = always.into_iter().chain(offered.map(|(_, rpc)| rpc));
    let capabilities = types
        .map(|kind| ControllerServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: kind.into() })) });
    ControllerGetCapabilitiesResponse { capabilities: capabilities.collect() }
}
