//! Restore item actions, version 2.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{Plugin, failed, progress, selector, unknown_plugin};
use crate::actions;
use crate::proto::restore_item_action_v2::restore_item_action_server::RestoreItemAction;
use crate::proto::restore_item_action_v2::{
    RestoreItemActionAppliesToRequest, RestoreItemActionAppliesToResponse, RestoreItemActionCancelRequest,
    RestoreItemActionExecuteRequest, RestoreItemActionExecuteResponse, RestoreItemActionItemsReadyRequest,
    RestoreItemActionItemsReadyResponse, RestoreItemActionProgressRequest, RestoreItemActionProgressResponse,
};

/// The service.
pub struct RestoreActions(pub Arc<Plugin>);

#[tonic::async_trait]
impl RestoreItemAction for RestoreActions {
    async fn applies_to(
        &self,
        request: Request<RestoreItemActionAppliesToRequest>,
    ) -> Result<Response<RestoreItemActionAppliesToResponse>, Status> {
        let selector = selector("RestoreItemActionV2", &request.into_inner().plugin)?;
        Ok(Response::new(RestoreItemActionAppliesToResponse { resource_selector: Some(selector) }))
    }

    async fn execute(
        &self,
        request: Request<RestoreItemActionExecuteRequest>,
    ) -> Result<Response<RestoreItemActionExecuteResponse>, Status> {
        let RestoreItemActionExecuteRequest { plugin, item, restore, item_from_backup } =
            request.into_inner();
        let outcome = match plugin.as_str() {
            "longshore.dev/claim-restorer" | "longshore.dev/volume-restorer" => {
                actions::skip_moved(&item, &restore)
            }
            "longshore.dev/snapshot-restorer" | "longshore.dev/content-restorer" => {
                actions::skip_snapshot(&item)
            }
            "longshore.dev/run-restorer" => {
                actions::restore_run(&self.0.cluster, &item, &item_from_backup, &restore).await
            }
            _ => return Err(unknown_plugin(&plugin)),
        }
        .map_err(failed)?;
        Ok(Response::new(RestoreItemActionExecuteResponse {
            item,
            skip_restore: outcome.skip,
            operation_id: outcome.operation.unwrap_or_default(),
            ..Default::default()
        }))
    }

    async fn progress(
        &self,
        request: Request<RestoreItemActionProgressRequest>,
    ) -> Result<Response<RestoreItemActionProgressResponse>, Status> {
        let found = actions::restore_progress(&self.0.cluster, &request.into_inner().operation_id).await;
        let progress = Some(progress(found.map_err(failed)?));
        Ok(Response::new(RestoreItemActionProgressResponse { progress }))
    }

    async fn cancel(&self, request: Request<RestoreItemActionCancelRequest>) -> Result<Response<()>, Status> {
        let request = request.into_inner();
        let done = actions::cancel_restore(&self.0.cluster, &request.operation_id, &request.restore).await;
        done.map(Response::new).map_err(failed)
    }

    async fn are_additional_items_ready(
        &self,
        _request: Request<RestoreItemActionItemsReadyRequest>,
    ) -> Result<Response<RestoreItemActionItemsReadyResponse>, Status> {
        Ok(Response::new(RestoreItemActionItemsReadyResponse { ready: true }))
    }
}
