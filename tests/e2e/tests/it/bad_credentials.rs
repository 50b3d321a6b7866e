//! Secrets and stores that do not work: each has its own reason, found before a byte of the volume is read.

use anyhow::{Context, Result, ensure};
use longshore_e2e::{
    Outcome, PROTECTED_NAMESPACE, Run, SHORT, Scenario, Snapshot, VolumeMode, condition, kinds,
    storage::Bucket,
};
use longshore_lab::HOST_ADDRESS;
use serde_json::{Value, json};

/// Nothing listens there on the host.
const CLOSED_PORT: u16 = 9;

#[test]
fn vsm_8_each_fault_of_secret_or_store_has_its_own_reason() -> Outcome {
    Scenario::play("credentials", |scenario| {
        let snapshot = prepare(scenario)?;
        // The repository must be there, so that a wrong password meets one.
        scenario.back_up("good", &snapshot)?.completed()?;
        let good = scenario.credentials()?;
        let with = |key: &str, value: &str| {
            let mut data = good.clone();
            data[key] = value.into();
            data
        };
        let address = good["RESTIC_REPOSITORY"].as_str().context("no address")?.to_owned();
        let faults = [
            ("wrong-password", "WrongKey", with("RESTIC_PASSWORD", "not the password")),
            ("no-bucket", "BucketNotFound", with("RESTIC_REPOSITORY", &format!("{address}-missing"))),
            ("wrong-key", "CredentialsInvalid", with("AWS_SECRET_ACCESS_KEY", "not the secret key")),
            ("unknown-key", "CredentialsInvalid", with("AWS_ACCESS_KEY_ID", "nobody")),
            ("no-address", "RepositoryAddressInvalid", with("RESTIC_REPOSITORY", "gopher://somewhere")),
        ];
        let runs = start_each(scenario, &snapshot, &faults)?;
        for (run, (_, reason, _)) in runs.iter().zip(&faults) {
            failed_before_reading(run, reason)?;
        }
        scenario.repository().check()
    })
}

