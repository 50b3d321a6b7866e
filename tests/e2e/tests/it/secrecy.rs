//! No secret leaves the Secret, even at trace level.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use longshore_e2e::{
    Cluster, OPERATOR_NAMESPACE, Outcome, PROTECTED_NAMESPACE, Run, Scenario, VolumeMode, audit, kinds,
};
use serde_json::{Value, json};

#[test]
fn no_secret_is_in_any_log_event_status_or_job_at_trace_level() -> Outcome {
    Scenario::play("secrecy", |scenario| {
        let site = scenario.site;
        let logs = MoverLogs::begin(&scenario.namespace)?;
        scenario.fill(
            "data",
            "lab-ext4",
            VolumeMode::Filesystem,
            "16Mi",
            "seq 1 100000 > /data/numbers; sync",
        )?;
        let snapshot = scenario.snapshot("first", "data")?;
        let mut wrong = scenario.credentials()?;
        wrong["RESTIC_PASSWORD"] = format!("wrong {}", scenario.password).into();
        let good_secret =
            scenario.credentials()?["AWS_SECRET_ACCESS_KEY"].as_str().context("no key")?.to_owned();
        let (runs, seen) = logs.while_copying(&[&site.origin, &site.fresh], || {
            let backup = scenario.back_up("first", &snapshot)?;
            let object = backup.completed()?;
            let restore = scenario.restore_to(&site.fresh, "back", &object, "data")?;
            restore.completed()?;
            // A failure tells more than a success; it must not tell this.
            site.origin.patch(
                &kinds::SECRET,
                PROTECTED_NAMESPACE,
                &scenario.secret,
                &json!({"stringData": wrong}),
            )?;
            let refused = scenario.back_up("second", &snapshot)?;
            refused.failed("WrongKey")?;
            Ok([backup, restore, refused])
        })?;
        let opened = "the repository is open";
        let tells = [[opened, "a file is stored"], [opened, "a file is restored"], ["key slot", "WrongKey"]];
        for (run, told) in runs.iter().zip(tells) {
            is_rich(run, &seen, told)?;
        }
        let jobs: Vec<_> = audit::operator_requests(&site.origin)?
            .into_iter()
            .filter(|request| request.created("jobs"))
            .collect();
        let traced = |job: &audit::Request| {
            let environment = &job.sent["spec"]["template"]["spec"]["containers"][0]["env"];
            environment
                .as_array()
                .is_some_and(|all| all.contains(&json!({"name": "LONGSHORE_LOG", "value": "trace"})))
        };
        ensure!(jobs.last().is_some_and(traced), "movers log at trace level");
        let secrets = [scenario.password.clone(), good_secret];
        for (name, text) in seen {
            search(&name, &text, &secrets)?;
        }
        for cluster in [&site.origin, &site.fresh] {
            search_cluster(cluster, &secrets)?;
        }
        Ok(())
    })
}

/// A search proves something only in a log that tells a lot: each mover of the run told of its requests and of what it did.
fn is_rich(run: &Run, seen: &[(String, String)], told: [&str; 2]) -> Result<()> {
    let logs: Vec<&(String, String)> = seen.iter().filter(|(name, _)| name.contains(&run.mark())).collect();
    ensure!(!logs.is_empty(), "no log of {} {} was kept", run.kind.name, run.name);
    for (name, text) in logs {
        for part in ["TRACE", "a request was answered"].into_iter().chain(told) {
            ensure!(text.contains(part), "{name} does not tell of {part:?}:\n{text}");
        }
    }
    Ok(())
}

fn search_cluster(cluster: &Cluster, secrets: &[String]) -> Result<()> {
    let selector = "app.kubernetes.io/component=operator";
    let log = cluster.lab.kubectl(&["-n", OPERATOR_NAMESPACE, "logs", "--tail=-1", "-l", selector])?;
    let deployments = cluster.list(&kinds::DEPLOYMENT, OPERATOR_NAMESPACE, selector)?;
    let traced = deployments.iter().any(|deployment| deployment.to_string().contains("--log-level=trace"));
    ensure!(traced && log.contains("the run enters a phase"), "the operator logs at trace level");
    search("the operator's log", &log, secrets)?;
    for kind in [&kinds::EVENT, &kinds::BACKUP, &kinds::RESTORE, &kinds::JOB, &kinds::POD] {
        for object in cluster.list(kind, "", "")? {
            search(kind.name, &object.to_string(), secrets)?;
        }
    }
    for request in audit::operator_requests(cluster)? {
        search(&request.resource, &request.sent.to_string(), secrets)?;
        search(&request.resource, &request.answer.to_string(), secrets)?;
    }
    Ok(())
}

fn search(place: &str, text: &str, secrets: &[String]) -> Result<()> {
    for secret in secrets {
        // What a log escapes, and what a Secret's own form would look like.
        let escaped = Value::from(secret.as_str()).to_string();
        for form in [secret.as_str(), escaped.trim_matches('"'), &base64(secret.as_bytes())] {
            if let Some(at) = text.find(form) {
                let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
                let shown: String = text[start..].chars().take(300).collect();
                anyhow::bail!("a secret is in {place}: {}", shown.replace(form, "<the secret>"));
            }
        }
    }
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    // The last group depends on what follows, so it is left out of the search.
    for group in bytes.chunks_exact(3) {
        let word = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for shift in [18, 12, 6, 0] {
            text.push(char::from(LETTERS[(word >> shift) as usize & 63]));
        }
    }
    text
}

/// Keeps the logs of movers beyond their pods: by a second link to each file.
struct MoverLogs {
    folder: PathBuf,
}

impl MoverLogs {
    fn begin(name: &str) -> Result<Self> {
        Ok(Self { folder: PathBuf::from(name) })
    }

    fn while_copying<T>(
        &self,
        clusters: &[&Cluster],
        body: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Vec<(String, String)>)> {
        let over = AtomicBool::new(false);
        let places: Vec<(PathBuf, PathBuf)> = clusters
            .iter()
            .filter_map(|cluster| {
                let state = cluster.lab.kubelet_folder().parent()?.to_path_buf();
                Some((
                    cluster.lab.kubelet_folder().join("pod-logs"),
                    state.join("kept-logs").join(&self.folder),
                ))
            })
            .collect();
        for (_, kept) in &places {
            fs::create_dir_all(kept)?;
        }
        let outcome = thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    places.iter().for_each(|(from, to)| link_all(from, to));
                    thread::sleep(Duration::from_millis(20));
                }
            });
            let outcome = body();
            over.store(true, Ordering::Relaxed);
            outcome
        });
        let outcome = outcome?;
        let mut found = Vec::new();
        for (_, kept) in &places {
            for entry in fs::read_dir(kept)? {
                let path = entry?.path();
                let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
                found.push((path.display().to_string(), text));
            }
            fs::remove_dir_all(kept)?;
        }
        Ok((outcome, found))
    }
}

/// Links every log of a mover that is not linked yet. Folders come and go meanwhile.
fn link_all(from: &Path, to: &Path) {
    let entries = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    for pod in entries(from) {
        let name = pod.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with(PROTECTED_NAMESPACE) {
            continue;
        }
        for log in entries(&pod.join("mover")) {
            let end = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let _ = fs::hard_link(&log, to.join(format!("{name}-{end}")));
        }
    }
}
