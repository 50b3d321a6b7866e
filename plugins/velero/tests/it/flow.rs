use longshore_velero_plugin::proto::backup_item_action_v2::backup_item_action_client::BackupItemActionClient;
use longshore_velero_plugin::proto::backup_item_action_v2::{
    BackupItemActionCancelRequest, BackupItemActionProgressRequest, ExecuteRequest, ExecuteResponse,
};
use longshore_velero_plugin::proto::generated::delete_item_action_client::DeleteItemActionClient;
use longshore_velero_plugin::proto::generated::{DeleteItemActionExecuteRequest, OperationProgress};
use longshore_velero_plugin::proto::restore_item_action_v2::restore_item_action_client::RestoreItemActionClient;
use longshore_velero_plugin::proto::restore_item_action_v2::{
    RestoreItemActionExecuteRequest, RestoreItemActionExecuteResponse,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::Api;
use crate::server::{Started, start};

const CONTENTS: &str = "/volumesnapshotcontents/";
const SNAPSHOTS: &str = "/volumesnapshots/";
const RUNS: &str = "/volumesnapshotbackups/";

/// A cluster with one application of two volumes, and the plugin.
struct Scene {
    api: Api,
    plugin: Started,
    folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let api = Api::start(folder.path()).await;
        for name in ["data", "logs"] {
            let volume = json!({"spec": {"csi": {"driver": "d", "volumeHandle": name}, "claimRef": {"namespace": "shop", "name": name}}});
            api.put(&format!("/api/v1/persistentvolumes/pv-{name}"), volume);
            let claim = json!({"spec": {"volumeName": format!("pv-{name}"), "storageClassName": "fast"}, "status": {"phase": "Bound"}});
            api.put(&format!("/api/v1/namespaces/shop/persistentvolumeclaims/{name}"), claim);
        }
        api.put("/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses/c", json!({"driver": "d"}));
        let repository =
            json!({"spec": {"backupStorageLocations": ["default"], "secretRef": {"name": "keys"}}});
        api.put("/apis/longshore.dev/v1alpha1/namespaces/velero/repositories/main", repository);
        let plugin = start(folder.path(), &[api.flag()]).await;
        Self { api, plugin, folder }
    }

    async fn back_up(&self, plugin: &str, item: &Value, backup: &Value) -> ExecuteResponse {
        let request = ExecuteRequest {
            plugin: format!("longshore.dev/{plugin}"),
            item: item.to_string().into(),
            backup: backup.to_string().into(),
        };
        BackupItemActionClient::new(self.plugin.channel.clone()).execute(request).await.unwrap().into_inner()
    }

    async fn restore(&self, plugin: &str, item: &Value, restore: &Value) -> RestoreItemActionExecuteResponse {
        let mut stripped = item.clone();
        stripped.as_object_mut().unwrap().remove("status");
        let request = RestoreItemActionExecuteRequest {
            plugin: format!("longshore.dev/{plugin}"),
            item: stripped.to_string().into(),
            restore: restore.to_string().into(),
            item_from_backup: item.to_string().into(),
        };
        RestoreItemActionClient::new(self.plugin.channel.clone()).execute(request).await.unwrap().into_inner()
    }

    async fn progress(&self, operation: &str) -> OperationProgress {
        let request = BackupItemActionProgressRequest {
            plugin: "longshore.dev/content-backupper".into(),
            operation_id: operation.into(),
            backup: backup().to_string().into(),
        };
        let answer =
            BackupItemActionClient::new(self.plugin.channel.clone()).progress(request).await.unwrap();
        answer.into_inner().progress.unwrap()
    }

    async fn delete(&self, item: &Value) {
        let request = DeleteItemActionExecuteRequest {
            plugin: "longshore.dev/run-deleter".into(),
            item: item.to_string().into(),
            backup: backup().to_string().into(),
        };
        DeleteItemActionClient::new(self.plugin.channel.clone()).execute(request).await.unwrap();
    }

    fn claim(&self, name: &str) -> Value {
        self.api.find(&format!("persistentvolumeclaims/{name}"))[0].1.clone()
    }

    /// Backs up a PVC and its content; returns the operation.
    async fn begin(&self, name: &str) -> String {
        let answer = self.back_up("claim-backupper", &self.claim(name), &backup()).await;
        let content = &answer.additional_items[0];
        assert_eq!(content.resource, "volumesnapshotcontents");
        let found = self.api.find(&format!("{CONTENTS}{}", content.name));
        let answer = self.back_up("content-backupper", &found[0].1, &backup()).await;
        assert_eq!(answer.post_operation_items[0].resource, "volumesnapshotbackups");
        answer.operation_id
    }

    /// What the operator does.
    fn complete(&self, operation: &str) -> Value {
        let name = operation.split('/').nth(1).unwrap();
        let (path, mut run) = self.api.find(&format!("{RUNS}{name}")).remove(0);
        let uid = run["metadata"]["uid"].as_str().unwrap().to_owned();
        run["status"] = json!({"phase": "Completed", "resticrepository": format!("longshore://c/shop/data/{uid}?mode=Filesystem"),
            "sourcePVCData": {"name": "data", "size": "1Gi", "storageClassName": "fast"}, "progress": {"bytesDone": 9, "bytesTotal": 9}});
        self.api.put(&path, run)
    }
}