#[test]
fn vsm_8_each_missing_key_of_the_secret_is_named() -> Outcome {
    Scenario::play("keys", |scenario| {
        let snapshot = prepare(scenario)?;
        let keys = ["RESTIC_REPOSITORY", "RESTIC_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        let mut faults = Vec::new();
        for key in keys {
            let mut data = scenario.credentials()?;
            data.as_object_mut().context("no object")?.remove(key);
            faults.push((key, "SecretKeyMissing", data));
        }
        let names: Vec<String> = keys.iter().map(|key| key.to_lowercase().replace('_', "-")).collect();
        let named: Vec<(&str, &str, Value)> =
            names.iter().zip(faults).map(|(name, (_, reason, data))| (name.as_str(), reason, data)).collect();
        let runs = start_each(scenario, &snapshot, &named)?;
        for (run, key) in runs.iter().zip(keys) {
            let object = failed_before_reading(run, "SecretKeyMissing")?;
            let message =
                condition(&object, "Failed").map_or(&Value::Null, |condition| &condition["message"]);
            ensure!(message.to_string().contains(key), "the message should name {key}: {message}");
        }
        ensure!(scenario.bucket.objects()?.is_empty(), "nothing was written");
        Ok(())
    })
}

#[test]
fn vsm_8_a_backup_waits_for_its_secret_and_starts_when_it_comes() -> Outcome {
    Scenario::play("late-secret", |scenario| {
        let snapshot = prepare(scenario)?;
        let origin = &scenario.site.origin;
        origin.delete(&kinds::SECRET, PROTECTED_NAMESPACE, &scenario.secret)?;
        let backup = scenario.back_up("first", &snapshot)?;
        backup.shows("SecretNotFound", SHORT)?;
        scenario.make_secret(origin, PROTECTED_NAMESPACE, &scenario.secret, &scenario.credentials()?)?;
        backup.completed()?;
        backup.left_nothing()
    })
}

#[test]
fn vsm_8_an_endpoint_that_is_down_is_tried_again_and_named() -> Outcome {
    Scenario::play("endpoint", |scenario| {
        let snapshot = prepare(scenario)?;
        let mut data = scenario.credentials()?;
        data["RESTIC_REPOSITORY"] =
            format!("s3:http://{HOST_ADDRESS}:{CLOSED_PORT}/{}", scenario.bucket.name).into();
        let runs = start_each(scenario, &snapshot, &[("down", "EndpointUnreachable", data)])?;
        let run = runs.first().context("no run")?;
        // The mover itself tries for two minutes before it gives up.
        run.shows("EndpointUnreachable", SHORT * 4)?;
        run.remove()?;
        run.left_nothing()
    })
}

#[test]
fn vsm_8_a_certificate_is_trusted_only_through_the_secrets_authority() -> Outcome {
    Scenario::play("tls", |scenario| {
        let snapshot = prepare(scenario)?;
        let store = scenario.site.lab.start_minio_tls()?;
        store.create_bucket(&scenario.bucket.name)?;
        let keys = store.credentials()?;
        let untrusted = json!({
            "RESTIC_REPOSITORY": format!("s3:{}/{}", store.endpoint(), scenario.bucket.name),
            "RESTIC_PASSWORD": scenario.password,
            "AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        });
        let mut trusted = untrusted.clone();
        trusted["RESTIC_CUSTOM_CA"] = std::fs::read_to_string(store.authority())?.into();
        let runs = start_each(
            scenario,
            &snapshot,
            &[("untrusted", "TLSUntrusted", untrusted), ("trusted", "", trusted)],
        )?;
        let [untrusted, trusted] = &runs[..] else { anyhow::bail!("two runs") };
        failed_before_reading(untrusted, "TLSUntrusted")?;
        trusted.completed()?;
        trusted.left_nothing()
    })
}

fn prepare(scenario: &Scenario) -> Result<Snapshot> {
    scenario.fill("data", "lab-ext4", VolumeMode::Filesystem, "16Mi", "seq 1 10000 > /data/numbers; sync")?;
    scenario.snapshot("first", "data")
}

/// Starts a backup with a Secret of its own for each case.
fn start_each(scenario: &Scenario, snapshot: &Snapshot, cases: &[(&str, &str, Value)]) -> Result<Vec<Run>> {
    let origin = &scenario.site.origin;
    let start = |(name, _, data): &(&str, &str, Value)| {
        let secret = format!("{}-{name}", scenario.secret);
        scenario.make_secret(origin, PROTECTED_NAMESPACE, &secret, data)?;
        let spec = json!({"volumeSnapshotContent": {"name": snapshot.content},
            "protectedNamespace": PROTECTED_NAMESPACE, "resticSecretRef": {"name": secret}});
        scenario.start(origin, &kinds::BACKUP, name, &spec)
    };
    cases.iter().map(start).collect()
}

fn failed_before_reading(run: &Run, reason: &str) -> Result<Value> {
    let object = run.failed(reason)?;
    let done = object["status"]["progress"]["bytesDone"].as_i64().unwrap_or_default();
    ensure!(done == 0, "{done} bytes were read before {reason} was found");
    run.left_nothing()?;
    Ok(object)
}

#[test]
fn a_repository_is_never_made_beside_foreign_objects_nor_by_a_restore() -> Outcome {
    Scenario::play("foreign", |scenario| {
        let snapshot = prepare(scenario)?;
        let backup = scenario.back_up("good", &snapshot)?.completed()?;
        let foreign = Bucket::create(scenario.site, &format!("{}-foreign", scenario.bucket.name))?;
        foreign.put("holiday/photo.jpg", b"not ours")?;
        let empty = Bucket::create(scenario.site, &format!("{}-empty", scenario.bucket.name))?;
        let at = |bucket: &Bucket| -> Result<Value> {
            let mut data = scenario.credentials()?;
            data["RESTIC_REPOSITORY"] =
                format!("s3:{}/{}", scenario.site.minio.endpoint(), bucket.name).into();
            Ok(data)
        };
        let runs = start_each(scenario, &snapshot, &[("foreign", "RepositoryForeign", at(&foreign)?)])?;
        failed_before_reading(runs.first().context("no run")?, "RepositoryForeign")?;
        ensure!(foreign.objects()?.len() == 1, "nothing was written beside the foreign object");

        let fresh = &scenario.site.fresh;
        let secret = format!("{}-empty", scenario.secret);
        scenario.make_secret(fresh, PROTECTED_NAMESPACE, &secret, &at(&empty)?)?;
        let mut spec = scenario.restore_spec(&backup)?;
        spec["resticSecretRef"]["name"] = secret.into();
        let restore = scenario.start(fresh, &kinds::RESTORE, "empty", &spec)?;
        restore.failed("RepositoryNotFound")?;
        restore.left_nothing()?;
        ensure!(empty.objects()?.is_empty(), "a restore wrote into an empty bucket");
        foreign.empty()
    })
}
