use jiff::Timestamp;

use super::facts::{
    ChildFact, Facts, Known, NamedSecret, NamespaceState, ProtectedNamespace, SnapshotClassFact,
};
use super::finding::{Check, Severity};
use super::{findings, gather, rights};
use crate::entry::Entry;
use crate::place::Operator;
use crate::testing::{Server, block_on, list};

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn class(name: &str, driver: &str, default: bool) -> SnapshotClassFact {
    SnapshotClassFact { name: name.into(), driver: driver.into(), default }
}

fn operator() -> Operator {
    Operator {
        namespace: "longshore".into(),
        name: "longshore".into(),
        service_account: "operator".into(),
        wanted: 1,
        ready: 1,
        protected_namespaces: vec!["vault".into()],
        mover_account: "mover".into(),
    }
}

/// A cluster in which nothing is wrong.
fn well() -> Facts {
    let protected = ["vault".to_owned()];
    Facts {
        now: now(),
        served: vec![("repositories", "longshore.dev", Known::Is(true))],
        operators: Known::Is(vec![operator()]),
        namespaces: vec![ProtectedNamespace {
            name: "vault".into(),
            state: Known::Is(Some(NamespaceState {
                terminating: false,
                pod_security: Some("baseline".into()),
            })),
            account: ("mover".into(), Known::Is(true)),
        }],
        secrets: vec![NamedSecret {
            namespace: "vault".into(),
            name: "store".into(),
            users: vec!["Repository vault/main".into()],
            present: Known::Is(true),
        }],
        storage_classes: Known::Is(vec![
            ("fast".into(), "csi.one".into()),
            ("slow".into(), "csi.one".into()),
            ("local".into(), "kubernetes.io/no-provisioner".into()),
        ]),
        snapshot_classes: Known::Is(vec![class("a", "csi.one", true), class("b", "csi.one", false)]),
        drivers: Known::Is(vec!["csi.one".into()]),
        own_rights: rights::of_user("shop", &protected)
            .into_iter()
            .map(|(right, needed_for)| (right, needed_for, Known::Is(true)))
            .collect(),
        operator_rights: rights::of_operator("longshore", &protected)
            .into_iter()
            .map(|right| ("ServiceAccount longshore/operator".to_owned(), right, Known::Is(true)))
            .collect(),
        entries: Vec::new(),
        run_uids: Vec::new(),
        children: Vec::new(),
        unknown: Vec::new(),
    }
}

/// Severity and check of what is found after a change, each once.
fn found(change: impl FnOnce(&mut Facts)) -> Vec<(Severity, Check)> {
    let mut facts = well();
    change(&mut facts);
    let mut found: Vec<(Severity, Check)> =
        findings(&facts).iter().map(|finding| (finding.severity, finding.check)).collect();
    found.dedup();
    found
}

#[test]
fn a_cluster_in_which_nothing_is_wrong_has_no_findings() {
    assert_eq!(findings(&well()), []);
}

#[test]
fn what_the_installation_lacks_is_an_error() {
    let kinds = [(Severity::Error, Check::Kinds)];
    assert_eq!(found(|facts| facts.served[0].2 = Known::Is(false)), kinds);
    let operator_error = [(Severity::Error, Check::Operator)];
    assert_eq!(found(|facts| facts.operators = Known::Is(Vec::new())), operator_error);
    let change = |change: fn(&mut Operator)| {
        let mut changed = operator();
        change(&mut changed);
        found(|facts| facts.operators = Known::Is(vec![changed]))
    };
    assert_eq!(change(|one| one.ready = 0), operator_error);
    assert_eq!(change(|one| one.protected_namespaces.clear()), operator_error);
    assert_eq!(found(|facts| facts.operators = Known::Is(vec![operator(), operator()])), operator_error);
    assert_eq!(
        found(|facts| facts.secrets[0].present = Known::Is(false)),
        [(Severity::Error, Check::Secret)]
    );
}

