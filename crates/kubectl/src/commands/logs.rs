//! `kubectl longshore logs`

use std::time::Duration;

use futures::AsyncBufReadExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, ResourceExt};
use longshore_api::labels::RUN_UID;

use crate::arguments::LogsArguments;
use crate::cluster::{Session, list};
use crate::entry::Entry;
use crate::failure::Failure;
use crate::found::{DATA_MOVER, Found, gather, only};
use crate::kind::Kind;
use crate::output;

/// The mover's container.
const CONTAINER: &str = "mover";
/// How often a mover that has not come yet is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A mover's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempt {
    name: String,
    created: Option<Timestamp>,
    /// Whether its container has run, so that there is a log.
    started: bool,
}

/// The pod whose log is wanted: the last attempt's, or the one before it. Pure.
fn choose(mut attempts: Vec<Attempt>, previous: bool) -> Option<(Attempt, usize)> {
    attempts.retain(|attempt| attempt.started);
    attempts.sort_by(|one, other| (one.created, &one.name).cmp(&(other.created, &other.name)));
    let number = attempts.len().checked_sub(usize::from(previous))?;
    let chosen = attempts.into_iter().nth(number.checked_sub(1)?)?;
    Some((chosen, number))
}

/// UID by which a run's children are labelled. A DataUpload has none of its own: the backup that serves it has. Pure.
fn label_of(entry: &Entry, all: &[Entry]) -> String {
    let serving = all.iter().find(|other| other.serves.as_deref() == Some(entry.uid.as_str()));
    match (entry.kind, serving) {
        (Kind::DataUpload, Some(backup)) => backup.uid.clone(),
        _ => entry.uid.clone(),
    }
}

/// Why there is no log. Pure.
fn absent(entry: &Entry, previous: bool) -> Failure {
    let title = entry.title();
    if previous {
        return Failure::NotFound {
            message: format!("{title} has had one attempt at most"),
            advice: "Leave out --previous.".to_owned(),
        };
    }
    if entry.over {
        let said = entry.message.as_deref().unwrap_or("it says nothing more");
        return Failure::NotFound {
            message: format!(
                "{title} is {}, and its mover's pod went with the run's other objects; {said}",
                entry.phase
            ),
            advice: format!(
                "Look at `kubectl longshore status {title}`, and at the cluster's log collection."
            ),
        };
    }
    let waits = entry.reason.as_deref().unwrap_or("the operator has not looked at it");
    Failure::NotFound {
        message: format!("the mover of {title} has not started: {waits}"),
        advice: format!("Wait for it with --follow, or look at `kubectl longshore status {title}`."),
    }
}

pub async fn run(session: &Session, verb: &LogsArguments) -> Result<(), Failure> {
    loop {
        let Found { entries, .. } = gather(session, Some(&session.namespace), DATA_MOVER).await?;
        let entry = only(&entries, &verb.run, &session.namespace)?;
        let namespace = entry.protected_namespace.clone().unwrap_or_default();
        let pods: Api<Pod> = session.within(&namespace);
        let found = list(&pods, &format!("{RUN_UID}={}", label_of(entry, &entries))).await?;
        match choose(found.iter().map(attempt).collect(), verb.previous) {
            Some((chosen, number)) => {
                eprintln!("pod {namespace}/{}, attempt {number} that is still there", chosen.name);
                return print(&pods, &chosen.name, verb).await;
            }
            None if verb.follow && !entry.over => tokio::time::sleep(LOOK_EVERY).await,
            None => return Err(absent(entry, verb.previous)),
        }
    }
}

fn attempt(pod: &Pod) -> Attempt {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let started = statuses.into_iter().flatten().filter(|status| status.name == CONTAINER).any(|status| {
        status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    });
    let created = pod.creation_timestamp().map(|time| time.0);
    Attempt { name: pod.name_any(), created, started }
}

async fn print(pods: &Api<Pod>, name: &str, verb: &LogsArguments) -> Result<(), Failure> {
    let parameters = LogParams {
        container: Some(CONTAINER.to_owned()),
        follow: verb.follow,
        tail_lines: verb.tail,
        ..LogParams::default()
    };
    let action = || format!("read the log of pod {name}");
    let stream = pods.log_stream(name, &parameters).await;
    let mut stream = std::pin::pin!(stream.map_err(|source| Failure::api(action(), source))?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = stream.read_until(b'\n', &mut line).await;
        match read.map_err(|source| Failure::Terminal { action: "read the mover's log", source })? {
            0 => return Ok(()),
            _ => output::write(&String::from_utf8_lossy(&line))?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(name: &str, second: i64, started: bool) -> Attempt {
        Attempt { name: name.into(), created: Timestamp::from_second(second).ok(), started }
    }

    #[test]
    fn the_last_attempt_is_wanted_and_on_request_the_one_before() {
        let pods = || vec![attempt("b", 2, true), attempt("a", 1, true), attempt("c", 3, false)];
        let name = |previous| choose(pods(), previous).map(|(chosen, number)| (chosen.name, number));
        assert_eq!(name(false), Some(("b".to_owned(), 2)), "c has no log yet");
        assert_eq!(name(true), Some(("a".to_owned(), 1)));
        assert_eq!(choose(vec![attempt("a", 1, true)], true), None);
        assert_eq!(choose(Vec::new(), false), None);
        assert_eq!(choose(Vec::new(), true), None);
    }

    fn entry(kind: Kind, uid: &str, serves: Option<&str>) -> Entry {
        let backup = longshore_api::VolumeSnapshotBackup::default();
        Entry { kind, uid: uid.into(), serves: serves.map(str::to_owned), ..Entry::from(&backup) }
    }

    #[test]
    fn a_data_uploads_mover_is_that_of_the_backup_that_serves_it() {
        let upload = entry(Kind::DataUpload, "d", None);
        let all = [entry(Kind::VolumeSnapshotBackup, "b", Some("d")), upload.clone()];
        assert_eq!(label_of(&upload, &all), "b");
        assert_eq!(label_of(&all[0], &all), "b");
        assert_eq!(label_of(&entry(Kind::DataDownload, "x", None), &all), "x");
    }

    #[test]
    fn a_missing_log_is_explained() {
        let run = entry(Kind::VolumeSnapshotBackup, "b", None);
        assert!(absent(&run, false).to_string().contains("has not started"));
        assert!(absent(&run, true).to_string().contains("one attempt"));
        let over = Entry { over: true, phase: "Failed".into(), message: Some("disk full".into()), ..run };
        let failure = absent(&over, false).to_string();
        assert!(failure.contains("Failed") && failure.contains("disk full"), "{failure}");
    }
}
