//! Entries as people read them.

use jiff::Timestamp;

use super::Entry;
use crate::output::{self, age};

fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

/// The list, one line an entry.
pub fn table(entries: &[Entry], wide: bool, with_namespace: bool, now: Timestamp) -> String {
    let mut header = vec!["KIND", "NAME", "PHASE", "REASON", "DATA", "AGE"];
    if with_namespace {
        header.insert(0, "NAMESPACE");
    }
    if wide {
        header.extend(["PVC", "MOVERS IN", "MESSAGE"]);
    }
    let row = |entry: &Entry| {
        let phase = if entry.ending && !entry.over {
            format!("{} (ending)", or_dash(Some(&entry.phase)))
        } else {
            or_dash(Some(&entry.phase))
        };
        let mut row = vec![
            entry.kind.short().to_owned(),
            entry.name.clone(),
            phase,
            or_dash(entry.reason.as_deref()),
            entry.volume(),
            age(entry.created, now),
        ];
        if with_namespace {
            row.insert(0, entry.namespace.clone());
        }
        if wide {
            let pvc = entry.facts.iter().find(|fact| fact.name == "pvc").map(|fact| fact.value.as_str());
            row.push(or_dash(pvc));
            row.push(or_dash(entry.protected_namespace.as_deref()));
            row.push(or_dash(entry.message.as_deref()).replace('\n', " "));
        }
        row
    };
    output::table(&header, &entries.iter().map(row).collect::<Vec<_>>())
}

/// One entry in full, with what its reason means.
pub fn detail(entry: &Entry, now: Timestamp) -> String {
    let mut lines = vec![
        ("namespace", entry.namespace.clone()),
        ("phase", or_dash(Some(&entry.phase))),
        ("reason", or_dash(entry.reason.as_deref())),
        ("data", entry.volume()),
        ("age", age(entry.created, now)),
    ];
    if entry.ending {
        lines.push(("ending", "it was deleted or cancelled".to_owned()));
    }
    if let Some(namespace) = &entry.protected_namespace {
        lines.push(("movers in", namespace.clone()));
    }
    if !entry.secrets.is_empty() {
        lines.push(("secrets", entry.secrets.join(", ")));
    }
    lines.extend(entry.facts.iter().map(|fact| (fact.name, fact.value.clone())));
    let mut text = format!("{} {}\n", entry.kind, entry.name);
    for (name, value) in lines {
        text.push_str(&format!("  {name:22}{value}\n"));
    }
    if let Some(message) = entry.message.as_ref().filter(|_| entry.conditions.is_empty()) {
        text.push_str(&format!("  {:22}{message}\n", "message"));
    }
    if !entry.conditions.is_empty() {
        let rows: Vec<Vec<String>> = entry
            .conditions
            .iter()
            .map(|one| {
                let since = age(Some(one.last_transition_time.0), now);
                let message = one.message.replace('\n', " ");
                vec![format!("  {}", one.type_), one.status.clone(), one.reason.clone(), since, message]
            })
            .collect();
        text.push('\n');
        text.push_str(&output::table(&["  CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"], &rows));
    }
    if let Some(meaning) = &entry.explanation {
        text.push_str(&format!("\n  What {} means\n", meaning.reason));
        if let Some(sentence) = &meaning.meaning {
            text.push_str(&format!("    {sentence}\n"));
        }
        text.push_str(&format!("    What to do: {}\n", meaning.what_to_do));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let backup: longshore_api::VolumeSnapshotBackup = serde_json::from_value(serde_json::json!({
            "apiVersion": "datamover.oadp.openshift.io/v1alpha1", "kind": "VolumeSnapshotBackup",
            "metadata": {"name": "data-1", "namespace": "shop", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"protectedNamespace": "vault", "resticSecretRef": {"name": "store"}},
            "status": {"phase": "Failed", "progress": {"bytesDone": 1024, "bytesTotal": 2048, "stage": "Opening"},
                "sourcePVCData": {"name": "data", "size": "1Gi"},
                "conditions": [{"type": "Failed", "status": "True", "reason": "SecretNotFound",
                    "message": "there is no Secret store", "lastTransitionTime": "2026-01-01T00:01:00Z"}]}}))
        .unwrap();
        let repository: longshore_api::Repository = serde_json::from_value(serde_json::json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "Repository",
            "metadata": {"name": "main", "namespace": "vault", "uid": "r", "creationTimestamp": "2025-12-01T00:00:00Z"},
            "spec": {"secretRef": {"name": "store"}}, "status": {"phase": "Ready", "sizeBytes": 1048576}}))
        .unwrap();
        vec![Entry::from(&backup), Entry::from(&repository)]
    }

    fn now() -> Timestamp {
        "2026-01-01T00:05:00Z".parse().unwrap()
    }

    #[test]
    fn the_list_is_what_users_and_scripts_are_used_to() {
        insta::assert_snapshot!("narrow", table(&entries(), false, false, now()));
        insta::assert_snapshot!("wide", table(&entries(), true, true, now()));
    }

    #[test]
    fn one_entry_says_what_its_reason_means_and_what_to_do() {
        insta::assert_snapshot!("detail", detail(&entries()[0], now()));
    }

    #[test]
    fn an_entry_that_is_told_to_end_says_so() {
        let mut entry = entries().remove(0);
        (entry.ending, entry.over, entry.phase) = (true, false, "InProgress".into());
        assert!(table(&[entry], false, false, now()).contains("InProgress (ending)"));
    }
}
