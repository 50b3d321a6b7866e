//! Laws of [`decide`], a small world with a volume in it, and what is written to volumes and PVCs.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use longshore_api::{DataDownload, DataDownloadSpec, DataMovePhase, TargetVolumeSpec};
use longshore_job::{Outcome, RestoreSummary};
use proptest::prelude::*;

use super::decide::Limits;
use super::*;
use crate::children::Child;
use crate::kinds::data_move::{DataMoveStatus, RESTORED, Record, SECRET, VOLUME};
use crate::mover::MoverState;
use crate::reason::{OperatorReason, Trouble};

const LIMITS: Limits =
    Limits { prepare: SignedDuration::from_mins(30), rebind: SignedDuration::from_mins(10) };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn trouble(reason: OperatorReason) -> Trouble {
    Trouble::new(reason, "as it happened")
}

fn missing() -> Target {
    Target::Missing(trouble(OperatorReason::TargetPVCNotFound))
}

fn blank() -> Seen {
    Seen {
        deleting: false,
        record: Record::default(),
        outside: None,
        cancel: None,
        request: Request::Accepted,
        secret: Some("secret".to_owned()),
        has_slot: true,
        target: Target::Waiting { names_volume: false },
        claim: Child::Absent,
        claim_volume: None,
        mover: MoverState::Absent,
        mover_gone: true,
        volume: Volume::None,
        leftovers: Vec::new(),
        blocked: None,
        busy: None,
    }
}

fn good() -> MoverState {
    MoverState::Succeeded(Outcome::Restored(RestoreSummary { bytes_total: 7, ..Default::default() }))
}

