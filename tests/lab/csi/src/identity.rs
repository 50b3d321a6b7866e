//! The Identity service: who the driver is and what it offers as a whole.

use tonic::{Request, Response, Status};

use crate::calls::Calls;
use crate::error::DriverError;
use crate::proto::csi_v1::identity_server::Identity;
use crate::proto::csi_v1::plugin_capability::{Service, Type, VolumeExpansion, service, volume_expansion};
use crate::proto::csi_v1::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest, GetPluginInfoResponse,
    PluginCapability, ProbeRequest, ProbeResponse,
};
use crate::settings::Capability;
use crate::{driver::Driver, pool};

/// The service.
#[derive(Debug, Clone)]
pub struct IdentityService(pub Calls);

#[tonic::async_trait]
impl Identity for IdentityService {
    async fn get_plugin_info(
        &self,
        request: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        let info = |driver: &Driver, _| {
            Ok(GetPluginInfoResponse {
                name: driver.settings.driver_name.clone(),
                vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
                ..Default::default()
            })
        };
        self.0.run("GetPluginInfo", request, info).await
    }

    async fn get_plugin_capabilities(
        &self,
        request: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        self.0.run("GetPluginCapabilities", request, |driver, _| Ok(capabilities(driver))).await
    }

    async fn probe(&self, request: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        self.0.run("Probe", request, |driver, _| probe(driver)).await
    }
}

/// Topology, volume groups and snapshot metadata join this list when the driver learns them.
fn capabilities(driver: &Driver) -> GetPluginCapabilitiesResponse {
    let controller = Type::Service(Service { r#type: service::Type::ControllerService.into() });
    let expansion = Type::VolumeExpansion(VolumeExpansion { r#type: volume_expansion::Type::Online.into() });
    let mut types = vec![controller];
    if driver.settings.offers(Capability::Expand) {
        types.push(expansion);
    }
    let capabilities = types.into_iter().map(|kind| PluginCapability { r#type: Some(kind) }).collect();
    GetPluginCapabilitiesResponse { capabilities }
}

/// Healthy while the pool is mounted.
fn probe(driver: &Driver) -> Result<ProbeResponse, DriverError> {
    let state = driver.store.state();
    if !pool::is_up(state)? {
        return Err(DriverError::PoolMissing { path: pool::mount_point(state) });
    }
    Ok(ProbeResponse { ready: Some(true) })
}
