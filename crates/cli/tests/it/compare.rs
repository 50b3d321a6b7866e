//! `diff`, `stats` and `copy` as somebody at a terminal meets them.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

use insta::{assert_json_snapshot, assert_snapshot};
use serde_json::Value;

use crate::sandbox::{Sandbox, assert_same_bytes, describe, image, noise, texts};

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A folder, and the same after everything has been done to it.
fn two_backups(sandbox: &Sandbox) -> (String, String) {
    let source = sandbox.path("source");
    fs::create_dir_all(source.join("gone/deep")).unwrap();
    fs::create_dir(source.join("stays")).unwrap();
    for (name, length) in
        [("gone/deep/file", 100_000), ("stays/same", 5000), ("changed", 300_000), ("mode", 10)]
    {
        fs::write(source.join(name), noise(1, length)).unwrap();
    }
    symlink("same", source.join("stays/link")).unwrap();
    fs::write(source.join("becomes a folder"), b"x").unwrap();
    let first = sandbox.backup(&source);
    fs::remove_dir_all(source.join("gone")).unwrap();
    fs::write(source.join("changed"), noise(2, 300_000)).unwrap();
    fs::write(source.join("new\nline"), noise(3, 1000)).unwrap();
    fs::remove_file(source.join("becomes a folder")).unwrap();
    fs::create_dir(source.join("becomes a folder")).unwrap();
    fs::write(source.join("becomes a folder/inside"), b"inline").unwrap();
    fs::set_permissions(source.join("mode"), fs::Permissions::from_mode(0o600)).unwrap();
    (first, sandbox.backup(&source))
}

#[test]
fn a_difference_of_folders_is_shown_like_restic_shows_it() {
    let sandbox = Sandbox::new();
    let (first, second) = two_backups(&sandbox);
    assert_snapshot!("diff-tree", sandbox.ok(&["diff", &first, &second]));
    let with_metadata = sandbox.ok(&["diff", "--metadata", &first, "latest"]);
    assert!(with_metadata.contains("U    /mode\n") && with_metadata.contains("U    /\n"), "{with_metadata}");
    assert_json_snapshot!("diff-tree-json", value(&sandbox.ok(&["-o", "json", "diff", &first, &second])), {
        ".before" => "[id]", ".after" => "[id]",
    });
    let same = sandbox.ok(&["diff", &first, &first]);
    assert!(!same.contains("    /") && same.contains("0 B added, 0 B removed"), "{same}");
}

#[test]
fn a_difference_of_volumes_is_shown_in_ranges() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("image");
    image(&source, 200 << 20, &[(0, 1 << 20), (128 << 20, 1 << 20)]);
    let first = sandbox.backup(&source);
    let file = fs::File::options().write(true).open(&source).unwrap();
    file.write_all_at(&noise(9, 64 << 10), 90 << 20).unwrap();
    file.write_all_at(&vec![0; 1 << 20], 128 << 20).unwrap();
    file.set_len(201 << 20).unwrap();
    let second = sandbox.backup(&source);
    let expected = "+            94371840          65536\n-           134217728        1048576\n";
    let text = sandbox.ok(&["diff", &first, &second]).replace("+    ", "+").replace("-    ", "-");
    let wanted = expected.replace("+    ", "+").replace("-    ", "-");
    assert!(text.starts_with(&wanted), "{text}");
    assert_json_snapshot!("diff-volume-json", value(&sandbox.ok(&["-o", "json", "diff", &first, &second])), {
        ".before" => "[id]", ".after" => "[id]",
    });
}

/// Without what depends on times and keys: lengths of records, how well they compress, where files are cut.
fn without_figures(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                let varies =
                    ["storedBytes", "metadataBytes", "PackBytes", "indexBytes", "Ratio", "acks", "chunks"];
                let is_figure =
                    name == "bytes" || name == "objects" || varies.iter().any(|end| name.ends_with(end));
                *field = if is_figure { "[figure]".into() } else { without_figures(field.take()) };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_figures(item.take())),
        _ => {}
    }
    value
}

