//! What the commands that start runs share: names, announcements, the wait for the end.

use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::arguments::{DryRun, OutputForm, WriteArguments};
use crate::cluster::{Session, create};
use crate::entry::Entry;
use crate::failure::Failure;
use crate::output;
use crate::wait::{Watched, until};

/// Longest part of a PVC's name in the name of a run: objects of that name need room for the time.
const STEM_MAX: usize = 200;

/// Name of a run that got none: the PVC's, and the second. Two of one PVC in one second are a mistake, and the API server refuses the second.
pub fn name_for(claim: &str, now: Timestamp) -> String {
    let stem: String = claim.chars().take(STEM_MAX).collect();
    format!("{stem}-{}", now.strftime("%Y%m%d-%H%M%S"))
}

/// A kind of run.
pub trait Run:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Watched
    + 'static
{
    /// What `status` says of it.
    fn entry(&self) -> Entry;
}

impl Run for longshore_api::VolumeSnapshotBackup {
    fn entry(&self) -> Entry {
        self.into()
    }
}

impl Run for longshore_api::VolumeSnapshotRestore {
    fn entry(&self) -> Entry {
        self.into()
    }
}

/// `kind.group/name`, as kubectl prints names.
fn full_name<K: Resource<DynamicType = ()>>(object: &K) -> String {
    let group = K::group(&());
    let dot = if group.is_empty() { "" } else { "." };
    format!("{}{dot}{group}/{}", K::kind(&()).to_lowercase(), object.name_any())
}

/// The line that says what became of an object, or only its name.
pub fn announcement(write: WriteArguments, full_name: &str, done: &str) -> Option<String> {
    let note = match write.dry_run {
        DryRun::None => "",
        DryRun::Client => " (dry run)",
        DryRun::Server => " (server dry run)",
    };
    match write.output {
        OutputForm::Table | OutputForm::Wide => Some(format!("{full_name} {done}{note}\n")),
        OutputForm::Name => Some(format!("{full_name}\n")),
        OutputForm::Json | OutputForm::Yaml => None,
    }
}

/// Says what became of an object, in the form that was asked for; documents come at the end of the command.
pub fn announce<K: Resource<DynamicType = ()>>(
    write: WriteArguments,
    object: &K,
    done: &str,
) -> Result<(), Failure> {
    match announcement(write, &full_name(object), done) {
        Some(line) => output::write(&line),
        None => Ok(()),
    }
}

/// Creates an object as far as `--dry-run` allows it.
pub async fn make<K>(session: &Session, write: WriteArguments, object: K) -> Result<K, Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    if write.dry_run == DryRun::Client {
        return Ok(object);
    }
    create(&session.here::<K>(), &object, write.dry_run).await
}

/// An object as a document.
pub fn value<K: Serialize>(object: &K) -> Result<Value, Failure> {
    serde_json::to_value(object)
        .map_err(|error| Failure::Terminal { action: "write the document", source: error.into() })
}

/// Waits for the end of a run; the end without a result is a failure.
pub async fn end_of<K: Run>(api: &Api<K>, name: &str, limit: Option<Duration>) -> Result<K, Failure> {
    let what = format!("the end of {} {name}", K::kind(&()));
    let over = until(api, name, &what, limit, |run: &K| run.entry().over).await?;
    judge(&over.entry()).map(|()| over)
}

/// Whether a run that is over has its result. Pure.
pub fn judge(entry: &Entry) -> Result<(), Failure> {
    if !entry.failed() {
        return Ok(());
    }
    Err(Failure::RunFailed {
        run: entry.title(),
        phase: entry.phase.clone(),
        reason: entry.reason.clone().unwrap_or_else(|| "Unknown".to_owned()),
        message: entry.message.clone().unwrap_or_else(|| "its conditions say nothing".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use longshore_api::VolumeSnapshotBackup;

    use super::*;

    #[test]
    fn a_name_is_made_of_the_pvc_and_the_second() {
        let now: Timestamp = "2026-11-26T08:49:53.7Z".parse().unwrap();
        assert_eq!(name_for("data", now), "data-20261126-084953");
        assert!(name_for(&"x".repeat(253), now).len() <= 253);
    }

    #[test]
    fn announcements_are_kubectls() {
        let write = |output, dry_run| WriteArguments { output, dry_run };
        let mut backup = VolumeSnapshotBackup::default();
        backup.metadata.name = Some("data-1".into());
        let name = full_name(&backup);
        assert_eq!(name, "volumesnapshotbackup.datamover.oadp.openshift.io/data-1");
        let say = |output, dry_run| announcement(write(output, dry_run), &name, "created");
        assert_eq!(say(OutputForm::Table, DryRun::None), Some(format!("{name} created\n")));
        assert_eq!(say(OutputForm::Table, DryRun::Client), Some(format!("{name} created (dry run)\n")));
        assert_eq!(say(OutputForm::Wide, DryRun::Server), Some(format!("{name} created (server dry run)\n")));
        assert_eq!(say(OutputForm::Name, DryRun::None), Some(format!("{name}\n")));
        assert_eq!(say(OutputForm::Json, DryRun::None), None);
    }

    #[test]
    fn only_completed_is_a_good_end() {
        let ended = |phase: &str| {
            let backup = VolumeSnapshotBackup {
                status: Some(longshore_api::VolumeSnapshotBackupStatus {
                    phase: Some(phase.into()),
                    ..Default::default()
                }),
                ..Default::default()
            };
            judge(&backup.entry()).map_err(|failure| failure.exit_code())
        };
        assert_eq!(ended("Completed"), Ok(()));
        assert_eq!(ended("Failed"), Err(1));
        assert_eq!(ended("PartiallyFailed"), Err(1));
    }
}
