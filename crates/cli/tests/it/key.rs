//! `longshore key`: keys come, work as what they were given for, and go.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use insta::assert_json_snapshot;
use serde_json::Value;

use crate::sandbox::{PASSWORD, Sandbox, image, texts};

const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

fn json(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    let mut all = vec!["-o", "json"];
    all.extend(arguments);
    serde_json::from_str(&sandbox.ok(&all)).unwrap()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field}: {value}"))
}

fn path(sandbox: &Sandbox, name: &str) -> String {
    sandbox.path(name).to_str().unwrap().to_owned()
}

/// A backup of something new, with a key file.
fn backs_up_with(sandbox: &Sandbox, key: &str, source: &Path) -> i32 {
    let output = sandbox.run(&["--key-file", key, "backup", source.to_str().unwrap()]);
    output.status.code().unwrap()
}

#[test]
fn a_movers_key_file_backs_up_and_changes_no_keys() {
    let sandbox = Sandbox::new();
    let (key, source) = (path(&sandbox, "mover.key"), sandbox.path("image"));
    image(&source, 1 << 20, &[(0, 100_000)]);
    let id = sandbox.ok(&["key", "add", "--new-key-file", &key, "--label", "cluster a"]);
    let mode = fs::metadata(&key).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{mode:o}");
    assert_eq!(backs_up_with(&sandbox, &key, &source), 0);
    let (_, err) = sandbox.expect(1, &["-o", "json", "--key-file", &key, "key", "rotate"]);
    let refused: Value = serde_json::from_str(&err).unwrap();
    assert_eq!((text(&refused, "reason"), refused["exitCode"].as_u64()), ("NoAuthority", Some(1)));
    let other = path(&sandbox, "other.key");
    sandbox.expect(1, &["--key-file", &key, "key", "add", "--new-key-file", &other]);
    assert!(!Path::new(&other).exists(), "no key file for nothing");
    let list = sandbox.ok(&["--key-file", &key, "key", "list"]);
    assert!(list.contains("cluster a") && list.contains("key-file") && list.contains(&id[..8]), "{list}");
    // Removed, it opens nothing; the password still does.
    sandbox.expect(4, &["key", "remove", "0123456789"]);
    assert_eq!(sandbox.ok(&["key", "remove", &id[..8], "--rotate"]), id);
    assert_eq!(backs_up_with(&sandbox, &key, &source), 12);
    sandbox.ok(&["backup", source.to_str().unwrap()]);
    assert_eq!(json(&sandbox, &["check", "--read-data"])["sound"], true);
}

#[test]
fn documents_of_keys_keep_their_form() {
    let sandbox = Sandbox::new();
    let key = path(&sandbox, "key");
    let added =
        json(&sandbox, &["key", "add", "--new-key-file", &key, "--role", "maintenance", "--label", "ops"]);
    assert_json_snapshot!("key_add", added, { ".added" => "[id]" });
    assert_json_snapshot!("key_add_recipient", json(&sandbox, &["key", "add", "--recipient", RECIPIENT]), {
        ".added" => "[id]", ".anchor" => "[line]",
    });
    assert_json_snapshot!("key_recovery", json(&sandbox, &["key", "recovery"]), {
        ".added" => "[id]", ".recoveryKey" => "[key]",
    });
    assert_json_snapshot!("key_rotate", json(&sandbox, &["key", "rotate"]));
    assert_json_snapshot!("key_list", json(&sandbox, &["key", "list"]), {
        ".repository" => "[id]", ".anchor" => "[line]", ".keys[].id" => "[id]",
    });
    assert_json_snapshot!("key_remove", json(&sandbox, &["key", "remove", text(&added, "added")]), {
        ".removed" => "[id]",
    });
}

#[test]
fn a_recovery_key_opens_as_it_was_printed_and_tells_typing_errors() {
    let sandbox = Sandbox::new();
    let key = sandbox.ok(&["key", "recovery"]);
    assert_eq!(key.split('-').count(), 16, "{key}");
    let with = |key: &str| {
        let mut command = sandbox.command(&["snapshots"]);
        command.env_remove("LONGSHORE_PASSWORD_FILE").env("LONGSHORE_PASSWORD", key).output().unwrap()
    };
    assert!(with(&key).status.success() && with(&key.to_lowercase().replace('-', " ")).status.success());
    let last = if key.ends_with('Q') { "P" } else { "Q" };
    let typed = with(&format!("{}{last}", &key[..key.len() - 1]));
    let (_, err) = texts(&typed);
    assert_eq!(typed.status.code(), Some(12), "{err}");
    assert!(err.contains("recovery key") && !err.contains(&key[6..30]), "{err}");
}