fn backup() -> Value {
    json!({"metadata": {"name": "b", "namespace": "velero", "uid": "backup-uid", "labels": {"longshore.dev/mover": "true"}},
        "spec": {"storageLocation": "default", "csiSnapshotTimeout": "10s"}, "status": {"phase": "InProgress"}})
}

#[tokio::test]
async fn vsm_4_vsm_5_vsm_6_a_snapshot_and_a_run_per_pvc_and_no_second_one() {
    let scene = Scene::new().await;
    let first = scene.begin("data").await;
    assert_eq!(scene.begin("data").await, first, "called twice");
    // Another process knows nothing of the first one.
    let other = start(scene.folder.path(), &[scene.api.flag()]).await;
    let scene = Scene { plugin: other, ..scene };
    assert_eq!(scene.begin("data").await, first, "called by another process");
    assert_eq!((scene.api.find(SNAPSHOTS).len(), scene.api.find(RUNS).len()), (1, 1));
    assert_ne!(scene.begin("logs").await, first);
    assert_eq!((scene.api.find(SNAPSHOTS).len(), scene.api.find(RUNS).len()), (2, 2));
    let run = &scene.api.find(RUNS)[0].1;
    assert_eq!(run["metadata"]["labels"]["velero.io/backup-name"], "b");
    assert_eq!(run["spec"]["protectedNamespace"], "velero");
    assert_eq!(run["spec"]["resticSecretRef"]["name"], "keys");
    let mut plain = backup();
    plain["metadata"]["labels"] = json!({});
    plain["metadata"]["uid"] = "other".into();
    scene.back_up("claim-backupper", &scene.claim("data"), &plain).await;
    assert_eq!(scene.api.find(SNAPSHOTS).len(), 2, "nobody gave this one to Longshore");
}

#[tokio::test]
async fn vsm_3_beside_veleros_csi_only_the_policy_counts() {
    let scene = Scene::new().await;
    let plugin = start(scene.folder.path(), &[scene.api.flag(), "--features", "EnableCSI"]).await;
    let scene = Scene { plugin, ..scene };
    let labelled = scene.back_up("claim-backupper", &scene.claim("data"), &backup()).await;
    assert!(labelled.additional_items.is_empty() && scene.api.find(SNAPSHOTS).is_empty());
    let policy = "version: v1\nvolumePolicies:\n- conditions: {csi: {driver: d}}\n  action: {type: custom}\n";
    scene.api.put("/api/v1/namespaces/velero/configmaps/policies", json!({"data": {"any": policy}}));
    let mut backup = backup();
    backup["spec"]["resourcePolicy"] = json!({"kind": "configmap", "name": "policies"});
    let taken = scene.back_up("claim-backupper", &scene.claim("data"), &backup).await;
    assert_eq!((taken.additional_items.len(), scene.api.find(SNAPSHOTS).len()), (1, 1));
}

