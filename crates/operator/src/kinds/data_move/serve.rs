//! Velero's data movement, served only while the cluster has its kinds.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use longshore_api::{DataDownload, DataUpload};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::kinds;
use crate::runner::{self, Controller};
use crate::watches::VeleroWatches;
use longshore_job::chain;

/// How often the cluster is asked for Velero's kinds while it does not have them.
const PROBE_INTERVAL: Duration = Duration::from_secs(60);
const KINDS: [&str; 2] = ["datauploads", "datadownloads"];

/// Whether the cluster has DataUpload and DataDownload. A failure counts as no: it is asked again.
async fn is_there(context: &Context) -> bool {
    match context.client.list_api_group_resources("velero.io/v2alpha1").await {
        Ok(list) => KINDS.iter().all(|kind| list.resources.iter().any(|resource| resource.name == *kind)),
        Err(kube::Error::Api(status)) if status.code == 404 => false,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "cannot ask whether the cluster has DataUploads");
            false
        }
    }
}

/// Waits for Velero's kinds, then serves them until `shutdown`.
pub async fn serve(
    context: Arc<Context>,
    watches: VeleroWatches,
    uploads_woken: UnboundedReceiver<ObjectRef<DataUpload>>,
    downloads_woken: UnboundedReceiver<ObjectRef<DataDownload>>,
    shutdown: CancellationToken,
) {
    while !is_there(&context).await {
        tokio::select! {
            () = tokio::time::sleep(PROBE_INTERVAL) => {}
            () = shutdown.cancelled() => return,
        }
    }
    tracing::info!(name = context.options.data_mover_name, "serves Velero's DataUploads and DataDownloads");
    match kinds::data_download::volumes_on_their_way(&context).await {
        Ok(volumes) => volumes.iter().for_each(|volume| watches.wake_volume_owner(volume)),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "cannot look for volumes of DataDownloads that are gone");
        }
    }
    let stores = &context.stores;
    watches.start();
    let (uploads, downloads) = (stores.velero.uploads.clone(), stores.velero.downloads.clone());
    let uploads = Controller { kind: "upload", store: uploads, woken: uploads_woken };
    let downloads = Controller { kind: "download", store: downloads, woken: downloads_woken };
    tokio::join!(
        runner::run(uploads, context.clone(), shutdown.clone(), kinds::data_upload::reconcile),
        runner::run(downloads, context.clone(), shutdown, kinds::data_download::reconcile),
    );
}
