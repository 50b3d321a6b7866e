//! StorageClasses, their drivers, and the classes for snapshots.

use std::collections::BTreeMap;

use super::facts::{Facts, Known, SnapshotClassFact};
use super::finding::{Check, Finding, Severity};

/// Provisioner of StorageClasses for volumes that nobody provisions.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// Judges the driver of each StorageClass, once.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    let storage_classes = match &facts.storage_classes {
        Known::Unknown(why) => return vec![Finding::not_looked("StorageClasses", why)],
        Known::Is(classes) => classes,
    };
    if let Known::Unknown(why) = &facts.drivers {
        found.push(Finding::not_looked("CSIDrivers", why));
    }
    if let Known::Unknown(why) = &facts.snapshot_classes {
        found.push(Finding::not_looked("VolumeSnapshotClasses", why));
    }
    let mut by_driver: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, provisioner) in storage_classes.iter().filter(|(_, driver)| driver != NO_PROVISIONER) {
        by_driver.entry(provisioner).or_default().push(name);
    }
    for (driver, users) in by_driver {
        let users = users.join(", ");
        let is_installed = facts.drivers.value().map(|drivers| drivers.iter().any(|name| name == driver));
        if is_installed == Some(false) {
            found.push(without_driver(driver, &users));
            continue;
        }
        if let Some(classes) = facts.snapshot_classes.value() {
            let of_driver: Vec<&SnapshotClassFact> =
                classes.iter().filter(|class| class.driver == driver).collect();
            found.extend(classes_of(driver, &users, &of_driver));
        }
    }
    found
}

fn without_driver(driver: &str, users: &str) -> Finding {
    let text = [
        format!("There is no CSIDriver {driver}, which provisions StorageClasses {users}."),
        "The driver is not installed, or it is no CSI driver; its volumes cannot be backed up.".to_owned(),
        "Install the driver, or use StorageClasses of a CSI driver for volumes that are to be backed up."
            .to_owned(),
    ];
    Finding::new(Severity::Warning, Check::Driver, format!("CSIDriver {driver}"), text)
}

/// Runs take the only class of a driver, or its only default; other tools want the default to be marked.
fn classes_of(driver: &str, users: &str, classes: &[&SnapshotClassFact]) -> Option<Finding> {
    const MARK: &str = "snapshot.storage.kubernetes.io/is-default-class=true";
    let defaults: Vec<&str> =
        classes.iter().filter(|class| class.default).map(|class| class.name.as_str()).collect();
    let names: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
    let finding = |severity, text| {
        Some(Finding::new(severity, Check::SnapshotClass, format!("CSIDriver {driver}"), text))
    };
    match (classes, &defaults[..]) {
        (_, [_]) => None,
        ([], _) => finding(
            Severity::Warning,
            [
                format!("Driver {driver} has no VolumeSnapshotClass; StorageClasses {users} use it."),
                "Without one no snapshot can be taken, so these volumes cannot be backed up.".to_owned(),
                "Create a VolumeSnapshotClass for the driver if it can take snapshots.".to_owned(),
            ],
        ),
        ([only], _) => finding(
            Severity::Warning,
            [
                format!(
                    "VolumeSnapshotClass {}, the only one of driver {driver}, is not marked as default.",
                    only.name
                ),
                "Longshore takes it all the same; VolumeSnapshots that name no class are refused.".to_owned(),
                format!("kubectl annotate volumesnapshotclass {} {MARK}", only.name),
            ],
        ),
        (_, []) => finding(
            Severity::Error,
            [
                format!(
                    "None of the VolumeSnapshotClasses of driver {driver} is marked as default: {}.",
                    names.join(", ")
                ),
                "Nobody can tell which one is meant, so backups and restores that name none fail.".to_owned(),
                format!("kubectl annotate volumesnapshotclass NAME {MARK}"),
            ],
        ),
        _ => finding(
            Severity::Error,
            [
                format!(
                    "Several VolumeSnapshotClasses of driver {driver} are marked as default: {}.",
                    defaults.join(", ")
                ),
                "Nobody can tell which one is meant, so backups and restores that name none fail.".to_owned(),
                "Take the annotation snapshot.storage.kubernetes.io/is-default-class from all but one."
                    .to_owned(),
            ],
        ),
    }
}
