//! Laws of [`decide`]: a table of what it may look at, and a small world in which plans are carried out.

use jiff::{SignedDuration, Timestamp};
use longshore_api::{DataMovePhase, DataMoveProgress, DataUpload, DataUploadSpec};
use proptest::prelude::*;

use super::decide::Progress;
use super::*;
use crate::kinds::data_move::{ACCEPTED, DataMoveStatus, Record};
use crate::reason::{OperatorReason, Trouble};

const LIMIT: SignedDuration = SignedDuration::from_mins(30);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn trouble(reason: OperatorReason) -> Trouble {
    Trouble::new(reason, "as it happened")
}

fn blank() -> Seen {
    Seen {
        deleting: false,
        record: Record::default(),
        outside: None,
        cancel: None,
        refused: None,
        source: Source::Unknown,
        run: Run::Absent,
        run_released: true,
        source_left: true,
    }
}

fn accepted() -> Seen {
    let mut seen = blank();
    seen.record = decide(at(0), LIMIT, &seen).record;
    seen
}

fn result() -> Progress {
    Progress {
        bytes: DataMoveProgress { total_bytes: Some(9), bytes_done: Some(9) },
        uploaded: Some(4),
        reference: Some("longshore://c/shop/data/r?mode=Block".into()),
    }
}

fn runs() -> Vec<Run> {
    vec![
        Run::Absent,
        Run::Foreign,
        Run::Leaving,
        Run::Unaccepted(None),
        Run::Queued(None),
        Run::Starting(Some("SecretNotFound: no such Secret".into())),
        Run::Moving(Progress::default(), None),
        Run::Cleaning(result()),
        Run::Completed(result()),
        Run::Failed("WrongKey: no".into()),
    ]
}

#[test]
fn vsm_34_refused_steps_keep_no_upload_from_its_end() {
    let mut begun = accepted();
    begun.source = Source::Ready { protected: false };
    let mut canceled = accepted();
    canceled.cancel = Some("canceled on request".into());
    canceled.run = Run::Moving(Progress::default(), None);
    for (mut seen, end) in [(begun, DataMovePhase::Failed), (canceled, DataMovePhase::Canceled)] {
        for minute in 1..90 {
            let plan = decide(at(minute * 60), LIMIT, &seen);
            let refused = plan.refused(&seen.record, &trouble(OperatorReason::ObjectRefused));
            seen.record = if plan.steps.is_empty() { plan.record } else { refused };
        }
        assert_eq!(seen.record.status.phase(), end, "{seen:?}");
    }
}

/// Every combination of what a decision may look at.
fn table(mut check: impl FnMut(&Seen)) {
    let sources = [
        Source::Unknown,
        Source::NotReady(trouble(OperatorReason::SourceSnapshotNotReady)),
        Source::Ready { protected: false },
        Source::Ready { protected: true },
    ];
    for phase in DataMovePhase::ALL {
        for run in runs() {
            for source in &sources {
                for bits in 0..64_u8 {
                    let mut seen = accepted();
                    seen.record.status.phase = Some(phase.as_str().to_owned());
                    seen.run = run.clone();
                    seen.source = source.clone();
                    seen.deleting = bits & 1 != 0;
                    seen.record.finalizer = bits & 2 != 0;
                    seen.cancel = (bits & 4 != 0).then(|| "canceled on request".to_owned());
                    seen.refused = (bits & 8 != 0).then(|| trouble(OperatorReason::RepositoryNotConfigured));
                    seen.run_released = bits & 16 != 0;
                    seen.source_left = bits & 32 != 0;
                    check(&seen);
                }
            }
        }
    }
}

#[test]
fn vsm_34_a_foreign_mover_is_told_by_its_name_alone() {
    use clap::Parser;
    let options = crate::options::Options::parse_from(["longshore-operator"]);
    let upload = |mover: Option<&str>| {
        let spec = DataUploadSpec { data_mover: mover.map(str::to_owned), ..Default::default() };
        DataUpload::new("u", spec)
    };
    assert!(options.is_ours(upload(Some("longshore")).spec.data_mover.as_deref()));
    for other in [None, Some(""), Some("velero"), Some("other")] {
        assert!(!options.is_ours(upload(other).spec.data_mover.as_deref()));
    }
}

#[test]
fn vsm_34_a_terminal_status_is_absorbing_and_complete_in_one_write() {
    table(|seen| {
        let plan = decide(at(9), LIMIT, seen);
        let (old, new) = (&seen.record.status, &plan.record.status);
        if old.phase().is_terminal() {
            assert_eq!(old, new);
            assert!(plan.steps.iter().all(|step| matches!(step, Step::DeleteRun | Step::DisposeSource)));
            return;
        }
        if new.phase().is_terminal() {
            assert!(new.completion_timestamp.is_some() && new.start_timestamp.is_some(), "{seen:?}");
            assert!(plan.record.finalizer == seen.record.finalizer, "what is left goes first: {seen:?}");
        }
        match new.phase() {
            DataMovePhase::Completed => {
                assert_eq!(new.snapshot_id, result().reference);
                assert_eq!(new.progress, Some(result().bytes));
                assert_eq!(new.message.as_deref().unwrap_or_default(), "");
            }
            DataMovePhase::Failed => assert!(!new.message.clone().unwrap_or_default().is_empty()),
            _ => {}
        }
    });
}

