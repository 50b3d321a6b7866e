//! The same program under the name by which kubectl finds it.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_longshore");

/// Runs the program under a name, where there is no cluster.
fn named(folder: &Path, name: &str, arguments: &[&str]) -> Output {
    let link = folder.join(name);
    if !link.exists() {
        symlink(PROGRAM, &link).unwrap();
    }
    Command::new(link)
        .args(arguments)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env("KUBECONFIG", folder.join("there-is-none"))
        .env("HOME", folder)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_name_decides_which_commands_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = named(folder.path(), "kubectl-longshore", &["--help"]);
    let help = text(&plugin.stdout);
    assert!(plugin.status.success() && help.contains("Usage: kubectl longshore"), "{help}");
    for verb in ["backup", "restore", "status", "doctor", "logs", "cancel"] {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb}: {help}");
    }
    let engine = named(folder.path(), "longshore", &["--help"]);
    let help = text(&engine.stdout);
    assert!(help.contains("Usage: longshore") && help.contains("\n  prune "), "{help}");
    assert!(!help.contains("doctor"), "{help}");
}

#[test]
fn exit_codes_tell_wrong_usage_from_failure() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in
        [&["backup"][..], &["status", "--no-such-flag"], &["restore", "--reference=s3:x", "--size=1Gi"]]
    {
        let output = named(folder.path(), "kubectl-longshore", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
    let output = named(folder.path(), "kubectl-longshore", &["status"]);
    assert_eq!(output.status.code(), Some(1), "there is no cluster");
    let said = text(&output.stderr);
    assert!(said.starts_with("error: cannot find the cluster") && said.contains("--kubeconfig"), "{said}");
    let output = named(folder.path(), "kubectl-longshore", &["doctor", "-o", "json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((said["kind"].as_str(), said["version"].as_u64()), (Some("Error"), Some(1)));
}

#[test]
fn the_reference_page_knows_the_plugin() {
    let page = longshore_cli::reference::markdown();
    for verb in ["", " backup", " restore", " status", " doctor", " logs", " cancel"] {
        assert!(page.contains(&format!("## `kubectl longshore{verb}`")), "{verb}");
    }
    assert!(page.contains("| `-n`, `--namespace NAME` |"), "{page}");
}