#[tokio::test]
async fn vsm_24_an_operation_is_polled_cleaned_up_and_cancelled() {
    let scene = Scene::new().await;
    let operation = scene.begin("data").await;
    assert!(!scene.progress(&operation).await.completed);
    assert_eq!(scene.api.find(SNAPSHOTS).len(), 1);
    let run = scene.complete(&operation);
    let progress = scene.progress(&operation).await;
    assert!(progress.completed && progress.err.is_empty());
    assert_eq!((progress.n_completed, progress.operation_units.as_str()), (9, "Bytes"));
    assert!(scene.api.find(SNAPSHOTS).is_empty(), "the snapshot is in the repository now");
    assert_eq!(
        scene.api.find(CONTENTS)[0].1["spec"]["deletionPolicy"],
        "Delete",
        "and leaves the storage too"
    );
    assert!(scene.progress(&operation).await.completed, "asked again");
    let mut finalizing = backup();
    finalizing["status"]["phase"] = "Finalizing".into();
    let answer = scene.back_up("run-backupper", &run, &finalizing).await;
    assert!(answer.operation_id.is_empty() && answer.item == run.to_string().as_bytes());
    let cancelled = scene.begin("logs").await;
    let request = BackupItemActionCancelRequest {
        operation_id: cancelled.clone(),
        backup: backup().to_string().into(),
        ..Default::default()
    };
    let mut client = BackupItemActionClient::new(scene.plugin.channel.clone());
    client.cancel(request.clone()).await.unwrap();
    client.cancel(request).await.unwrap();
    assert!(scene.api.find(SNAPSHOTS).is_empty());
    assert_eq!(scene.api.find(RUNS).len(), 1);
    let progress = scene.progress(&cancelled).await;
    assert!(progress.completed && !progress.err.is_empty());
}

#[tokio::test]
async fn vsm_19_vsm_30_a_run_is_restored_once_and_forgotten_once() {
    let scene = Scene::new().await;
    let operation = scene.begin("data").await;
    let run = scene.complete(&operation);
    scene.api.put("/apis/velero.io/v1/namespaces/velero/backups/b", backup());
    let restore = json!({"metadata": {"name": "r", "namespace": "velero", "uid": "restore-uid"},
        "spec": {"backupName": "b", "namespaceMapping": {"shop": "copy"}}});
    for _twice in 0..2 {
        let answer = scene.restore("run-restorer", &run, &restore).await;
        assert!(answer.skip_restore && answer.operation_id.starts_with("copy/"));
    }
    let made = scene.api.find("/volumesnapshotrestores/");
    assert_eq!(made.len(), 1);
    let made = &made[0].1;
    assert_eq!(made["metadata"]["labels"]["velero.io/restore-name"], "r");
    assert_eq!(made["spec"]["targetPVC"]["name"], "data");
    assert_eq!(made["spec"]["resticSecretRef"]["name"], "keys");
    let answer = scene.back_up("claim-backupper", &scene.claim("data"), &backup()).await;
    let claim: Value = serde_json::from_slice(&answer.item).unwrap();
    assert!(scene.restore("claim-restorer", &claim, &restore).await.skip_restore);
    let volume = scene.api.find("/persistentvolumes/pv-data")[0].1.clone();
    let volume: Value =
        serde_json::from_slice(&scene.back_up("volume-backupper", &volume, &backup()).await.item).unwrap();
    assert!(scene.restore("volume-restorer", &volume, &restore).await.skip_restore);
    for _twice in 0..2 {
        scene.delete(&run).await;
    }
    let requests = scene.api.find("/forgetrequests/");
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].1["spec"]["reference"], run["status"]["resticrepository"]);
    assert_eq!(requests[0].1["spec"]["location"], json!({"backupStorageLocation": "default"}));
    assert!(scene.api.find(RUNS).is_empty() && scene.api.find("/volumesnapshotrestores/").is_empty());
}

#[tokio::test]
async fn a_plugin_killed_in_the_middle_of_a_call_is_taken_over_by_the_next() {
    let mut scene = Scene::new().await;
    // A content without a handle keeps the call waiting.
    let claim = scene.claim("data");
    let operation = scene.begin("data").await;
    let (path, mut content) = scene.api.find(CONTENTS).remove(0);
    content["status"] = json!({});
    scene.api.put(&path, content.clone());
    let mut client = BackupItemActionClient::new(scene.plugin.channel.clone());
    let request = ExecuteRequest {
        plugin: "longshore.dev/claim-backupper".into(),
        item: claim.to_string().into(),
        backup: backup().to_string().into(),
    };
    let waiting = tokio::spawn(async move { client.execute(request).await });
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert!(!waiting.is_finished());
    scene.plugin.child.kill().await.unwrap();
    assert!(waiting.await.unwrap().is_err());
    content["status"] = json!({"snapshotHandle": "handle"});
    scene.api.put(&path, content);
    let plugin = start(scene.folder.path(), &[scene.api.flag()]).await;
    let scene = Scene { plugin, ..scene };
    assert_eq!(scene.begin("data").await, operation);
    assert_eq!(scene.api.find(SNAPSHOTS).len(), 1);
}