#[test]
fn statistics_count_what_is_there() {
    let sandbox = Sandbox::new();
    let (first, _) = two_backups(&sandbox);
    let stats = value(&sandbox.ok(&["-o", "json", "stats"]));
    let chunks = |of: &Value| of["chunks"].as_u64().unwrap();
    let of_each = stats["snapshots"].as_array().unwrap().iter().map(chunks);
    // Each of these files is one snapshot's alone.
    assert_eq!(chunks(&stats["total"]), of_each.sum::<u64>());
    assert_json_snapshot!("stats", without_figures(stats), {
        ".snapshots[].id" => "[id]", ".snapshots[].time" => "[time]", ".snapshots[].source" => "[source]",
    });
    let text = sandbox.ok(&["stats", &first]);
    assert!(
        text.contains("in 1 snapshots") && text.contains("deduplicated") && text.contains(&first),
        "{text}"
    );
}

#[test]
fn a_copy_opens_with_its_own_password_and_restores_equal() {
    let sandbox = Sandbox::new();
    let (first, second) = two_backups(&sandbox);
    let volume = sandbox.path("image");
    image(&volume, 70 << 20, &[(0, 3 << 20), (60 << 20, 9 << 20)]);
    let third = sandbox.backup(&volume);
    fs::write(sandbox.path("other-password"), "another one\n").unwrap();
    let other = sandbox.path("other");
    let copy = |arguments: &[&str]| {
        let mut command = sandbox.command(&["copy", "--progress", "none"]);
        command.args(arguments).env("LONGSHORE_TO_REPOSITORY", &other);
        command.env("LONGSHORE_TO_PASSWORD_FILE", sandbox.path("other-password")).output().unwrap()
    };
    assert_eq!(copy(&[]).status.code(), Some(10), "no repository is made unless it was asked for");
    let output = copy(&["--init", &first]);
    assert_eq!((output.status.code(), texts(&output).0), (Some(0), first.clone()));
    let output = copy(&[]);
    let (out, err) = texts(&output);
    assert_eq!(out.lines().collect::<Vec<_>>(), [second.as_str(), third.as_str()], "{err}");
    assert!(err.starts_with("2 of 3 snapshots copied, 1 there already"), "{err}");
    let files_before = describe(&other);
    let again = value(&texts(&copy(&["-o", "json"])).0);
    assert_eq!((again["copied"].as_array().unwrap().len(), &again["storedBytes"]), (0, &0.into()));
    assert_eq!(again["alreadyThere"].as_array().unwrap().len(), 3);
    assert_eq!(describe(&other), files_before, "nothing was stored");

    let from_copy = |arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        command.env("LONGSHORE_REPOSITORY", &other);
        command.env("LONGSHORE_PASSWORD_FILE", sandbox.path("other-password")).output().unwrap()
    };
    for (snapshot, name) in [(&first, "first"), (&second, "second"), (&third, "third")] {
        let (one, two) = (sandbox.path(&format!("{name}-1")), sandbox.path(&format!("{name}-2")));
        sandbox.restore(snapshot, &one);
        let restored = from_copy(&["restore", snapshot, two.to_str().unwrap()]);
        assert!(restored.status.success(), "{:?}", texts(&restored));
        if name == "third" {
            assert_same_bytes(&one, &two)
        } else {
            assert_eq!(describe(&one), describe(&two))
        }
    }
    assert!(from_copy(&["check", "--read-data"]).status.success());
}

#[test]
fn a_copy_needs_a_second_repository_and_its_password() {
    let sandbox = Sandbox::new();
    let (code, err) = {
        let output = sandbox.run(&["copy", "--to", sandbox.path("other").to_str().unwrap()]);
        (output.status.code(), texts(&output).1)
    };
    assert_eq!(code, Some(2));
    assert!(err.contains("--to-password-file"), "{err}");
    let own = sandbox.path("repository");
    let password = sandbox.path("password");
    let same = ["copy", "--to", own.to_str().unwrap(), "--to-password-file", password.to_str().unwrap()];
    let (_, err) = sandbox.expect(2, &same);
    assert!(err.contains("into itself"), "{err}");
}
