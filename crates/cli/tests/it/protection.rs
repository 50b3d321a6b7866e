//! Checkpoints, locks and versions, as somebody at a terminal meets them.

use std::fs;
use std::process::Command;

use longshore_testkit::minio::Minio;
use serde_json::Value;

use crate::sandbox::{Sandbox, assert_same_bytes, noise, texts};

/// A folder that is backed up once.
fn source(sandbox: &Sandbox) -> std::path::PathBuf {
    let source = sandbox.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(1, 2 << 20)).unwrap();
    source
}

#[test]
fn a_folder_that_was_put_back_is_found_out_by_who_kept_a_checkpoint() {
    let sandbox = Sandbox::new();
    let source = source(&sandbox);
    let first = sandbox.backup(&source);
    let restored = sandbox.expect(0, &["restore", &first, sandbox.path("target").to_str().unwrap()]).1;
    assert!(restored.contains("there is no checkpoint yet"), "{restored}");
    let old = sandbox.path("as it was");
    assert!(
        Command::new("cp").arg("-a").arg(sandbox.path("repository")).arg(&old).status().unwrap().success()
    );
    sandbox.backup(&source);
    let forgotten: Value =
        serde_json::from_str(&sandbox.ok(&["-o", "json", "forget", "--keep-last", "1"])).unwrap();
    let checkpoint = forgotten["checkpoint"].as_str().unwrap().to_owned();
    let pruned = sandbox.ok(&["prune", "--expect-checkpoint", &checkpoint]);
    assert!(pruned.contains("checkpoint 2:"), "{pruned}");
    let printed = sandbox.ok(&["checkpoint"]);
    let (_, said) = sandbox.expect(
        0,
        &["restore", "latest", sandbox.path("other").to_str().unwrap(), "--expect-checkpoint", &printed],
    );
    assert!(said.contains("the newest checkpoint is 3 of") && said.contains("1 snapshots"), "{said}");
    let (_, error) =
        sandbox.expect(1, &["-r", old.to_str().unwrap(), "snapshots", "--expect-checkpoint", &checkpoint]);
    assert!(error.contains("as it was at checkpoint 1") && error.contains("put the store back"), "{error}");
    let (_, error) = sandbox.expect(2, &["snapshots", "--expect-checkpoint", "1"]);
    assert!(error.contains("64 hex digits"), "{error}");
}

#[test]
fn a_folder_has_no_locks_and_a_lost_index_is_made_again() {
    let sandbox = Sandbox::new();
    let source = source(&sandbox);
    sandbox.backup(&source);
    for verb in [&["lock", "--for", "30d"][..], &["repair", "undelete", "--as-of", "2026-01-01T00:00:00Z"]] {
        let (_, error) = sandbox.expect(2, verb);
        assert!(error.contains("only buckets of S3"), "{error}");
    }
    fs::remove_dir_all(sandbox.path("repository/idx")).unwrap();
    let report: Value = serde_json::from_str(&sandbox.ok(&["-o", "json", "repair", "index"])).unwrap();
    assert!(report["addedPacks"].as_u64().unwrap() >= 2 && report["segments"] == 1, "{report}");
    assert!(sandbox.ok(&["check"]).contains("no problems"));
    assert!(sandbox.ok(&["repair", "index"]).contains(" 0 more are now"));
}

#[test]
fn a_locked_bucket_says_how_long_and_gives_back_what_a_thief_deleted() {
    let minio = Minio::start(false).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(minio.make_locked_bucket("locked", None)).unwrap();
    let sandbox = Sandbox::empty();
    let run = |arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        command.envs(minio.variables()).env("LONGSHORE_REPOSITORY", "s3://locked/p");
        let output = command.output().unwrap();
        let (out, err) = texts(&output);
        assert!(output.status.success(), "longshore {arguments:?}\n{out}\n{err}");
        (out, err)
    };
    let (_, said) = run(&["init"]);
    assert!(said.contains("are not locked"), "{said}");
    let source = source(&sandbox);
    run(&["backup", source.to_str().unwrap()]);
    let locked: Value = serde_json::from_str(&run(&["-o", "json", "lock", "--for", "30d"]).0).unwrap();
    assert_eq!(locked["objects"], locked["extended"]);
    let (checked, _) = run(&["check"]);
    assert!(checked.contains("are locked until") && checked.contains("bypass governance"), "{checked}");
    let report: Value = serde_json::from_str(&run(&["-o", "json", "check"]).0).unwrap();
    assert!(
        report["protection"]["locks"]["unlocked"] == 0 && report["protection"]["versioning"] == "on",
        "{report}"
    );
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let before = jiff::Timestamp::now().to_string();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let client = minio.client();
    runtime.block_on(async {
        let listed = client.list_objects_v2().bucket("locked").send().await.unwrap();
        for object in listed.contents() {
            client.delete_object().bucket("locked").key(object.key().unwrap()).send().await.unwrap();
        }
    });
    let (out, _) = run(&["repair", "undelete", "--as-of", &before]);
    assert!(out.contains("shown again"), "{out}");
    run(&["restore", "latest", sandbox.path("target").to_str().unwrap()]);
    assert_same_bytes(&source.join("file"), &sandbox.path("target/file"));
    assert!(run(&["prune"]).0.contains("checkpoint 1:"));
}
