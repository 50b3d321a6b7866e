//! The Node service: devices and mounts on this machine.

mod publish;
mod stage;
mod usage;

use tonic::{Request, Response, Status};

use crate::calls::{Calls, refuse};
use crate::driver::Driver;
use crate::proto::csi_v1::node_server::Node;
use crate::proto::csi_v1::node_service_capability::{Rpc, Type, rpc};
use crate::proto::csi_v1::*;
use crate::settings::Capability;

/// The service.
#[derive(Debug, Clone)]
pub struct NodeService(pub Calls);

#[tonic::async_trait]
impl Node for NodeService {
    async fn node_stage_volume(
        &self,
        request: Request<NodeStageVolumeRequest>,
    ) -> Result<Response<NodeStageVolumeResponse>, Status> {
        self.0.run("NodeStageVolume", request, stage::stage).await
    }

    async fn node_unstage_volume(
        &self,
        request: Request<NodeUnstageVolumeRequest>,
    ) -> Result<Response<NodeUnstageVolumeResponse>, Status> {
        self.0.run("NodeUnstageVolume", request, stage::unstage).await
    }

    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Result<Response<NodePublishVolumeResponse>, Status> {
        self.0.run("NodePublishVolume", request, publish::publish).await
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Result<Response<NodeUnpublishVolumeResponse>, Status> {
        self.0.run("NodeUnpublishVolume", request, publish::unpublish).await
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<NodeGetVolumeStatsRequest>,
    ) -> Result<Response<NodeGetVolumeStatsResponse>, Status> {
        self.0.run("NodeGetVolumeStats", request, usage::stats).await
    }

    async fn node_get_volume_health(
        &self,
        request: Request<NodeGetVolumeHealthRequest>,
    ) -> Result<Response<NodeGetVolumeHealthResponse>, Status> {
        self.0.run("NodeGetVolumeHealth", request, refuse("NodeGetVolumeHealth")).await
    }

    async fn node_get_storage_health(
        &self,
        request: Request<NodeGetStorageHealthRequest>,
    ) -> Result<Response<NodeGetStorageHealthResponse>, Status> {
        self.0.run("NodeGetStorageHealth", request, refuse("NodeGetStorageHealth")).await
    }

    async fn node_expand_volume(
        &self,
        request: Request<NodeExpandVolumeRequest>,
    ) -> Result<Response<NodeExpandVolumeResponse>, Status> {
        self.0.run("NodeExpandVolume", request, usage::expand).await
    }

    async fn node_get_capabilities(
        &self,
        request: Request<NodeGetCapabilitiesRequest>,
    ) -> Result<Response<NodeGetCapabilitiesResponse>, Status> {
        self.0.run("NodeGetCapabilities", request, |driver, _| Ok(capabilities(driver))).await
    }

    async fn node_get_info(
        &self,
        request: Request<NodeGetInfoRequest>,
    ) -> Result<Response<NodeGetInfoResponse>, Status> {
        self.0.run("NodeGetInfo", request, |driver, _| Ok(info(driver))).await
    }
}

/// What `NodeGetCapabilities` says.
fn capabilities(driver: &Driver) -> NodeGetCapabilitiesResponse {
    let mut types = vec![rpc::Type::GetVolumeStats, rpc::Type::SingleNodeMultiWriter];
    if driver.settings.offers(Capability::Stage) {
        types.push(rpc::Type::StageUnstageVolume);
    }
    if driver.settings.offers(Capability::Expand) {
        types.push(rpc::Type::ExpandVolume);
    }
    let capability =
        |kind: rpc::Type| NodeServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: kind.into() })) };
    NodeGetCapabilitiesResponse { capabilities: types.into_iter().map(capability).collect() }
}

/// What `NodeGetInfo` says. A topology joins it when volumes belong to nodes.
fn info(driver: &Driver) -> NodeGetInfoResponse {
    NodeGetInfoResponse { node_id: driver.settings.node_id.clone(), ..Default::default() }
}
