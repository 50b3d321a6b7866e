//! No secret in any log, at the finest level, whatever happens.

use std::fs;

use crate::sandbox::{PASSWORD, Sandbox, image, texts};

const KEY: &str = "AKIAEXAMPLEKEY";
const SECRET: &str = "wJalrXUtnFEMISECRETKEY";
const TOKEN: &str = "FwoGZXIvYXdzEXAMPLETOKEN";

fn assert_clean(text: &str) {
    for secret in [PASSWORD, SECRET, TOKEN, "not the password"] {
        assert!(!text.contains(secret), "{secret} stands in:\n{text}");
    }
}

#[test]
fn traces_of_all_commands_hold_no_secret() {
    let sandbox = Sandbox::empty();
    let (source, target) = (sandbox.path("image"), sandbox.path("target"));
    image(&source, 10 << 20, &[(0, 3 << 20)]);
    for arguments in [
        &["init"][..],
        &["backup", source.to_str().unwrap()],
        &["snapshots"],
        &["restore", "latest", target.to_str().unwrap()],
        &["check", "--read-data"],
        &["key", "add", "--new-key-file", sandbox.path("key").to_str().unwrap()],
        &["--key-file", sandbox.path("key").to_str().unwrap(), "snapshots"],
        &["key", "rotate"],
    ] {
        let output = sandbox.command(arguments).env("LONGSHORE_LOG", "trace").output().unwrap();
        let (out, err) = texts(&output);
        assert!(output.status.success(), "{err}");
        assert_clean(&out);
        assert_clean(&err);
        let key = fs::read_to_string(sandbox.path("key")).unwrap_or_else(|_| "no key yet".into());
        assert!(!out.contains(key.trim()) && !err.contains(key.trim()));
    }
    let key = fs::read_to_string(sandbox.path("key")).unwrap();
    let output = sandbox.command(&["key", "recovery"]).env("LONGSHORE_LOG", "trace").output().unwrap();
    let (recovery, err) = texts(&output);
    assert!(output.status.success() && !err.contains(&recovery[..20]) && !err.contains(&key[..20]), "{err}");
    fs::write(sandbox.path("password"), "not the password").unwrap();
    let output = sandbox.command(&["snapshots"]).env("LONGSHORE_LOG", "trace").output().unwrap();
    assert_eq!(output.status.code(), Some(12));
    assert_clean(&texts(&output).1);
}

#[test]
fn a_store_that_is_not_there_gives_no_key_away() {
    let sandbox = Sandbox::empty();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = sandbox
        .command(&["--repo", &format!("s3:http://{closed}/bucket/prefix"), "snapshots"])
        .env("LONGSHORE_LOG", "trace")
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_SESSION_TOKEN", TOKEN)
        .output()
        .unwrap();
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert_clean(&out);
    assert_clean(&err);
    assert!(err.contains("bucket"), "the message names the place: {err}");
}

#[test]
fn an_address_with_a_password_in_it_is_refused_and_not_repeated() {
    let sandbox = Sandbox::empty();
    let address = format!("s3:https://user:{SECRET}@127.0.0.1/bucket");
    let output =
        sandbox.command(&["--repo", &address, "snapshots"]).env("LONGSHORE_LOG", "trace").output().unwrap();
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert_clean(&out);
    assert_clean(&err);
}