#[test]
fn vsm_34_cancel_in_any_phase_ends_canceled_and_makes_nothing() {
    table(|seen| {
        let plan = decide(at(9), LIMIT, seen);
        if seen.record.status.phase().is_terminal() || seen.cancel.is_none() || !seen.record.finalizer {
            return;
        }
        let makes = |step: &Step| matches!(step, Step::CreateRun | Step::ProtectSource | Step::DisposeSource);
        assert!(!plan.steps.iter().any(makes), "{seen:?}");
        let phase = plan.record.status.phase();
        match seen.run {
            Run::Absent | Run::Foreign => assert_eq!(phase, DataMovePhase::Canceled),
            Run::Leaving => assert_eq!(phase, DataMovePhase::Canceling),
            _ => assert_eq!((phase, plan.steps), (DataMovePhase::Canceling, vec![Step::DeleteRun])),
        }
    });
}

#[test]
fn vsm_34_the_source_goes_only_after_everything_that_reads_it() {
    table(|seen| {
        let plan = decide(at(9), LIMIT, seen);
        if plan.steps.contains(&Step::DisposeSource) {
            assert!(seen.run_released && seen.record.status.phase().is_terminal(), "{seen:?}");
        }
        if seen.record.finalizer && !plan.record.finalizer {
            assert!(seen.run_released && !seen.source_left, "{seen:?}");
        }
        let create = plan.steps.iter().position(|step| *step == Step::CreateRun);
        if let (Some(create), Source::Ready { protected: false }) = (create, &seen.source) {
            assert!(plan.steps[..create].contains(&Step::ProtectSource));
        }
    });
}

#[test]
fn vsm_34_outside_of_protected_namespaces_nothing_that_it_names_is_touched() {
    table(|seen| {
        let mut seen = seen.clone();
        seen.record.finalizer = false;
        seen.outside = Some(trouble(OperatorReason::NamespaceNotProtected));
        let plan = decide(at(9), LIMIT, &seen);
        assert!(plan.steps.is_empty() && !plan.record.finalizer);
        assert!(plan.record.status.phase().is_terminal());
    });
}

#[test]
fn vsm_34_what_keeps_the_mover_from_starting_is_shown_and_fails_it_in_time() {
    let mut seen = accepted();
    seen.run = Run::Starting(Some("SecretNotFound: no such Secret".into()));
    seen.record = decide(at(1), LIMIT, &seen).record;
    assert_eq!(seen.record.status.phase(), DataMovePhase::Prepared);
    assert_eq!(seen.record.status.message.as_deref(), Some("SecretNotFound: no such Secret"));
    let late = decide(at(1) + LIMIT, LIMIT, &seen).record.status;
    assert_eq!(late.phase(), DataMovePhase::Failed);
    let message = late.message.unwrap();
    assert!(message.starts_with("PrepareTimeout") && message.contains("no such Secret"), "{message}");
    seen.run = Run::Queued(None);
    seen.record = decide(at(1) + LIMIT * 9, LIMIT, &seen).record;
    seen.run = Run::Starting(None);
    for (waited, phase) in [(0, DataMovePhase::Prepared), (1, DataMovePhase::Failed)] {
        let plan = decide(at(2) + LIMIT * (9 + waited), LIMIT, &seen);
        assert_eq!(plan.record.status.phase(), phase, "who waits for others is not at fault");
        seen.record = plan.record;
    }
    let mut seen = accepted();
    seen.source = Source::NotReady(trouble(OperatorReason::SourceSnapshotNotReady));
    assert_eq!(decide(at(9), LIMIT, &seen).record.status.phase(), DataMovePhase::Accepted);
    let late = decide(at(0) + LIMIT, LIMIT, &seen).record.status;
    assert!(late.message.unwrap().starts_with("SourceSnapshotNotReady"));
}

