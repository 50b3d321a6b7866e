//! Why a run waits or failed: the operator's part of the closed list, with what each word means. The mover's part is in `longshore-job`.

macro_rules! reasons {
    ($($(#[$meta:meta])* $name:ident => ($what:literal, $why:literal, $advice:literal),)*) => {
        /// A cause that the operator itself found. Part of the user interface: conditions, events, metrics and the runbook use these words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum OperatorReason {
            $(#[doc = $what] $name,)*
        }

        impl OperatorReason {
            /// Every reason, for documents and tests.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The CamelCase word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// What happened.
            pub fn what(self) -> &'static str {
                match self { $(Self::$name => $what),* }
            }

            /// Why that happens.
            pub fn why(self) -> &'static str {
                match self { $(Self::$name => $why),* }
            }

            /// What to do about it.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice),* }
            }
        }
    };
}

reasons! {
    VolumeSnapshotContentNotNamed => ("The backup names no VolumeSnapshotContent.", "spec.volumeSnapshotContent.name is empty.", "Name the content that the VolumeSnapshot is bound to."),
    ProtectedNamespaceNotNamed => ("The run names no protected namespace.", "spec.protectedNamespace is empty.", "Name the namespace that holds the repository's Secret."),
    RepositoryReferenceMissing => ("The run names no restore point.", "spec.volumeSnapshotMoverBackupRef.resticrepository of a restore, or spec.reference of a ForgetRequest, is empty.", "Copy status.resticrepository of the backup, or make a reference from `longshore snapshots`."),
    SourceSizeInvalid => ("The restore does not say how large the volume is.", "spec.volumeSnapshotMoverBackupRef.sourcePVCData.size is empty or no quantity.", "Copy status.sourcePVCData of the backup."),
    TargetPVCInvalid => ("The PVC that the restore shall make is not described well.", "spec.targetPVC lacks a name, or its size is no quantity.", "Mend the field that the message names."),
    SnapshotTTLInvalid => ("The time for which the restored snapshot is kept cannot be read.", "spec.snapshotTTL is no duration above zero.", "Write a duration such as 24h."),
    NamespaceNotProtected => ("The protected namespace is not one of those that the administrator allowed.", "Only namespaces on the operator's list may hold movers and Secrets.", "Use an allowed namespace, or add this one to the chart value protectedNamespaces."),
    ProtectedNamespaceUnavailable => ("The protected namespace does not exist or is being deleted.", "Objects cannot be created in it.", "Create the namespace."),
    VolumeSnapshotContentNotFound => ("There is no VolumeSnapshotContent of that name.", "It was deleted, or the name is wrong.", "Take a new VolumeSnapshot and name its content."),
    VolumeSnapshotContentNotReady => ("The VolumeSnapshotContent is not ready to use.", "The storage is still taking the snapshot, or failed to.", "Look at the VolumeSnapshotContent's status and at the CSI driver's log."),
    SnapshotOfOtherNamespace => ("The snapshot belongs to another namespace.", "A namespace may back up its own volumes only.", "Create the run in the namespace of the VolumeSnapshot."),
    SourcePVCNotFound => ("The PVC that the snapshot was taken of is not there.", "The VolumeSnapshot or the PVC was deleted before the run was accepted, or the snapshot was imported.", "Take a new VolumeSnapshot of a PVC that exists."),
    StorageClassNotFound => ("The StorageClass of the volume does not exist.", "A copy of the volume cannot be made without its class.", "Create the StorageClass, or name another."),
    StorageClassOptionsInvalid => ("The ConfigMap with options for the volume's StorageClass says what cannot be.", "A key of the ConfigMap `<class>-config` in the protected namespace has an impossible value.", "Mend the key that the message names, and start the run again."),
    VolumeSnapshotClassNotFound => ("No VolumeSnapshotClass fits.", "The named class does not exist, or the volume's driver has none or several.", "Create a VolumeSnapshotClass for the driver, or name one."),
    RepositoryReferenceInvalid => ("The reference of the restore point cannot be read.", "The text is not one that a backup's status holds, or a ForgetRequest's names no single run.", "Copy status.resticrepository of the backup, or make a reference from `longshore snapshots`."),
    OldResticRepository => ("The reference names a restic repository of an older data mover.", "Longshore reads its own repositories only.", "Restore it with `restic restore latest --host volsync --path /data` into a new volume, and back that up again."),
    TargetPVCExists => ("A PVC with the target's name exists and was not made by this run.", "A PVC that others made is never touched.", "Choose another name, or delete the PVC."),
    NameTaken => ("An object with the name of a temporary object exists and is not of this run.", "Somebody made it, or two runs share the beginning of their UID.", "Delete the object that the message names, or create the run again."),
    SnapshotNotReady => ("A temporary snapshot object does not get ready.", "The snapshot controller or the CSI driver did not finish.", "Look at the snapshot controller's and the CSI driver's log; the message has the last error."),
    PVCNotBound => ("The temporary volume is not there.", "The storage has not provisioned it, for want of space or for an error.", "Look at the events of the PVC; the message has the last one."),
    QuotaExceeded => ("A ResourceQuota of the namespace forbids an object that the run needs.", "The quota is used up.", "Raise the quota or lower the number of concurrent runs."),
    MissingPermission => ("The operator may not do what the run needs.", "Its roles lack a rule.", "Apply the roles of the chart; docs/oadp.md says which rules OADP's roles lack."),
    PodRefused => ("The cluster refuses the mover's pod.", "An admission rule, most often Pod Security, forbids it.", "Label the protected namespace as the documentation of security says."),
    ObjectRefused => ("The API server refuses an object that the run needs.", "A field's value, most often taken from the run, is not valid.", "Mend the field that the message names."),
    SecretNotFound => ("The Secret with the repository's address and credentials is not in the protected namespace.", "It was not created, or its name is wrong.", "Create the Secret; the mover starts by itself."),
    MoverPodUnschedulable => ("No node takes the mover's pod.", "Memory, CPU, taints or the volume's topology.", "Look at the pod's events; the message has the last one."),
    MoverWaitsForNode => ("Every node that could take the mover has as many movers as allowed.", "The flag --concurrent-per-node limits them.", "Nothing: the mover starts when another one ends."),
    ImagePullFailed => ("The mover's image cannot be pulled.", "Its name is wrong, or the registry refuses.", "Check the operator's flag --image and the pull secrets of the mover's ServiceAccount."),
    MoverPodNotStarted => ("The mover's pod does not start.", "The kubelet cannot mount the volume or make the container.", "Look at the pod's events; the message has the last one."),
    MoverOOMKilled => ("The mover was killed for using too much memory.", "The limit is below what it needs.", "Raise the operator's flag --mover-memory."),
    MoverEvicted => ("The mover's pod was evicted, and so were its successors.", "The node ran short of a resource, or was drained.", "Look at the node's conditions."),
    MoverFailed => ("The mover ended without saying why.", "It was killed, or crashed.", "Look at the last lines of its log in the message."),
    MoverResultLost => ("The mover's pod was gone before its result was read, several times.", "Nodes went away, or something deletes the pods.", "Look for what deletes pods in the protected namespace."),
    DeadlineExceeded => ("The mover did not end in time.", "The deadline of --mover-deadline is shorter than the work.", "Raise or remove the deadline."),
    AmbiguousRestore => ("Another restore of another point has the same labels velero.io/restore-name and velero.io/persistent-volume-claim-name.", "The backup tool's plugin finds a restore by these labels alone, in all namespaces, and would give one PVC the other's data.", "Delete both, and restore PVCs of the same name one after another, or without those labels and with spec.targetPVC."),
    VeleroGaveUp => ("The Velero Backup or Restore that asked for the run has failed or is gone.", "Velero's own time limit passed, it was restarted, or somebody deleted the object; nobody would use what the run makes.", "Look at the Velero object's status and raise its itemOperationTimeout; a run made by hand must not carry the label of a failed one."),
    NamespaceNotAllowed => ("The requesting namespace may not restore this point.", "A namespace gets its own points, what a Velero Restore at work in the protected namespace maps to it, or what an administrator allowed.", "Restore in the point's namespace, or let an administrator add --allow-restore source=target."),
    CleanupDelayed => ("Temporary objects are still there although they were deleted.", "The storage or a finalizer holds them.", "Look at the objects that the message names; the operator goes on deleting."),
    RestoreSizeMismatch => ("The restored snapshot asks for a larger volume than the source had.", "The storage rounds sizes differently now.", "Restore with spec.targetPVC, which asks for enough."),
    RepositoryNotConfigured => ("No Repository, or more than one, says where the restore point is or belongs.", "No Repository of the namespace is named so or lists the storage location, several list it, or it names no Secret.", "Create or mend the Repository that the message names; a ForgetRequest goes on by itself, Velero's requests are made anew."),
    BackupNotOver => ("The backup that makes the restore point is still at work.", "What it has not committed yet cannot be forgotten, and it would commit afterwards.", "Nothing: the point is forgotten when the backup is over. Delete the VolumeSnapshotBackup to stop it."),
    RepositoryInMaintenance => ("The repository is on a volume and is being maintained.", "Maintenance of such a repository must be alone.", "Nothing: the work begins when maintenance is over."),
    ScheduleInvalid => ("The schedule of a Repository's maintenance cannot be read.", "spec.maintenance.schedule is no cron expression of five fields, or one that never comes.", "Write an expression such as `17 3 * * *`."),
    RetentionInvalid => ("The retention of a Repository cannot be carried out.", "No rule of spec.retention keeps anything, or one cannot be read.", "Mend the field that the message names; nothing is forgotten until then."),
    TargetNotBound => ("The application's PVC does not get bound.", "The storage cannot make a volume of the snapshot.", "Look at the events of the PVC; the message has the last one."),
    DataMoveInvalid => ("The DataUpload or DataDownload cannot be done as it is.", "A field that Longshore needs is empty, or the snapshot is of a type that Longshore does not know.", "Mend the field that the message names, or choose another data mover."),
    SourceSnapshotNotReady => ("The VolumeSnapshot of the DataUpload is not ready to use.", "It was deleted, or the storage is still taking the snapshot, or failed to.", "Look at the VolumeSnapshot's status and at the CSI driver's log."),
    BackupRunDeleted => ("The VolumeSnapshotBackup of the DataUpload is gone.", "Somebody deleted it while it was at work.", "Run the Velero backup again."),
    PrepareTimeout => ("The mover did not start in time.", "Something held it up for longer than --data-mover-prepare-timeout.", "Look at what the message says about the cause; raise the chart value velero.prepareTimeout if it is only slow."),
    TargetPVCNotFound => ("The PVC that the DataDownload is for is not there.", "Velero did not create it, or it was deleted.", "Look at the Velero restore's log, and restore again."),
    TargetPVCUnused => ("No node was selected for the PVC that the DataDownload is for.", "Its StorageClass waits for a first consumer, and no pod uses the PVC.", "Start a pod that uses the PVC while the restore runs, or restore to a class with immediate binding."),
    TargetPVCBound => ("The PVC that the DataDownload is for has a volume already.", "Something provisioned or bound it while the data was on its way.", "Delete the PVC and restore again."),
    RebindFailed => ("The restored volume could not be given to the PVC.", "The volume is gone, or the cluster did not bind the two in time.", "Look at the events of the PVC, and restore again."),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_says_what_why_and_what_to_do() {
        let mut words = BTreeSet::new();
        for reason in OperatorReason::ALL {
            assert!(words.insert(reason.as_str()), "{reason:?}");
            for text in [reason.what(), reason.why(), reason.advice()] {
                assert!(text.ends_with('.') && text.len() > 8, "{reason:?}: {text}");
            }
        }
    }
}
