//! Which PVCs are Longshore's. Pure.
//!
//! Exactly one tool may act on a PVC. Velero's own CSI action takes every PVC of a CSI driver unless a volume policy says otherwise, so while
//! it is switched on only the policy's action `custom`, which it leaves alone, makes a PVC ours; a label alone would have both of us act.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use crate::item::{Backup, is_marked};
use crate::policy::Action;

/// Parameter of the action `custom` that names whom it is meant for.
const DATA_MOVER: &str = "dataMover";
/// Our name there.
pub const NAME: &str = "longshore";

/// What is done with a PVC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// It is ours.
    Take,
    /// It is not, and nobody will be surprised.
    Leave,
    /// It is not, though somebody may think so.
    LeaveLoudly(&'static str),
}

/// Whether anything at all gives the PVC to Longshore: if not, nothing more need be looked at.
pub fn may_be_ours(backup: &Backup, claim: &PersistentVolumeClaim) -> bool {
    is_labelled(backup, claim) || backup.spec.resource_policy.is_some()
}

fn is_labelled(backup: &Backup, claim: &PersistentVolumeClaim) -> bool {
    is_marked(&backup.metadata) || is_marked(&claim.metadata)
}

/// Whose the PVC is. `volume` is the one it is bound to, `action` that of the volume policy that matches.
pub fn choose(
    backup: &Backup,
    claim: &PersistentVolumeClaim,
    volume: Option<&PersistentVolume>,
    action: Option<&Action>,
    velero_csi: bool,
) -> Choice {
    let labelled = is_labelled(backup, claim);
    let custom = action.is_some_and(|action| action.kind == "custom");
    if backup.spec.snapshot_volumes == Some(false) || !(labelled || custom) {
        return Choice::Leave;
    }
    if let Some(parameters) = action.filter(|_| custom).and_then(|action| action.parameters.as_ref())
        && parameters.get(DATA_MOVER).is_some_and(|other| other != NAME)
    {
        return Choice::Leave;
    }
    let is_bound = claim.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"));
    let Some(volume) = volume.filter(|_| is_bound) else {
        return Choice::LeaveLoudly("the PVC is not bound to a volume");
    };
    if volume.spec.as_ref().is_none_or(|spec| spec.csi.is_none()) {
        return Choice::LeaveLoudly("the volume is not one of a CSI driver");
    }
    match action.map(|action| action.kind.as_str()) {
        Some("custom") => Choice::Take,
        Some("skip") => Choice::Leave,
        Some("fs-backup") => Choice::LeaveLoudly("the volume policy gives it to Velero's file system backup"),
        _ if velero_csi => Choice::LeaveLoudly(
            "Velero's own CSI action is on and would act too: a volume policy with the action custom is needed beside the label",
        ),
        _ => Choice::Take,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn backup(labelled: bool) -> Backup {
        let mut backup = Backup::default();
        if labelled {
            backup.metadata.labels = Some([("longshore.dev/mover".to_owned(), "true".to_owned())].into());
        }
        backup
    }

    fn claim(phase: &str) -> PersistentVolumeClaim {
        serde_json::from_value(json!({"metadata": {}, "spec": {}, "status": {"phase": phase}})).unwrap()
    }

    fn volume(driver: bool) -> PersistentVolume {
        let csi = if driver { json!({"driver": "d", "volumeHandle": "h"}) } else { json!(null) };
        serde_json::from_value(json!({"metadata": {}, "spec": {"csi": csi}})).unwrap()
    }

    fn action(kind: &str, mover: Option<&str>) -> Action {
        let parameters = mover.map(|mover| [("dataMover".to_owned(), json!(mover))].into());
        Action { kind: kind.into(), parameters }
    }

    fn chosen(labelled: bool, action: Option<&Action>, velero_csi: bool) -> Choice {
        choose(&backup(labelled), &claim("Bound"), Some(&volume(true)), action, velero_csi)
    }

    #[test]
    fn vsm_4_only_what_is_given_to_longshore_is_taken() {
        assert_eq!(chosen(false, None, false), Choice::Leave);
        assert_eq!(chosen(true, None, false), Choice::Take);
        let custom = action("custom", None);
        assert_eq!(chosen(false, Some(&custom), true), Choice::Take);
        assert_eq!(chosen(false, Some(&action("custom", Some("longshore"))), true), Choice::Take);
        assert_eq!(chosen(true, Some(&action("custom", Some("other"))), false), Choice::Leave);
        assert_eq!(chosen(true, Some(&action("skip", None)), false), Choice::Leave);
        let mut none = backup(true);
        none.spec.snapshot_volumes = Some(false);
        assert_eq!(choose(&none, &claim("Bound"), Some(&volume(true)), Some(&custom), false), Choice::Leave);
    }

    #[test]
    fn vsm_3_never_both_velero_and_longshore_act_on_one_pvc() {
        for kind in [None, Some("snapshot"), Some("fs-backup"), Some("skip")] {
            let action = kind.map(|kind| action(kind, None));
            assert_ne!(chosen(true, action.as_ref(), true), Choice::Take, "{kind:?}");
        }
        assert!(matches!(chosen(true, None, true), Choice::LeaveLoudly(_)));
        assert!(matches!(chosen(true, Some(&action("fs-backup", None)), false), Choice::LeaveLoudly(_)));
    }

    #[test]
    fn what_cannot_be_snapshotted_is_left_loudly() {
        let backup = backup(true);
        let loud = |choice| matches!(choice, Choice::LeaveLoudly(_));
        assert!(loud(choose(&backup, &claim("Pending"), None, None, false)));
        assert!(loud(choose(&backup, &claim("Bound"), None, None, false)));
        assert!(loud(choose(&backup, &claim("Bound"), Some(&volume(false)), None, false)));
    }
}