#[test]
fn a_protected_namespace_must_be_there_and_admit_movers() {
    let error = [(Severity::Error, Check::ProtectedNamespace)];
    let state = |terminating: bool, level: &str| {
        Known::Is(Some(NamespaceState { terminating, pod_security: Some(level.into()) }))
    };
    assert_eq!(found(|facts| facts.namespaces[0].state = Known::Is(None)), error);
    assert_eq!(found(|facts| facts.namespaces[0].state = state(true, "baseline")), error);
    assert_eq!(found(|facts| facts.namespaces[0].state = state(false, "restricted")), error);
    assert_eq!(found(|facts| facts.namespaces[0].account.1 = Known::Is(false)), error);
    assert_eq!(found(|facts| facts.namespaces[0].state = state(false, "privileged")), []);
}

#[test]
fn the_default_class_of_a_driver_is_marked_exactly_once() {
    let classes =
        |classes: Vec<SnapshotClassFact>| found(|facts| facts.snapshot_classes = Known::Is(classes));
    let error = [(Severity::Error, Check::SnapshotClass)];
    let warning = [(Severity::Warning, Check::SnapshotClass)];
    assert_eq!(classes(vec![class("a", "csi.one", false), class("b", "csi.one", false)]), error);
    assert_eq!(classes(vec![class("a", "csi.one", true), class("b", "csi.one", true)]), error);
    assert_eq!(classes(vec![class("a", "csi.one", false)]), warning, "it is taken, but not by others");
    assert_eq!(classes(vec![class("a", "csi.two", true)]), warning, "volumes without snapshots");
    assert_eq!(
        found(|facts| facts.drivers = Known::Is(Vec::new())),
        [(Severity::Warning, Check::Driver)],
        "once for the driver, not for each StorageClass"
    );
}

#[test]
fn a_missing_right_is_a_warning_to_the_user_and_an_error_of_the_operator() {
    assert_eq!(
        found(|facts| facts.own_rights[0].2 = Known::Is(false)),
        [(Severity::Warning, Check::OwnRights)]
    );
    assert_eq!(
        found(|facts| facts.operator_rights[0].2 = Known::Is(false)),
        [(Severity::Error, Check::OperatorRights)]
    );
}

#[test]
fn what_cannot_be_seen_is_told_and_is_no_error() {
    let blind = || "forbidden".to_owned();
    let told = [(Severity::Info, Check::NotLooked)];
    assert_eq!(found(|facts| facts.operators = Known::Unknown(blind())), told);
    assert_eq!(found(|facts| facts.secrets[0].present = Known::Unknown(blind())), told);
    assert_eq!(found(|facts| facts.storage_classes = Known::Unknown(blind())), told);
    assert_eq!(found(|facts| facts.snapshot_classes = Known::Unknown(blind())), told);
    let mut facts = well();
    facts.operator_rights.iter_mut().for_each(|(_, _, allowed)| *allowed = Known::Unknown(blind()));
    assert_eq!(findings(&facts).len(), 1, "one cause is told once");
}

fn backup(status: serde_json::Value, created: &str) -> Entry {
    let object: longshore_api::VolumeSnapshotBackup = serde_json::from_value(serde_json::json!({
        "apiVersion": "datamover.oadp.openshift.io/v1alpha1", "kind": "VolumeSnapshotBackup",
        "metadata": {"name": "a", "namespace": "shop", "uid": "u", "creationTimestamp": created},
        "spec": {}, "status": status}))
    .unwrap();
    Entry::from(&object)
}

fn waits_for(reason: &str) -> serde_json::Value {
    serde_json::json!({"phase": "InProgress", "conditions": [{"type": "Progressing", "status": "True", "reason": reason,
        "message": "m", "lastTransitionTime": "2026-01-01T11:00:00Z"}]})
}

#[test]
fn runs_that_do_not_get_on_are_found() {
    let run = |entry: Entry| found(|facts| facts.entries = vec![entry]);
    let none = serde_json::json!({});
    assert_eq!(run(backup(none.clone(), "2026-01-01T11:59:30Z")), [], "too early to say");
    assert_eq!(run(backup(none, "2026-01-01T11:00:00Z")), [(Severity::Error, Check::Run)]);
    let warning = [(Severity::Warning, Check::Run)];
    assert_eq!(run(backup(waits_for("SecretNotFound"), "2026-01-01T11:00:00Z")), warning);
    assert_eq!(run(backup(waits_for("Transferring"), "2026-01-01T01:00:00Z")), [], "long work is no trouble");
    let deleted = |at: &str| Entry {
        ending: true,
        deleted: at.parse().ok(),
        ..backup(waits_for("Transferring"), "2026-01-01T01:00:00Z")
    };
    assert_eq!(run(deleted("2026-01-01T11:30:00Z")), warning);
    assert_eq!(run(deleted("2026-01-01T11:59:00Z")), []);
}

