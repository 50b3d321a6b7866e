//! Copies a running mover's progress from its log into the run's status.
//!
//! One task a pod. Nothing here decides anything: after a restart of the operator, or a broken stream, the next pass starts the task again, and a
//! run whose progress nobody copies ends all the same.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{LogParams, Patch, PatchParams};
use kube::{Api, Resource};
use longshore_api::{DataDownload, VolumeSnapshotBackup, VolumeSnapshotRestore};
use longshore_job::{Progress, ProgressLine};
use serde::de::DeserializeOwned;

use crate::objects::CONTAINER;

/// Shortest time between two writes of one run's progress.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);
/// Longest line that is looked at; a progress line is far shorter.
const LINE_BYTES_MAX: usize = 4096;

/// A kind whose status shows a mover's progress.
pub trait ShowsProgress {
    /// Whether its status is a subresource.
    const STATUS_IS_SUBRESOURCE: bool;
    /// The value of `status.progress`.
    fn shown(progress: &Progress) -> serde_json::Value;
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn run_progress(progress: &Progress) -> serde_json::Value {
    serde_json::json!({
        "bytesDone": number(progress.bytes_done),
        "bytesTotal": number(progress.bytes_total),
        "bytesTransferred": number(progress.bytes_transferred),
        "stage": format!("{:?}", progress.stage),
    })
}

impl ShowsProgress for VolumeSnapshotBackup {
    const STATUS_IS_SUBRESOURCE: bool = true;
    fn shown(progress: &Progress) -> serde_json::Value {
        run_progress(progress)
    }
}

impl ShowsProgress for VolumeSnapshotRestore {
    const STATUS_IS_SUBRESOURCE: bool = true;
    fn shown(progress: &Progress) -> serde_json::Value {
        run_progress(progress)
    }
}

impl ShowsProgress for DataDownload {
    const STATUS_IS_SUBRESOURCE: bool = false;
    fn shown(progress: &Progress) -> serde_json::Value {
        serde_json::json!({
            "bytesDone": number(progress.bytes_done),
            "totalBytes": number(progress.bytes_total),
        })
    }
}

/// Pods whose log is being followed.
#[derive(Debug, Clone, Default)]
pub struct Followers(Arc<Mutex<HashSet<String>>>);

impl Followers {
    /// Follows `pod` and writes to the status of `run`, unless a task does so already.
    pub fn follow<K>(&self, pods: Api<Pod>, pod: String, runs: Api<K>, run: String)
    where
        K: ShowsProgress + Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        if !self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pod.clone()) {
            return;
        }
        let own = self.clone();
        tokio::spawn(async move {
            if let Err(error) = copy(&pods, &pod, &runs, &run).await {
                tracing::debug!(pod, error = %longshore_job::chain(&error), "the mover's log ended early");
            }
            own.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&pod);
        });
    }
}

async fn copy<K>(pods: &Api<Pod>, pod: &str, runs: &Api<K>, run: &str) -> Result<(), kube::Error>
where
    K: ShowsProgress + Resource + Clone + Debug + DeserializeOwned,
{
    let parameters = LogParams {
        container: Some(CONTAINER.to_owned()),
        follow: true,
        tail_lines: Some(5),
        ..LogParams::default()
    };
    let mut lines = pods.log_stream(pod, &parameters).await?.lines();
    let mut written: Option<(Instant, Progress)> = None;
    while let Some(line) = lines.try_next().await.map_err(|error| kube::Error::Service(error.into()))? {
        let Some(progress) = (line.len() <= LINE_BYTES_MAX).then(|| ProgressLine::parse(&line)).flatten()
        else {
            continue;
        };
        let due = written.is_none_or(|(when, last)| when.elapsed() >= WRITE_INTERVAL && last != progress);
        if due {
            write(runs, run, &progress).await?;
            written = Some((Instant::now(), progress));
        }
    }
    Ok(())
}

/// Without a resource version: progress is nobody's basis for a decision, and only this task writes it while the mover runs.
async fn write<K>(runs: &Api<K>, run: &str, progress: &Progress) -> Result<(), kube::Error>
where
    K: ShowsProgress + Resource + Clone + Debug + DeserializeOwned,
{
    let patch = serde_json::json!({ "status": { "progress": K::shown(progress) } });
    let parameters = PatchParams {
        field_manager: Some(crate::cluster::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(&patch);
    if K::STATUS_IS_SUBRESOURCE {
        runs.patch_status(run, &parameters, &patch).await.map(|_| ())
    } else {
        runs.patch(run, &parameters, &patch).await.map(|_| ())
    }
}
