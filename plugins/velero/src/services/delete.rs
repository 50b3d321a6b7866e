//! Delete item actions.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{Plugin, failed, selector, unknown_plugin};
use crate::actions;
use crate::proto::generated::delete_item_action_server::DeleteItemAction;
use crate::proto::generated::{
    DeleteItemActionAppliesToRequest, DeleteItemActionAppliesToResponse, DeleteItemActionExecuteRequest,
    Empty,
};

/// The service.
pub struct DeleteActions(pub Arc<Plugin>);

#[tonic::async_trait]
impl DeleteItemAction for DeleteActions {
    async fn applies_to(
        &self,
        request: Request<DeleteItemActionAppliesToRequest>,
    ) -> Result<Response<DeleteItemActionAppliesToResponse>, Status> {
        let selector = selector("DeleteItemAction", &request.into_inner().plugin)?;
        Ok(Response::new(DeleteItemActionAppliesToResponse { resource_selector: Some(selector) }))
    }

    async fn execute(
        &self,
        request: Request<DeleteItemActionExecuteRequest>,
    ) -> Result<Response<Empty>, Status> {
        let DeleteItemActionExecuteRequest { plugin, item, backup } = request.into_inner();
        let cluster = &self.0.cluster;
        match plugin.as_str() {
            "longshore.dev/run-deleter" => actions::delete_run(cluster, &item, &backup).await,
            "longshore.dev/upload-deleter" => actions::delete_data_upload(cluster, &item, &backup).await,
            _ => return Err(unknown_plugin(&plugin)),
        }
        .map_err(failed)?;
        Ok(Response::new(Empty {}))
    }
}
