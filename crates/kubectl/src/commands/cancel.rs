//! `kubectl longshore cancel`

use longshore_api::{DataDownload, DataUpload, ForgetRequest, VolumeSnapshotBackup, VolumeSnapshotRestore};
use serde::Serialize;
use serde_json::json;

use crate::arguments::{CancelArguments, DryRun, OutputForm};
use crate::cluster::{Session, delete, merge};
use crate::entry::Entry;
use crate::failure::Failure;
use crate::found::{DATA_MOVER, gather, only};
use crate::kind::Kind;
use crate::output;
use crate::run::announcement;

/// How a run is made to end.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Its object is deleted; the operator removes the rest.
    Delete,
    /// Its owner, Velero, reads how it ended, so that it is told and not deleted.
    SetCancel,
    /// There is nothing to end.
    Nothing(String),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    run: &'a Entry,
    cancelled: bool,
    message: String,
}

/// What to do with a run. Pure.
fn decide(entry: &Entry) -> Result<Step, Failure> {
    if entry.kind == Kind::Repository {
        return Err(Failure::usage("a Repository is no run; stop its maintenance with spec.suspend"));
    }
    if entry.over {
        return Ok(Step::Nothing(format!("is {} already; nothing was done", entry.phase)));
    }
    if entry.ending {
        return Ok(Step::Nothing("was told to end before; nothing was done".to_owned()));
    }
    Ok(match entry.kind {
        Kind::DataUpload | Kind::DataDownload => Step::SetCancel,
        _ => Step::Delete,
    })
}

pub async fn run(session: &Session, verb: &CancelArguments) -> Result<(), Failure> {
    let found = gather(session, Some(&session.namespace), DATA_MOVER).await?;
    found.warn();
    let entry = only(&found.entries, &verb.run, &session.namespace)?;
    let step = decide(entry)?;
    if verb.write.dry_run != DryRun::Client {
        take(session, entry, &step, verb.write.dry_run).await?;
    }
    let done = match &step {
        Step::Delete => {
            "cancelled: deleted; its mover and copies go, what is in the repository stays".to_owned()
        }
        Step::SetCancel => "cancelled: told to end; Velero sees it as Canceled".to_owned(),
        Step::Nothing(why) => why.clone(),
    };
    let name = format!("{}/{}", entry.kind.resource(), entry.name);
    match verb.write.output {
        form @ (OutputForm::Json | OutputForm::Yaml) => {
            let cancelled = !matches!(step, Step::Nothing(_)) && verb.write.dry_run == DryRun::None;
            output::document(form, "Cancel", &Document { run: entry, cancelled, message: done })
        }
        _ => output::write(&announcement(verb.write, &name, &done).unwrap_or_default()),
    }
}

async fn take(session: &Session, entry: &Entry, step: &Step, dry_run: DryRun) -> Result<(), Failure> {
    let (name, uid) = (entry.name.as_str(), Some(entry.uid.clone()));
    let cancel = json!({"spec": {"cancel": true}});
    match (step, entry.kind) {
        (Step::Nothing(_), _) | (Step::Delete, Kind::Repository) => Ok(()),
        (Step::SetCancel, Kind::DataUpload) => {
            merge(&session.here::<DataUpload>(), name, &cancel, dry_run).await.map(drop)
        }
        (Step::SetCancel, _) => {
            merge(&session.here::<DataDownload>(), name, &cancel, dry_run).await.map(drop)
        }
        (Step::Delete, Kind::VolumeSnapshotRestore) => {
            delete(&session.here::<VolumeSnapshotRestore>(), name, uid, dry_run).await
        }
        (Step::Delete, Kind::ForgetRequest) => {
            delete(&session.here::<ForgetRequest>(), name, uid, dry_run).await
        }
        (Step::Delete, _) => delete(&session.here::<VolumeSnapshotBackup>(), name, uid, dry_run).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(phase: &str) -> Entry {
        let object: VolumeSnapshotBackup = serde_json::from_value(json!({
            "apiVersion": "datamover.oadp.openshift.io/v1alpha1", "kind": "VolumeSnapshotBackup",
            "metadata": {"name": "a", "namespace": "n"}, "status": {"phase": phase}, "spec": {}}))
        .unwrap();
        Entry::from(&object)
    }

    #[test]
    fn a_run_at_work_is_deleted_and_one_that_is_over_is_left_alone() {
        assert_eq!(decide(&backup("InProgress")).unwrap(), Step::Delete);
        assert_eq!(decide(&backup("")).unwrap(), Step::Delete);
        assert!(
            matches!(decide(&backup("Completed")).unwrap(), Step::Nothing(why) if why.contains("Completed"))
        );
        let leaving = Entry { ending: true, ..backup("InProgress") };
        assert!(matches!(decide(&leaving).unwrap(), Step::Nothing(_)));
    }

    #[test]
    fn veleros_requests_are_told_to_end_and_never_deleted() {
        for kind in [Kind::DataUpload, Kind::DataDownload] {
            assert_eq!(decide(&Entry { kind, ..backup("InProgress") }).unwrap(), Step::SetCancel);
        }
    }

    const RUNS: &str = "/apis/datamover.oadp.openshift.io/v1alpha1/namespaces/shop/volumesnapshotbackups";

    /// What a command line changes in a namespace with one backup at work.
    fn changes(arguments: &[&str]) -> Vec<crate::testing::Asked> {
        use clap::Parser;
        let all = ["kubectl-longshore", "cancel"].iter().chain(arguments);
        let parsed = crate::Arguments::parse_from(all);
        let crate::arguments::Command::Cancel(verb) = parsed.command else { panic!() };
        let run = json!([{"metadata": {"name": "a", "namespace": "shop", "uid": "u-1"}, "spec": {},
            "status": {"phase": "InProgress"}}]);
        const ONE: &str =
            "/apis/datamover.oadp.openshift.io/v1alpha1/namespaces/shop/volumesnapshotbackups/a";
        let gone = json!({"apiVersion": "v1", "kind": "Status", "status": "Success", "metadata": {}});
        let server = crate::testing::Server::new(
            vec![("GET", RUNS, 200, crate::testing::list(run)), ("DELETE", ONE, 200, gone)],
            404,
        );
        crate::testing::block_on(run_on(&server, &verb)).unwrap();
        server.changes()
    }

    async fn run_on(server: &crate::testing::Server, verb: &CancelArguments) -> Result<(), Failure> {
        run(&server.session(), verb).await
    }

    #[test]
    fn the_run_that_was_seen_is_deleted_and_no_successor_of_its_name() {
        let done = changes(&["a"]);
        assert_eq!(done.len(), 1);
        assert_eq!(done[0].what, format!("DELETE {RUNS}/a"));
        assert_eq!(done[0].body["preconditions"]["uid"], "u-1");
        assert!(changes(&["a", "--dry-run=client"]).is_empty());
        assert_eq!(changes(&["a", "--dry-run=server"])[0].body["dryRun"], json!(["All"]));
    }

    #[test]
    fn a_repository_is_no_run() {
        let entry = Entry { kind: Kind::Repository, ..backup("Ready") };
        assert_eq!(decide(&entry).unwrap_err().exit_code(), 2);
    }
}
