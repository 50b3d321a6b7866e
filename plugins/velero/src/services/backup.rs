//! Backup item actions, version 2.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{Plugin, failed, identifiers, progress, selector, unknown_plugin};
use crate::actions;
use crate::proto::backup_item_action_v2::backup_item_action_server::BackupItemAction;
use crate::proto::backup_item_action_v2::{
    BackupItemActionAppliesToRequest, BackupItemActionAppliesToResponse, BackupItemActionCancelRequest,
    BackupItemActionProgressRequest, BackupItemActionProgressResponse, ExecuteRequest, ExecuteResponse,
};

/// The service.
pub struct BackupActions(pub Arc<Plugin>);

#[tonic::async_trait]
impl BackupItemAction for BackupActions {
    async fn applies_to(
        &self,
        request: Request<BackupItemActionAppliesToRequest>,
    ) -> Result<Response<BackupItemActionAppliesToResponse>, Status> {
        let selector = selector("BackupItemActionV2", &request.into_inner().plugin)?;
        Ok(Response::new(BackupItemActionAppliesToResponse { resource_selector: Some(selector) }))
    }

    async fn execute(&self, request: Request<ExecuteRequest>) -> Result<Response<ExecuteResponse>, Status> {
        let ExecuteRequest { plugin, item, backup } = request.into_inner();
        let cluster = &self.0.cluster;
        let velero_csi = self.0.arguments.velero_csi;
        let outcome = match plugin.as_str() {
            "longshore.dev/claim-backupper" => {
                actions::back_up_claim(cluster, velero_csi, &item, &backup).await
            }
            "longshore.dev/volume-backupper" => {
                actions::back_up_volume(cluster, velero_csi, &item, &backup).await
            }
            "longshore.dev/content-backupper" => actions::back_up_content(cluster, &item, &backup).await,
            "longshore.dev/run-backupper" => actions::back_up_run(cluster, &item, &backup).await,
            _ => return Err(unknown_plugin(&plugin)),
        }
        .map_err(failed)?;
        Ok(Response::new(ExecuteResponse {
            // An unchanged item goes back byte by byte: an empty answer would be no object.
            item: outcome.item.map_or(item, |changed| changed.to_string().into_bytes()),
            additional_items: identifiers(outcome.additional),
            operation_id: outcome.operation.unwrap_or_default(),
            post_operation_items: identifiers(outcome.after_operation),
        }))
    }

    async fn progress(
        &self,
        request: Request<BackupItemActionProgressRequest>,
    ) -> Result<Response<BackupItemActionProgressResponse>, Status> {
        let request = request.into_inner();
        let found = actions::backup_progress(&self.0.cluster, &request.operation_id, &request.backup).await;
        let progress = Some(progress(found.map_err(failed)?));
        Ok(Response::new(BackupItemActionProgressResponse { progress }))
    }

    async fn cancel(&self, request: Request<BackupItemActionCancelRequest>) -> Result<Response<()>, Status> {
        let request = request.into_inner();
        let done = actions::cancel_backup(&self.0.cluster, &request.operation_id, &request.backup).await;
        done.map(Response::new).map_err(failed)
    }
}