#[test]
fn vsm_34_a_run_is_made_in_veleros_namespace_and_goes_with_its_upload() {
    let mut upload = DataUpload::new("b1-x", DataUploadSpec::default());
    upload.metadata.namespace = Some("velero".into());
    upload.metadata.uid = Some("u".into());
    upload.metadata.labels = Some([(longshore_job::VELERO_BACKUP_LABEL.into(), "b1".into())].into());
    let run = act::run_for(&upload, "snapcontent-1", "secret");
    assert_eq!(run.metadata.name.as_deref(), Some("b1-x"));
    assert_eq!(run.metadata.namespace, run.spec.protected_namespace);
    let labels = run.metadata.labels.unwrap();
    assert_eq!(labels[crate::names::DATA_UPLOAD_UID], "u");
    assert_eq!(labels[longshore_job::VELERO_BACKUP_LABEL], "b1", "the point shall say whose it is");
    let owner = &run.metadata.owner_references.unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.uid.as_str(), owner.controller), ("DataUpload", "u", Some(true)));
    assert_eq!(owner.api_version, "velero.io/v2alpha1");
    assert_eq!(run.spec.restic_secret_ref.unwrap().name.as_deref(), Some("secret"));
}

/// A cluster in which every step works at once and a run goes its way, one stage a pass.
struct World {
    seen: Seen,
    now: i64,
    script: Vec<Run>,
    made: usize,
}

impl World {
    fn new(script: Vec<Run>) -> Self {
        let mut seen = blank();
        seen.source = Source::Ready { protected: false };
        Self { seen, now: 0, script, made: 0 }
    }

    /// One pass, in which the operator is killed between the steps and the write if not `written`. True when nothing is left to do.
    fn pass(&mut self, written: bool) -> bool {
        self.now += 1;
        let plan = decide(at(self.now), LIMIT, &self.seen);
        let settled = plan.steps.is_empty() && plan.record == self.seen.record;
        for step in &plan.steps {
            match step {
                Step::ProtectSource => self.seen.source = Source::Ready { protected: true },
                Step::CreateRun => {
                    assert!(self.seen.source_left, "made of what is gone");
                    self.made += 1;
                    self.seen.run = Run::Unaccepted(None);
                    self.seen.run_released = false;
                }
                Step::DeleteRun => {
                    self.seen.run = Run::Absent;
                    self.seen.run_released = true;
                    self.script.clear();
                }
                Step::DisposeSource => self.seen.source_left = false,
            }
        }
        if written {
            self.seen.record = plan.record;
        }
        if self.seen.run != Run::Absent && !self.script.is_empty() {
            self.seen.run = self.script.remove(0);
            self.seen.run_released = matches!(self.seen.run, Run::Completed(_) | Run::Failed(_));
        }
        settled && self.seen.record.status.phase().is_terminal()
    }

    fn settle(&mut self) {
        for _ in 0..4000 {
            if self.pass(true) {
                return;
            }
        }
        panic!("does not settle: {:?}", self.seen);
    }
}

fn whole_way() -> Vec<Run> {
    vec![
        Run::Queued(None),
        Run::Starting(None),
        Run::Moving(Progress::default(), None),
        Run::Cleaning(result()),
        Run::Completed(result()),
    ]
}

#[test]
fn vsm_34_an_upload_goes_its_way_and_leaves_only_its_result() {
    let mut world = World::new(whole_way());
    let mut phases = Vec::new();
    for _ in 0..20 {
        world.pass(true);
        phases.push(world.seen.record.status.phase());
    }
    phases.dedup();
    use DataMovePhase as P;
    assert_eq!(phases, [P::Accepted, P::Prepared, P::InProgress, P::Completed]);
    assert!(!world.seen.record.finalizer && !world.seen.source_left);
    assert!(world.seen.record.notes.time(ACCEPTED).is_some());
    assert_eq!(world.made, 1);
}

proptest! {
    #[test]
    fn vsm_34_killed_between_steps_and_write_it_still_ends(written in proptest::collection::vec(any::<bool>(), 0..40)) {
        let mut world = World::new(whole_way());
        for written in written {
            world.pass(written);
        }
        world.settle();
        prop_assert_eq!(world.seen.record.status.phase(), DataMovePhase::Completed);
        prop_assert_eq!(world.made, 1);
        prop_assert!(!world.seen.record.finalizer && !world.seen.source_left);
    }

    #[test]
    fn vsm_34_canceled_failed_or_lost_at_any_pass_it_ends_and_nothing_stays(passes in 0_usize..14, how in 0_u8..3) {
        let mut world = World::new(whole_way());
        world.pass(true);
        for _ in 0..passes {
            world.pass(true);
        }
        match how {
            0 => world.seen.cancel = Some("canceled on request".into()),
            1 if world.seen.run != Run::Absent => {
                world.script.clear();
                world.seen.run = Run::Failed("WrongKey: no".into());
                world.seen.run_released = true;
            }
            _ => {
                world.script.clear();
                world.seen.run = Run::Absent;
                world.seen.run_released = true;
                world.now += 3_000;
                world.seen.source = Source::NotReady(trouble(OperatorReason::SourceSnapshotNotReady));
            }
        }
        world.settle();
        prop_assert!(world.seen.record.status.phase().is_terminal());
        prop_assert!(!world.seen.record.finalizer && !world.seen.source_left);
    }
}