#[test]
fn a_temporary_child_without_run_is_left_over() {
    let child = |run_uid: &str, temporary: bool, created: &str| ChildFact {
        title: "Job vault/longshore-1".into(),
        run_uid: run_uid.into(),
        run: "backup/shop/a".into(),
        temporary,
        created: created.parse().ok(),
    };
    let seen = |child: ChildFact| {
        found(|facts| {
            facts.run_uids = vec!["there".into()];
            facts.children = vec![child];
        })
    };
    let old = "2026-01-01T11:00:00Z";
    assert_eq!(seen(child("gone", true, old)), [(Severity::Warning, Check::Leftover)]);
    assert_eq!(seen(child("there", true, old)), []);
    assert_eq!(seen(child("gone", false, old)), [], "keepers and results outlive their run");
    assert_eq!(seen(child("gone", true, "2026-01-01T11:59:00Z")), [], "perhaps on its way");
    let blind = found(|facts| {
        facts.children = vec![child("gone", true, old)];
        facts.unknown = vec!["cannot list jobs: forbidden".into()];
    });
    assert_eq!(blind, [(Severity::Info, Check::NotLooked)], "nobody is called an orphan on hearsay");
}

#[test]
fn the_worst_comes_first() {
    let severities: Vec<Severity> = found(|facts| {
        facts.own_rights[0].2 = Known::Is(false);
        facts.secrets[0].present = Known::Unknown("forbidden".into());
        facts.operators = Known::Is(Vec::new());
    })
    .into_iter()
    .map(|(severity, _)| severity)
    .collect();
    assert_eq!(severities, [Severity::Error, Severity::Warning, Severity::Info]);
}

#[test]
fn who_may_see_nothing_is_told_so_and_no_more() {
    let blind = Server::new(Vec::new(), 403);
    let found = findings(&block_on(async { gather(&blind.session()).await }).unwrap());
    assert!(!found.is_empty());
    assert!(found.iter().all(|finding| finding.severity == Severity::Info), "{found:?}");
}

#[test]
fn an_empty_cluster_lacks_kinds_and_operator() {
    let empty = Server::new(
        vec![
            ("GET", "/apis/apps/v1/deployments", 200, list(serde_json::json!([]))),
            ("GET", "/apis/storage.k8s.io/v1/storageclasses", 200, list(serde_json::json!([]))),
        ],
        404,
    );
    let found = findings(&block_on(async { gather(&empty.session()).await }).unwrap());
    let errors: Vec<Check> = found
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| finding.check)
        .collect();
    assert_eq!(errors.iter().filter(|check| **check == Check::Kinds).count(), 7);
    assert_eq!(errors.iter().filter(|check| **check == Check::Operator).count(), 1);
}

#[test]
fn of_secrets_only_the_metadata_is_asked_for() {
    let secret = serde_json::json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "store", "namespace": "vault"}});
    let repository = serde_json::json!([{"metadata": {"name": "main", "namespace": "vault", "uid": "r"},
        "spec": {"secretRef": {"name": "store"}}}]);
    let server = Server::new(
        vec![
            ("GET", "/apis/longshore.dev/v1alpha1/repositories", 200, list(repository)),
            ("GET", "/api/v1/namespaces/vault/secrets/store", 200, secret),
        ],
        404,
    );
    let facts = block_on(async { gather(&server.session()).await }).unwrap();
    assert_eq!(facts.secrets.len(), 1);
    assert_eq!(facts.secrets[0].present, Known::Is(true));
    let asked = server.asked();
    let of_secrets: Vec<_> = asked.iter().filter(|one| one.what.contains("/secrets")).collect();
    assert_eq!(of_secrets.len(), 1);
    assert!(of_secrets[0].accept.contains("PartialObjectMetadata"), "{of_secrets:?}");
}
