//! The form of documents that programs read: a change here breaks somebody.

use std::fs;

use insta::{assert_json_snapshot, assert_snapshot};

use crate::sandbox::{Sandbox, image, noise};

fn value(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn documents_keep_their_form() {
    let sandbox = Sandbox::empty();
    let json = |arguments: &[&str]| {
        let mut all = vec!["-o", "json"];
        all.extend(arguments);
        value(&sandbox.ok(&all))
    };
    assert_json_snapshot!("init", json(&["init"]), { ".id" => "[id]", ".repository" => "[folder]" });
    let folder = sandbox.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), noise(1, 70_000)).unwrap();
    fs::write(folder.join("small"), b"small").unwrap();
    std::os::unix::fs::symlink("file", folder.join("link")).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    for name in ["file", "small"] {
        fs::File::open(folder.join(name)).unwrap().set_modified(time).unwrap();
    }
    let folder = folder.to_str().unwrap();
    let backup = json(&["backup", "--host", "test", "--label", "tier=gold", folder]);
    assert_json_snapshot!("backup", backup, {
        ".snapshot.id" => "[id]", ".snapshot.time" => "[time]", ".snapshot.startedAt" => "[time]", ".snapshot.finishedAt" => "[time]",
        ".snapshot.source" => "[source]", ".snapshot.storedBytes" => "[bytes]",
    });
    assert_json_snapshot!("snapshots", json(&["snapshots"]), {
        ".snapshots[].id" => "[id]", ".snapshots[].time" => "[time]", ".snapshots[].startedAt" => "[time]",
        ".snapshots[].finishedAt" => "[time]", ".snapshots[].source" => "[source]", ".snapshots[].storedBytes" => "[bytes]",
    });
    assert_json_snapshot!("ls", json(&["ls", "latest"]), {
        ".entries[2].modified" => "[time]", ".entries[1].modified" => "[time]",
    });
    let target = sandbox.path("target");
    let restore = json(&["restore", "latest", target.to_str().unwrap()]);
    assert_json_snapshot!("restore", restore, { ".snapshot" => "[id]", ".target" => "[target]" });
    assert_json_snapshot!("check", json(&["check", "--read-data"]), { ".**" => insta::dynamic_redaction(|value, path| {
        if path.to_string().to_lowercase().ends_with("bytes") { "[bytes]".into() } else { value }
    })});
    assert_json_snapshot!("version", json(&["version"]));
}

#[test]
fn progress_is_json_lines_on_request_and_stdout_holds_the_id_alone() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("image");
    image(&source, 30 << 20, &[(0, 20 << 20)]);
    let (out, err) = sandbox.expect(0, &["--progress", "json", "backup", source.to_str().unwrap()]);
    assert_eq!(out.lines().count(), 1);
    let lines: Vec<_> = err.lines().filter_map(longshore_job::ProgressLine::parse).collect();
    let last = lines.last().unwrap_or_else(|| panic!("{err}"));
    assert_eq!((last.bytes_done, last.bytes_total), (30 << 20, 30 << 20));
    let (_, quiet) = sandbox.expect(0, &["--progress", "none", "snapshots"]);
    assert!(quiet.is_empty(), "{quiet}");
}

#[test]
fn the_reference_page_knows_every_verb() {
    let page = longshore_cli::reference::markdown();
    for verb in [
        "init",
        "backup",
        "restore",
        "snapshots",
        "ls",
        "check",
        "key",
        "key add",
        "repair",
        "repair packs",
        "diff",
        "stats",
        "copy",
        "completion",
        "version",
        "mover",
    ] {
        assert!(page.contains(&format!("## `longshore {verb}`")), "{verb}");
    }
    assert!(
        page.contains("| `-r`, `--repo REPOSITORY` |") && page.contains("`LONGSHORE_REPOSITORY`"),
        "{page}"
    );
    assert!(page.contains("`--read-data"));
}

#[test]
fn help_and_completion_print_on_stdout() {
    let sandbox = Sandbox::empty();
    let help = sandbox.ok(&["--help"]);
    assert_snapshot!(help);
    assert!(sandbox.ok(&["completion", "bash"]).contains("_longshore"));
}