/// Every combination of what a decision may look at.
fn table(mut check: impl FnMut(&Seen)) {
    let targets = [
        missing(),
        Target::Unused(trouble(OperatorReason::TargetPVCUnused)),
        Target::Unfit(trouble(OperatorReason::DataMoveInvalid)),
        Target::Waiting { names_volume: false },
        Target::Waiting { names_volume: true },
        Target::Taken,
        Target::Bound,
    ];
    let volumes = [
        Volume::None,
        Volume::Gone,
        Volume::Ours { retained: false },
        Volume::Ours { retained: true },
        Volume::Leaving,
        Volume::Offered,
        Volume::Delivered,
        Volume::Free,
    ];
    let movers = [
        MoverState::Absent,
        MoverState::Leaving,
        MoverState::Starting { trouble: Some(trouble(OperatorReason::SecretNotFound)) },
        MoverState::Running { pod: "p".into() },
        MoverState::Retrying { trouble: trouble(OperatorReason::MoverFailed) },
        good(),
        MoverState::ResultLost,
        MoverState::Failed { trouble: trouble(OperatorReason::MoverFailed), silent_pod: None },
    ];
    let claims = [
        Child::Absent,
        Child::Foreign,
        Child::Leaving,
        Child::Pending { error: None },
        Child::Ready { bytes: None },
    ];
    for phase in DataMovePhase::ALL {
        for target in &targets {
            for volume in volumes {
                for mover in &movers {
                    for claim in &claims {
                        for bits in 0..16_u8 {
                            let mut seen = blank();
                            seen.record.status.phase = Some(phase.as_str().to_owned());
                            if volume != Volume::None {
                                seen.record.notes.set(VOLUME, "pv");
                            }
                            seen.record.finalizer = bits & 1 == 0;
                            seen.cancel = (bits & 2 != 0).then(|| "canceled on request".to_owned());
                            seen.has_slot = bits & 4 != 0;
                            seen.mover_gone = *mover == MoverState::Absent;
                            if bits & 8 != 0 {
                                seen.request = Request::Refused(trouble(OperatorReason::OldResticRepository));
                            }
                            if !matches!(claim, Child::Absent | Child::Foreign) || !seen.mover_gone {
                                seen.leftovers = vec!["something".into()];
                            }
                            seen.target = target.clone();
                            seen.volume = volume;
                            seen.mover = mover.clone();
                            seen.claim = claim.clone();
                            check(&seen);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn vsm_34_a_terminal_download_changes_no_status_and_leaves_no_volume() {
    table(|seen| {
        let plan = decide(at(9), LIMITS, seen);
        let (old, new) = (&seen.record.status, &plan.record.status);
        if old.phase().is_terminal() {
            assert_eq!(old, new);
            if seen.record.finalizer && !plan.record.finalizer {
                assert!(seen.leftovers.is_empty(), "{seen:?}");
                assert!(matches!(seen.volume, Volume::None | Volume::Gone | Volume::Free), "{seen:?}");
            }
        } else if new.phase().is_terminal() {
            assert!(new.completion_timestamp.is_some() && new.start_timestamp.is_some());
            assert_eq!(plan.record.finalizer, seen.record.finalizer);
            let told = !new.message.clone().unwrap_or_default().is_empty();
            assert_eq!(told, new.phase() != DataMovePhase::Completed, "{seen:?}");
        }
        if new.phase() == DataMovePhase::Completed && !old.phase().is_terminal() {
            assert!(seen.target == Target::Bound && seen.volume == Volume::Free, "{seen:?}");
        }
    });
}

#[test]
fn vsm_34_cancel_in_any_phase_makes_nothing_and_never_takes_the_applications_volume() {
    table(|seen| {
        let plan = decide(at(9), LIMITS, seen);
        let bound = seen.target == Target::Bound && matches!(seen.volume, Volume::Delivered | Volume::Free);
        if bound {
            assert!(!plan.steps.contains(&Step::RemoveVolume), "{seen:?}");
        }
        if seen.record.status.phase().is_terminal()
            || seen.cancel.is_none()
            || !seen.record.finalizer
            || bound
        {
            return;
        }
        assert!(matches!(plan.record.status.phase(), DataMovePhase::Canceling | DataMovePhase::Canceled));
        let makes = |step: &Step| {
            use Step as S;
            matches!(step, S::CreateClaim | S::CreateJob | S::RetainVolume | S::OfferVolume | S::TouchTarget)
        };
        assert!(!plan.steps.iter().any(makes), "{seen:?}");
    });
}

#[test]
fn vsm_34_no_step_of_the_rebind_comes_before_its_turn() {
    table(|seen| {
        for step in decide(at(9), LIMITS, seen).steps {
            let kept = !matches!(seen.volume, Volume::None | Volume::Ours { retained: false });
            match step {
                Step::DeleteClaim => assert!(kept && seen.mover_gone, "{seen:?}"),
                Step::OfferVolume => {
                    assert!(kept && seen.mover_gone, "{seen:?}");
                    assert!(!matches!(seen.target, Target::Missing(_) | Target::Taken), "{seen:?}");
                    assert!(matches!(seen.claim, Child::Absent | Child::Foreign), "{seen:?}");
                }
                Step::TouchTarget => {
                    assert_eq!(seen.volume, Volume::Offered, "the volume names its PVC first")
                }
                Step::FinishVolume => assert_eq!(seen.volume, Volume::Delivered),
                _ => {}
            }
        }
    });
}

#[test]
fn vsm_34_waiting_for_the_pvc_ends_in_failure_with_the_cause() {
    for (target, reason) in [
        (missing(), "TargetPVCNotFound"),
        (Target::Unused(trouble(OperatorReason::TargetPVCUnused)), "TargetPVCUnused"),
    ] {
        let mut seen = blank();
        seen.target = target;
        seen.record = decide(at(0), LIMITS, &seen).record;
        assert_eq!(decide(at(9), LIMITS, &seen).record.status.phase(), DataMovePhase::Accepted);
        let late = decide(at(0) + LIMITS.prepare, LIMITS, &seen).record.status;
        assert_eq!(late.phase(), DataMovePhase::Failed);
        assert!(late.message.unwrap().starts_with(reason));
    }
    let mut seen = blank();
    seen.record = decide(at(0), LIMITS, &seen).record;
    seen.target = Target::Taken;
    assert!(decide(at(1), LIMITS, &seen).record.status.message.unwrap().starts_with("TargetPVCBound"));
}

#[test]
fn vsm_34_a_mover_that_waits_for_others_has_its_time_afterwards() {
    let mut seen = blank();
    for second in 0..3 {
        seen.record = decide(at(second), LIMITS, &seen).record;
    }
    assert_eq!(seen.record.status.phase(), DataMovePhase::InProgress);
    assert_eq!(seen.record.notes.text(SECRET), Some("secret"));
    seen.claim = Child::Pending { error: None };
    let starting = |trouble| MoverState::Starting { trouble };
    for (limits, mover, phase) in [
        (0, starting(None), DataMovePhase::InProgress),
        (9, starting(Some(trouble(OperatorReason::MoverWaitsForNode))), DataMovePhase::InProgress),
        (10, starting(None), DataMovePhase::InProgress),
        (11, starting(None), DataMovePhase::Failed),
    ] {
        seen.mover = mover;
        seen.record = decide(at(9) + LIMITS.prepare * limits, LIMITS, &seen).record;
        assert_eq!(seen.record.status.phase(), phase, "{limits}");
    }
}

#[test]
fn a_repository_that_is_maintained_on_its_volume_keeps_the_mover_waiting_and_costs_no_time() {
    let mut seen = blank();
    for second in 0..3 {
        seen.record = decide(at(second), LIMITS, &seen).record;
    }
    seen.claim = Child::Pending { error: None };
    seen.busy = Some(trouble(OperatorReason::RepositoryInMaintenance));
    let waits = decide(at(9) + LIMITS.prepare * 9, LIMITS, &seen);
    assert_eq!((waits.record.status.phase(), waits.steps.len()), (DataMovePhase::InProgress, 0));
    assert!(waits.record.status.message.unwrap().starts_with("RepositoryInMaintenance"));
    seen.busy = None;
    assert!(decide(at(9), LIMITS, &seen).steps.contains(&Step::CreateJob));
}

#[test]
fn vsm_34_refused_steps_keep_no_download_from_its_end() {
    let mut started = blank();
    for second in 0..3 {
        started.record = decide(at(second), LIMITS, &started).record;
    }
    let mut canceled = started.clone();
    canceled.cancel = Some("canceled on request".into());
    canceled.leftovers = vec!["Job j".into()];
    let mut delivered = started.clone();
    delivered.record.notes.set(VOLUME, "pv");
    delivered.record.notes.set_time(RESTORED, at(3));
    (delivered.target, delivered.volume) = (Target::Bound, Volume::Delivered);
    let mut restored = delivered.clone();
    (restored.target, restored.volume) =
        (Target::Waiting { names_volume: false }, Volume::Ours { retained: false });
    for (mut seen, end) in [
        (started, DataMovePhase::Failed),
        (canceled, DataMovePhase::Canceled),
        (delivered, DataMovePhase::Completed),
        (restored, DataMovePhase::Failed),
    ] {
        for minute in 1..90 {
            let plan = decide(at(minute * 60), LIMITS, &seen);
            let refused = plan.refused(&seen.record, &trouble(OperatorReason::ObjectRefused));
            seen.record = if plan.steps.is_empty() { plan.record } else { refused };
        }
        assert_eq!(seen.record.status.phase(), end, "{seen:?}");
    }
}

/// A cluster in which every step works at once.
struct World {
    seen: Seen,
    now: i64,
    order: Vec<Step>,
    script: Vec<MoverState>,
    /// The cluster's binder works.
    binds: bool,
}

impl World {
    fn new() -> Self {
        let script = vec![MoverState::Running { pod: "p".into() }, good()];
        Self { seen: blank(), now: 0, order: Vec::new(), script, binds: true }
    }

    fn pass(&mut self, written: bool) -> bool {
        self.now += 1;
        let plan = decide(at(self.now), LIMITS, &self.seen);
        let settled = plan.steps.is_empty() && plan.record == self.seen.record;
        for step in &plan.steps {
            self.carry_out(*step);
        }
        if written {
            self.seen.record = plan.record;
        }
        if self.seen.record.notes.text(VOLUME).is_some() && self.seen.volume == Volume::None {
            self.seen.volume = Volume::Ours { retained: false };
        }
        if !self.seen.mover_gone && !self.script.is_empty() {
            self.seen.mover = self.script.remove(0);
        }
        let claim = self.seen.claim != Child::Absent;
        self.seen.leftovers = if claim || !self.seen.mover_gone { vec!["some".into()] } else { Vec::new() };
        settled && self.seen.record.status.phase().is_terminal()
    }

    fn carry_out(&mut self, step: Step) {
        let seen = &mut self.seen;
        let kept = seen.volume == (Volume::Ours { retained: true });
        match step {
            Step::CreateClaim => {
                seen.claim = Child::Ready { bytes: None };
                seen.claim_volume = Some("pv".into());
            }
            Step::CreateJob => {
                seen.mover = MoverState::Starting { trouble: None };
                seen.mover_gone = false;
            }
            Step::FollowProgress => {}
            Step::DeleteMover => {
                seen.mover = MoverState::Absent;
                seen.mover_gone = true;
            }
            Step::RetainVolume => seen.volume = Volume::Ours { retained: true },
            Step::DeleteClaim => {
                assert!(kept, "the volume would go with its PVC");
                seen.claim = Child::Absent;
            }
            Step::OfferVolume => seen.volume = Volume::Offered,
            Step::TouchTarget if self.binds => {
                seen.target = Target::Bound;
                seen.volume = Volume::Delivered;
            }
            Step::TouchTarget => seen.target = Target::Waiting { names_volume: true },
            Step::FinishVolume => seen.volume = Volume::Free,
            Step::RemoveVolume => {
                assert!(seen.claim == Child::Absent && seen.target != Target::Bound);
                seen.volume = Volume::Gone;
            }
            Step::Dismantle => {
                if seen.claim != Child::Absent && matches!(seen.volume, Volume::Ours { .. }) {
                    seen.volume = Volume::Gone;
                }
                seen.claim = Child::Absent;
                seen.mover = MoverState::Absent;
                seen.mover_gone = true;
            }
        }
        self.order.push(step);
    }

    fn settle(&mut self) {
        // A pass a second, so that the longest wait ends.
        for _ in 0..4000 {
            if self.pass(true) {
                return;
            }
        }
        panic!("does not settle: {:?}", self.seen);
    }
}

#[test]
fn vsm_34_the_volume_goes_to_the_pvc_in_order() {
    let mut world = World::new();
    world.settle();
    assert_eq!(world.seen.record.status.phase(), DataMovePhase::Completed);
    assert_eq!(world.seen.record.status.progress.clone().unwrap().bytes_done, Some(7));
    world.order.retain(|step| *step != Step::FollowProgress);
    use Step as S;
    let order = [
        S::CreateClaim,
        S::CreateJob,
        S::RetainVolume,
        S::DeleteMover,
        S::DeleteClaim,
        S::OfferVolume,
        S::TouchTarget,
        S::FinishVolume,
    ];
    assert_eq!(world.order, order);
    assert!(!world.seen.record.finalizer);
}

#[test]
fn vsm_34_a_volume_that_is_never_bound_is_removed_and_the_download_fails() {
    let mut world = World::new();
    world.binds = false;
    world.settle();
    assert_eq!(world.seen.record.status.phase(), DataMovePhase::Failed);
    assert!(world.seen.record.status.message.clone().unwrap().starts_with("RebindFailed"));
    assert_eq!(world.seen.volume, Volume::Gone);
    assert_eq!(world.order.iter().filter(|step| **step == Step::RemoveVolume).count(), 1);
}

#[test]
fn vsm_34_a_lost_result_is_asked_for_again_but_not_for_ever() {
    let mut world = World::new();
    world.script = vec![MoverState::ResultLost; 50];
    world.settle();
    assert_eq!(world.seen.record.status.phase(), DataMovePhase::Failed);
    assert!(world.seen.record.status.message.clone().unwrap().starts_with("MoverResultLost"));
}

proptest! {
    #[test]
    fn vsm_34_killed_between_steps_and_write_it_still_completes(written in proptest::collection::vec(any::<bool>(), 0..40)) {
        let mut world = World::new();
        for written in written {
            world.pass(written);
        }
        world.settle();
        prop_assert_eq!(world.seen.record.status.phase(), DataMovePhase::Completed);
        let target_made = world.order.iter().filter(|step| **step == Step::CreateClaim).count();
        prop_assert_eq!(target_made, 1);
    }

    #[test]
    fn vsm_34_whatever_happens_at_any_pass_it_ends_and_no_volume_is_left(passes in 0_usize..20, how in 0_u8..4) {
        let mut world = World::new();
        world.pass(true);
        for _ in 0..passes {
            world.pass(true);
        }
        let bound = world.seen.target == Target::Bound;
        match how {
            0 => world.seen.cancel = Some("canceled on request".into()),
            1 if !bound => world.seen.target = missing(),
            2 if !bound => world.seen.target = Target::Taken,
            _ if !world.seen.mover_gone => {
                world.script.clear();
                let trouble = trouble(OperatorReason::MoverFailed);
                world.seen.mover = MoverState::Failed { trouble, silent_pod: None };
            }
            _ => {}
        }
        world.settle();
        prop_assert!(world.seen.record.status.phase().is_terminal());
        prop_assert!(!world.seen.record.finalizer && world.seen.leftovers.is_empty());
        let free = matches!(world.seen.volume, Volume::None | Volume::Gone | Volume::Free);
        prop_assert!(free, "{:?}", world.seen);
        prop_assert_eq!(world.seen.volume == Volume::Free, world.seen.target == Target::Bound);
    }
}

fn download(snapshot_id: &str, source: &str, target: &str) -> DataDownload {
    let spec = DataDownloadSpec {
        target_volume: Some(TargetVolumeSpec { pvc: Some("data".into()), namespace: Some(target.into()) }),
        snapshot_id: Some(snapshot_id.into()),
        source_namespace: Some(source.into()),
        ..Default::default()
    };
    let mut download = DataDownload::new("r1-x", spec);
    download.metadata.namespace = Some("velero".into());
    download.metadata.uid = Some("6f9619ff-8b86-4d01-b42d-00cf4fc964ff".into());
    download
}

#[test]
fn vsm_34_only_the_point_that_veleros_restore_maps_may_be_restored() {
    const POINT: &str = "longshore://c/shop/data/run?mode=Block";
    let reason = |id: &str, source: &str, target: &str| {
        observe::read(&download(id, source, target))
            .map_or_else(|trouble| trouble.reason.as_str(), |_| "fine")
    };
    assert_eq!(reason(POINT, "shop", "shop"), "fine");
    assert_eq!(reason(POINT, "shop", "shop-copy"), "fine");
    assert_eq!(reason(POINT, "other", "thief"), "NamespaceNotAllowed");
    assert_eq!(reason("s3:host/bucket", "shop", "shop"), "OldResticRepository");
    assert_eq!(reason("k0123", "shop", "shop"), "RepositoryReferenceInvalid");
    assert_eq!(reason("", "shop", "shop"), "RepositoryReferenceInvalid");
    assert_eq!(reason(POINT, "shop", ""), "DataMoveInvalid");
}

fn target() -> PersistentVolumeClaim {
    serde_json::from_value(serde_json::json!({
        "metadata": {
            "namespace": "shop", "name": "data", "labels": {"app": "shop"},
            "annotations": {
                "note": "mine", "volume.kubernetes.io/selected-node": "n1",
                "pv.kubernetes.io/bind-completed": "yes", "volume.beta.kubernetes.io/storage-provisioner": "x",
            },
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "volumeMode": "Block",
            "resources": {"requests": {"storage": "3Gi"}},
            "selector": {"matchLabels": {"velero.io/dynamic-pv-restore": "shop.data.x1", "app": "other"}},
            "dataSource": {"kind": "VolumeSnapshot", "name": "s"},
        },
    }))
    .unwrap()
}

#[test]
fn vsm_34_our_pvc_asks_for_what_the_applications_asks_for_and_nothing_that_blocks_it() {
    let run = run_id(&download("", "", "shop"));
    let claim = act::restore_claim(&run, &target());
    assert_eq!(claim.metadata.namespace.as_deref(), Some("velero"));
    assert!(crate::names::belongs_to(&claim.metadata, &run.uid));
    assert_eq!(claim.metadata.labels.as_ref().unwrap()["app"], "shop");
    let annotations = claim.metadata.annotations.unwrap();
    let keys: Vec<&str> = annotations.keys().map(String::as_str).collect();
    assert_eq!(keys, ["longshore.dev/run", "note", "volume.kubernetes.io/selected-node"]);
    let (spec, wanted) = (claim.spec.unwrap(), target().spec.unwrap());
    assert!(spec.selector.is_none() && spec.data_source.is_none() && spec.volume_name.is_none());
    assert_eq!(spec.resources, wanted.resources);
    assert_eq!(
        (spec.access_modes, spec.storage_class_name),
        (wanted.access_modes, wanted.storage_class_name)
    );
    assert_eq!(spec.volume_mode, wanted.volume_mode);
}

#[test]
fn vsm_34_what_is_written_to_the_volume_binds_it_to_one_pvc_and_frees_it_from_one_that_is_gone() {
    let run = run_id(&download("", "", "shop"));
    let volume: PersistentVolume = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "pv", "labels": {"app": "kept"}, "annotations": {"longshore.dev/restore-claim-uid": "old"}},
        "spec": {"claimRef": {"namespace": "shop", "name": "data"}, "persistentVolumeReclaimPolicy": "Retain"},
    }))
    .unwrap();
    let offered = volume::offer(&volume, &target());
    assert_eq!(
        offered["metadata"]["labels"],
        serde_json::json!({"velero.io/dynamic-pv-restore": "shop.data.x1"}),
        "labels of the volume's own stay"
    );
    let reference = &offered["spec"]["claimRef"];
    assert_eq!((&reference["namespace"], &reference["name"]), (&"shop".into(), &"data".into()));
    assert!(reference["uid"].is_null() && reference.get("uid").is_some(), "the old PVC's UID must go");
    let removal = volume::removal(&run, &volume);
    assert_eq!(removal["spec"]["persistentVolumeReclaimPolicy"], "Delete");
    assert_eq!(removal["spec"]["claimRef"]["uid"], "old", "released, not merely available");
    assert_eq!(removal["spec"]["claimRef"]["name"], run.child_name());
}

#[test]
fn vsm_34_where_a_volume_stands_is_read_from_the_volume() {
    let run = run_id(&download("", "", "shop"));
    let child = run.child_name();
    let volume = |marked: bool, policy: &str, namespace: &str, name: &str| -> PersistentVolume {
        let labels = if marked { run.volume_labels() } else { Default::default() };
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "pv", "labels": labels},
            "spec": {"claimRef": {"namespace": namespace, "name": name}, "persistentVolumeReclaimPolicy": policy},
        }))
        .unwrap()
    };
    let state = |volume: &PersistentVolume, bound, gone| {
        volume::state(Some(volume), &run, ("shop", "data"), bound, gone)
    };
    assert_eq!(volume::state(None, &run, ("shop", "data"), false, true), Volume::Gone);
    let fresh = volume(false, "Delete", "velero", &child);
    assert_eq!(state(&fresh, false, false), Volume::Ours { retained: false });
    assert_eq!(state(&fresh, false, true), Volume::Leaving);
    assert_eq!(
        state(&volume(false, "Retain", "velero", &child), false, false),
        Volume::Ours { retained: false }
    );
    assert_eq!(
        state(&volume(true, "Retain", "velero", &child), false, true),
        Volume::Ours { retained: true }
    );
    assert_eq!(state(&volume(true, "Delete", "velero", &child), false, true), Volume::Leaving);
    assert_eq!(state(&volume(true, "Retain", "shop", "data"), false, true), Volume::Offered);
    assert_eq!(state(&volume(true, "Retain", "shop", "data"), true, true), Volume::Delivered);
    assert_eq!(state(&volume(false, "Delete", "shop", "data"), true, true), Volume::Free);
    assert_eq!(state(&volume(true, "Retain", "other", "data"), false, true), Volume::Free);
}
