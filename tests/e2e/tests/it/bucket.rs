//! What the bucket holds, and what it does not tell.

use anyhow::{Result, ensure};
use longshore_e2e::{Outcome, Scenario, VolumeMode, application, storage::Bucket};

const MARK: &str = "eingeweihte-wissen-was-hier-steht";

#[test]
fn vsm_1_no_known_string_is_in_any_object_of_the_bucket() -> Outcome {
    Scenario::play("ciphertext", |scenario| {
        let script = format!(
            "cd /data; for i in $(seq 1 400); do echo '{MARK}'; done > text; mkdir name-{MARK}; echo {MARK} > name-{MARK}/x; \
             setfattr -n user.mark -v {MARK} text; ln -s {MARK} link"
        );
        scenario.fill("data", "lab-ext4", VolumeMode::Filesystem, "16Mi", &script)?;
        let script = format!("yes {MARK} | head -c 2000000 > /dev/disk; sync");
        scenario.fill("disk", "lab-ext4", VolumeMode::Block, "16Mi", &script)?;
        for claim in ["data", "disk"] {
            let snapshot = scenario.snapshot(claim, claim)?;
            scenario.back_up(claim, &snapshot)?.completed()?;
        }
        let known = [MARK, &scenario.password, &scenario.namespace, "lab-ext4", "csi.lab.longshore.dev"];
        search(&scenario.bucket, &known)?;
        // The claims' short names could be in ciphertext by chance, not in names of objects.
        for object in scenario.bucket.objects()? {
            let pieces: Vec<&str> = object.key.split(['/', '.', '-']).collect();
            ensure!(!pieces.contains(&"data") || object.key.starts_with("data/"), "{}", object.key);
            ensure!(!pieces.contains(&"disk"), "{}", object.key);
        }
        scenario.repository().check()
    })
}

fn search(bucket: &Bucket, known: &[&str]) -> Result<()> {
    let objects = bucket.objects()?;
    ensure!(objects.len() > 5, "a repository of two snapshots has more than {} objects", objects.len());
    for object in objects {
        let bytes = bucket.get(&object.key)?;
        for text in known {
            ensure!(!object.key.contains(text), "{} tells {text}", object.key);
            let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            ensure!(!found, "{} holds {text} in clear", object.key);
        }
    }
    Ok(())
}

#[test]
fn vsm_1_two_claims_of_equal_content_are_stored_once() -> Outcome {
    Scenario::play("twins", |scenario| {
        let origin = &scenario.site.origin;
        let script = "head -c 24000000 /dev/urandom > /data/random; sync";
        scenario.fill("first", "lab-ext4", VolumeMode::Filesystem, "64Mi", script)?;
        let snapshot = scenario.snapshot("first", "first")?;
        origin.create(&application::claim_from(
            &scenario.namespace,
            "second",
            "lab-ext4",
            VolumeMode::Filesystem,
            "64Mi",
            &snapshot.name,
        ))?;
        scenario.fingerprint(origin, "second", VolumeMode::Filesystem)?;
        let twin = scenario.snapshot("second", "second")?;

        scenario.back_up("first", &snapshot)?.completed()?;
        let once = scenario.bucket.bytes()?;
        ensure!(once > 24_000_000, "random bytes do not shrink: {once}");
        scenario.back_up("second", &twin)?.completed()?;
        let twice = scenario.bucket.bytes()?;
        ensure!(
            (twice - once) * 20 < once,
            "{once} bytes for the first claim, {} for its twin",
            twice - once
        );
        ensure!(scenario.repository().snapshots()?.len() == 2, "two restore points");
        Ok(())
    })
}

#[test]
fn vsm_1_a_compressible_claim_is_stored_smaller_than_half() -> Outcome {
    Scenario::play("compressible", |scenario| {
        let script = "seq 1 4000000 > /data/numbers; stat -c %s /data/numbers; sync";
        scenario.fill("data", "lab-ext4", VolumeMode::Filesystem, "64Mi", script)?;
        let snapshot = scenario.snapshot("first", "data")?;
        scenario.back_up("first", &snapshot)?.completed()?;
        let stored = scenario.bucket.bytes()?;
        ensure!(stored * 2 < 30_888_896, "30888896 bytes of text became {stored}");
        Ok(())
    })
}
