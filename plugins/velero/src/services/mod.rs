//! The gRPC services: each call is answered by one action, found by the plugin's name.

mod backup;
mod control;
mod delete;
mod restore;

use std::sync::Arc;

use tokio::sync::Notify;
use tonic::Status;
use tonic::service::Routes;

use crate::actions::Progress;
use crate::arguments::Arguments;
use crate::cluster::{ActionError, Cluster};
use crate::item::Identifier;
use crate::proto::backup_item_action_v2::backup_item_action_server::BackupItemActionServer;
use crate::proto::generated::delete_item_action_server::DeleteItemActionServer;
use crate::proto::generated::plugin_lister_server::PluginListerServer;
use crate::proto::generated::{OperationProgress, ResourceIdentifier, ResourceSelector};
use crate::proto::go_plugin::grpc_controller_server::GrpcControllerServer;
use crate::proto::go_plugin::grpc_stdio_server::GrpcStdioServer;
use crate::proto::health::health_server::HealthServer;
use crate::proto::restore_item_action_v2::restore_item_action_server::RestoreItemActionServer;

/// Every plugin: kind, name, resources that it is called for.
pub const PLUGINS: [(&str, &str, &str); 11] = [
    ("BackupItemActionV2", "longshore.dev/claim-backupper", "persistentvolumeclaims"),
    ("BackupItemActionV2", "longshore.dev/volume-backupper", "persistentvolumes"),
    (
        "BackupItemActionV2",
        "longshore.dev/content-backupper",
        "volumesnapshotcontents.snapshot.storage.k8s.io",
    ),
    (
        "BackupItemActionV2",
        "longshore.dev/run-backupper",
        "volumesnapshotbackups.datamover.oadp.openshift.io",
    ),
    ("RestoreItemActionV2", "longshore.dev/claim-restorer", "persistentvolumeclaims"),
    ("RestoreItemActionV2", "longshore.dev/volume-restorer", "persistentvolumes"),
    ("RestoreItemActionV2", "longshore.dev/snapshot-restorer", "volumesnapshots.snapshot.storage.k8s.io"),
    (
        "RestoreItemActionV2",
        "longshore.dev/content-restorer",
        "volumesnapshotcontents.snapshot.storage.k8s.io",
    ),
    (
        "RestoreItemActionV2",
        "longshore.dev/run-restorer",
        "volumesnapshotbackups.datamover.oadp.openshift.io",
    ),
    ("DeleteItemAction", "longshore.dev/run-deleter", "volumesnapshotbackups.datamover.oadp.openshift.io"),
    ("DeleteItemAction", "longshore.dev/upload-deleter", "datauploads.velero.io"),
];

/// Items are as large as etcd lets them be, and a list of them may be larger; Velero sets no limit either.
const MESSAGE_BYTES_MAX: usize = i32::MAX as usize;

/// What every service needs. Holds no state of any backup.
pub struct Plugin {
    arguments: Arguments,
    cluster: Cluster,
}

/// All services of the program. `end` is notified when Velero wants it to end.
pub fn routes(arguments: Arguments, end: Arc<Notify>) -> Routes {
    let lister = control::Lister { command: arguments.command.clone() };
    let plugin = Arc::new(Plugin { cluster: Cluster::new(&arguments), arguments });
    macro_rules! sized {
        ($server:expr) => {
            $server.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
        };
    }
    Routes::new(PluginListerServer::new(lister))
        .add_service(sized!(BackupItemActionServer::new(backup::BackupActions(plugin.clone()))))
        .add_service(sized!(RestoreItemActionServer::new(restore::RestoreActions(plugin.clone()))))
        .add_service(sized!(DeleteItemActionServer::new(delete::DeleteActions(plugin))))
        .add_service(GrpcControllerServer::new(control::Controller { end }))
        .add_service(GrpcStdioServer::new(control::Stdio))
        .add_service(HealthServer::new(control::Healthy))
}

fn selector(kind: &str, plugin: &str) -> Result<ResourceSelector, Status> {
    let (_, _, resource) = PLUGINS
        .into_iter()
        .find(|(of, name, _)| *of == kind && *name == plugin)
        .ok_or_else(|| unknown_plugin(plugin))?;
    Ok(ResourceSelector { included_resources: vec![resource.to_owned()], ..Default::default() })
}

fn unknown_plugin(plugin: &str) -> Status {
    Status::unknown(format!("there is no plugin {plugin}"))
}

/// Velero shows the message; the code is what go-plugin's own errors have.
fn failed(error: ActionError) -> Status {
    Status::unknown(error.to_string())
}

fn identifiers(all: Vec<Identifier>) -> Vec<ResourceIdentifier> {
    all.into_iter()
        .map(|one| ResourceIdentifier {
            group: one.group.to_owned(),
            resource: one.resource.to_owned(),
            namespace: one.namespace,
            name: one.name,
        })
        .collect()
}

/// What Velero is told of an operation. It reads an absent time as 1970, so an unknown one is its "not set", the year 1.
fn progress(progress: Progress) -> OperationProgress {
    const NOT_SET_SECONDS: i64 = -62_135_596_800;
    let time = |time: Option<jiff::Timestamp>| {
        Some(prost_types::Timestamp {
            seconds: time.map_or(NOT_SET_SECONDS, jiff::Timestamp::as_second),
            nanos: 0,
        })
    };
    OperationProgress {
        completed: progress.completed,
        err: progress.error,
        n_completed: progress.done,
        n_total: progress.total,
        operation_units: "Bytes".into(),
        description: progress.description,
        started: time(progress.started),
        updated: time(progress.ended),
    }
}
