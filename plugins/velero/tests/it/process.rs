use std::process::Command;
use std::time::{Duration, Instant};

use longshore_velero_plugin::proto::backup_item_action_v2::ExecuteRequest;
use longshore_velero_plugin::proto::backup_item_action_v2::backup_item_action_client::BackupItemActionClient;
use longshore_velero_plugin::proto::backup_item_action_v2::{
    BackupItemActionAppliesToRequest, BackupItemActionProgressRequest,
};
use longshore_velero_plugin::proto::generated::delete_item_action_client::DeleteItemActionClient;
use longshore_velero_plugin::proto::generated::plugin_lister_client::PluginListerClient;
use longshore_velero_plugin::proto::generated::{
    DeleteItemActionAppliesToRequest, DeleteItemActionExecuteRequest, Empty,
};
use longshore_velero_plugin::proto::go_plugin::Empty as Nothing;
use longshore_velero_plugin::proto::go_plugin::grpc_controller_client::GrpcControllerClient;
use longshore_velero_plugin::proto::go_plugin::grpc_stdio_client::GrpcStdioClient;
use longshore_velero_plugin::proto::health::HealthCheckRequest;
use longshore_velero_plugin::proto::health::health_client::HealthClient;
use longshore_velero_plugin::proto::restore_item_action_v2::restore_item_action_client::RestoreItemActionClient;
use longshore_velero_plugin::proto::restore_item_action_v2::{
    RestoreItemActionAppliesToRequest, RestoreItemActionExecuteRequest,
};

use crate::server::{PROGRAM, start};

const FLAGS: [&str; 5] =
    ["--features=EnableCSI", "--uploader-type", "kopia", "--kubeconfig=/dev/null/none", "--unheard-of=1"];

#[tokio::test]
async fn vsm_3_a_server_without_a_cluster_lists_the_plugins_and_ends_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut started = start(folder.path(), &FLAGS).await;
    let plugins = PluginListerClient::new(started.channel.clone()).list_plugins(Empty {}).await.unwrap();
    let plugins = plugins.into_inner().plugins;
    assert_eq!(plugins.len(), 11);
    for plugin in plugins {
        assert_eq!(plugin.command, PROGRAM);
        assert!(plugin.name.starts_with("longshore.dev/") && plugin.name.matches('/').count() == 1);
        let (channel, name) = (started.channel.clone(), plugin.name);
        let selector = match plugin.kind.as_str() {
            "BackupItemActionV2" => {
                let request = BackupItemActionAppliesToRequest { plugin: name };
                let answer = BackupItemActionClient::new(channel).applies_to(request).await.unwrap();
                answer.into_inner().resource_selector
            }
            "RestoreItemActionV2" => {
                let request = RestoreItemActionAppliesToRequest { plugin: name };
                let answer = RestoreItemActionClient::new(channel).applies_to(request).await.unwrap();
                answer.into_inner().resource_selector
            }
            "DeleteItemAction" => {
                let request = DeleteItemActionAppliesToRequest { plugin: name };
                let answer = DeleteItemActionClient::new(channel).applies_to(request).await.unwrap();
                answer.into_inner().resource_selector
            }
            other => panic!("{other}"),
        };
        assert_eq!(selector.unwrap().included_resources.len(), 1);
    }
    let check = HealthCheckRequest { service: "plugin".into() };
    assert_eq!(HealthClient::new(started.channel.clone()).check(check).await.unwrap().into_inner().status, 1);
    // Velero holds this stream open for as long as the plugin lives; it must not hold up the end.
    let _output = GrpcStdioClient::new(started.channel.clone()).stream_stdio(()).await.unwrap();
    let asked = Instant::now();
    GrpcControllerClient::new(started.channel.clone()).shutdown(Nothing {}).await.unwrap();
    let status = tokio::time::timeout(Duration::from_secs(2), started.child.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status} after {:?}", asked.elapsed());
    assert!(!started.socket.exists());
}

#[tokio::test]
async fn what_is_malformed_huge_or_unknown_is_answered_and_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let started = start(folder.path(), &FLAGS).await;
    let mut backups = BackupItemActionClient::new(started.channel.clone())
        .max_decoding_message_size(i32::MAX as usize)
        .max_encoding_message_size(i32::MAX as usize);
    let mut restores = RestoreItemActionClient::new(started.channel.clone());
    let mut deletions = DeleteItemActionClient::new(started.channel.clone());
    for (plugin, item) in [
        ("claim-backupper", "{"),
        ("volume-backupper", "[]"),
        ("content-backupper", "7"),
        ("run-backupper", "\u{0}"),
        ("nothing", "{}"),
    ] {
        let plugin = format!("longshore.dev/{plugin}");
        let request = ExecuteRequest { plugin, item: item.into(), backup: "{}".into() };
        let error = backups.execute(request.clone()).await.unwrap_err();
        assert_eq!(error.code(), tonic::Code::Unknown, "{error}");
        let broken = ExecuteRequest { item: "{}".into(), backup: "nonsense".into(), ..request };
        assert!(backups.execute(broken).await.is_err());
    }
    for plugin in
        ["claim-restorer", "volume-restorer", "snapshot-restorer", "content-restorer", "run-restorer", "x"]
    {
        let plugin = format!("longshore.dev/{plugin}");
        let request = RestoreItemActionExecuteRequest {
            plugin,
            item: "{".into(),
            restore: "{}".into(),
            ..Default::default()
        };
        assert!(restores.execute(request).await.is_err());
    }
    for plugin in ["run-deleter", "upload-deleter", "x"] {
        let plugin = format!("longshore.dev/{plugin}");
        let request = DeleteItemActionExecuteRequest { plugin, item: "{".into(), backup: "{}".into() };
        assert!(deletions.execute(request).await.is_err());
    }
    let odd = BackupItemActionProgressRequest {
        operation_id: "odd".into(),
        backup: "{}".into(),
        ..Default::default()
    };
    assert!(backups.progress(odd).await.is_err());
    // The API server cannot be reached: an error would end the operation for good.
    let lost = BackupItemActionProgressRequest {
        operation_id: "shop/run".into(),
        backup: "{}".into(),
        ..Default::default()
    };
    assert!(!backups.progress(lost).await.unwrap().into_inner().progress.unwrap().completed);
    let note = "x".repeat(20 << 20);
    let item = serde_json::json!({"metadata": {"name": "data", "annotations": {"note": note}}}).to_string();
    let request = ExecuteRequest {
        plugin: "longshore.dev/claim-backupper".into(),
        item: item.clone().into(),
        backup: r#"{"metadata":{"name":"b"}}"#.into(),
    };
    let answer = backups.execute(request).await.unwrap().into_inner();
    assert!(answer.item == item.as_bytes(), "unchanged, byte by byte");
    assert!(answer.operation_id.is_empty());
}

#[test]
fn without_the_cookie_it_says_what_it_is() {
    let output = Command::new(PROGRAM).env_remove("VELERO_PLUGIN").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("install DIR"));
}

#[test]
fn it_installs_itself() {
    let folder = tempfile::tempdir().unwrap();
    for _twice in 0..2 {
        assert!(Command::new(PROGRAM).arg("install").arg(folder.path()).status().unwrap().success());
    }
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(names, ["longshore-velero-plugin"], "Velero runs everything that it finds there");
    let installed = Command::new(folder.path().join(&names[0])).env_remove("VELERO_PLUGIN").output().unwrap();
    assert_eq!(installed.status.code(), Some(1));
    let absent = folder.path().join("absent");
    assert!(!Command::new(PROGRAM).arg("install").arg(absent).status().unwrap().success());
}
