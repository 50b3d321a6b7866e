//! Telling the kubelet about the driver: the plugin registration service on a socket in `plugins_registry`.

use tonic::{Request, Response, Status};

use crate::proto::plugin_registration::registration_server::Registration;
use crate::proto::plugin_registration::{
    InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse,
};

/// The service. The kubelet asks it once per socket that appears.
#[derive(Debug, Clone)]
pub struct RegistrationService {
    /// Name of the driver.
    pub driver_name: String,
    /// Path of the driver's own socket.
    pub endpoint: String,
}

#[tonic::async_trait]
impl Registration for RegistrationService {
    async fn get_info(&self, _: Request<InfoRequest>) -> Result<Response<PluginInfo>, Status> {
        Ok(Response::new(PluginInfo {
            r#type: "CSIPlugin".to_owned(),
            name: self.driver_name.clone(),
            endpoint: self.endpoint.clone(),
            supported_versions: vec!["1.0.0".to_owned()],
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        let status = request.into_inner();
        // The kubelet tries again by itself; the reason is for whoever reads the driver's log.
        if status.plugin_registered {
            eprintln!("the kubelet registered {}", self.driver_name);
        } else {
            eprintln!("the kubelet refused {}: {}", self.driver_name, status.error);
        }
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}