#[test]
fn a_password_is_replaced_and_two_rotations_lose_nothing() {
    let sandbox = Sandbox::new();
    let (source, target) = (sandbox.path("image"), sandbox.path("target"));
    image(&source, 3 << 20, &[(0, 1 << 20)]);
    let mut ids = vec![sandbox.backup(&source)];
    for round in 0..2 {
        sandbox.ok(&["key", "rotate"]);
        image(&source, 3 << 20, &[(0, 1 << 20), (2 << 20, 1000 + round)]);
        ids.push(sandbox.backup(&source));
    }
    let new = path(&sandbox, "new-password");
    fs::write(&new, "another password\n").unwrap();
    let arguments =
        ["key", "add", "--new-password-file", &new, "--role", "maintenance", "--replace", "current"];
    sandbox.ok(&arguments);
    sandbox.expect(12, &["snapshots"]);
    for id in &ids {
        sandbox.ok(&["--password-file", &new, "restore", id, target.to_str().unwrap()]);
    }
    crate::sandbox::assert_same_bytes(&source, &target);
    let (_, err) = sandbox.expect(1, &["-o", "json", "--password-file", &new, "key", "remove", "current"]);
    assert_eq!(text(&serde_json::from_str(&err).unwrap(), "reason"), "KeySlot", "{err}");
}

#[test]
fn an_age_identity_opens_with_the_line_that_was_printed() {
    let sandbox = Sandbox::new();
    let out = sandbox.ok(&["key", "add", "--recipient", RECIPIENT]);
    let line = out.lines().last().unwrap();
    let identity = path(&sandbox, "identity");
    fs::write(&identity, format!("# created: today\n{IDENTITY}\n")).unwrap();
    let (_, err) = sandbox.expect(12, &["--key-file", &identity, "snapshots"]);
    assert!(err.contains(line), "{err}");
    fs::write(&identity, format!("{line}\n{IDENTITY}\n")).unwrap();
    sandbox.ok(&["--key-file", &identity, "snapshots"]);
    sandbox.ok(&["key", "rotate"]);
    sandbox.ok(&["--key-file", &identity, "snapshots"]);
}

#[test]
fn what_is_no_key_is_not_taken_for_one() {
    let sandbox = Sandbox::new();
    let (file, key) = (path(&sandbox, "password"), path(&sandbox, "key"));
    sandbox.expect(2, &["--key-file", &file, "snapshots"]);
    sandbox.expect(2, &["--key-file", &path(&sandbox, "missing"), "snapshots"]);
    sandbox.expect(2, &["key", "add"]);
    sandbox.expect(2, &["key", "add", "--new-key-file", &file]);
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{PASSWORD}\n"), "it stays as it is");
    sandbox.expect(2, &["key", "add", "--recipient", &RECIPIENT.replace("7r", "7s")]);
    sandbox.expect(2, &["key", "add", "--recipient", RECIPIENT, "--new-key-file", &key]);
    // One key file for two repositories: it is added as it is.
    sandbox.ok(&["key", "add", "--new-key-file", &key]);
    let text = fs::read_to_string(&key).unwrap();
    let other = path(&sandbox, "other");
    sandbox.ok(&["--repo", &other, "init"]);
    sandbox.ok(&["--repo", &other, "key", "add", "--new-key-file", &key]);
    assert_eq!(fs::read_to_string(&key).unwrap(), text);
    sandbox.ok(&["--repo", &other, "--key-file", &key, "snapshots"]);
    // A key file is no password that one could add, and a repository can be made with one.
    sandbox.expect(2, &["key", "add", "--new-password-file", &key]);
    sandbox.ok(&["--repo", &path(&sandbox, "third"), "--key-file", &key, "init"]);
    let slot = json(&sandbox, &["key", "list"])["keys"][0]["id"].as_str().unwrap()[..6].to_owned();
    sandbox.ok(&["--key-slot", &slot, "snapshots"]);
    sandbox.expect(12, &["--key-slot", "ffffffff", "snapshots"]);
}
