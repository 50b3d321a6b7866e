//! One run, repository or deletion as `status` shows it. Pure.

mod read;
mod show;

pub use show::{detail, table};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;

use crate::explain::{Explanation, explain};
use crate::kind::Kind;
use crate::output::bytes;

/// What is known of one object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: the label of its children.
    pub uid: String,
    /// `status.phase`; empty while nobody has looked at it.
    pub phase: String,
    /// Whether nothing more will happen.
    pub over: bool,
    /// Whether it is being deleted, or was told to end.
    pub ending: bool,
    /// When it was deleted, while its finalizer holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Timestamp>,
    /// What it does, waits for, or failed of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What the reason means, when it stands for a trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
    /// Bytes handled; of a repository, its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_done: Option<i64>,
    /// Bytes to handle in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<i64>,
    /// What the mover is doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Where its mover and its Secret are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_namespace: Option<String>,
    /// Names of the Secrets that it uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// UID of the DataUpload that it serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serves: Option<String>,
    /// Further facts, in the order in which they are shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
    /// Its conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One further fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is about.
    pub name: &'static str,
    /// What it is.
    pub value: String,
}

/// The condition that says why an object is where it is: a failure before what it waits for.
fn headline(conditions: &[Condition]) -> Option<&Condition> {
    let find = |kinds: &[&str], status: &str| {
        conditions.iter().find(|one| kinds.contains(&one.type_.as_str()) && one.status == status)
    };
    find(&["Failed"], "True")
        .or_else(|| find(&["Ready", "Maintained", "Checked"], "False"))
        .or_else(|| find(&["Progressing"], "True"))
}

impl Entry {
    /// `vsb/data`.
    pub fn title(&self) -> String {
        format!("{}/{}", self.kind.short(), self.name)
    }

    /// Takes reason and message from the conditions.
    fn explained(mut self) -> Self {
        if let Some(condition) = headline(&self.conditions) {
            self.reason = Some(condition.reason.clone());
            self.message = Some(condition.message.clone()).filter(|message| !message.is_empty());
        }
        self.explanation = self.reason.as_deref().and_then(explain);
        self
    }

    /// `1.00 GiB of 4.00 GiB`, or the whole when it is done.
    pub fn volume(&self) -> String {
        match (self.bytes_done, self.bytes_total) {
            (Some(done), Some(total)) if done < total => format!("{} of {}", bytes(done), bytes(total)),
            (Some(done), _) => bytes(done),
            (None, Some(total)) => format!("0 B of {}", bytes(total)),
            (None, None) => "-".to_owned(),
        }
    }

    /// How far it is, in one line, for those who wait.
    pub fn progress(&self) -> String {
        let mut text =
            format!("{}: {}", self.title(), if self.phase.is_empty() { "New" } else { &self.phase });
        let doing =
            if self.over { self.reason.as_ref() } else { self.stage.as_ref().or(self.reason.as_ref()) };
        if let Some(doing) = doing {
            text.push_str(&format!(", {doing}"));
        }
        if self.bytes_done.is_some() {
            text.push_str(&format!(" {}", self.volume()));
        }
        if let (Some(done), Some(total)) = (self.bytes_done, self.bytes_total)
            && total > 0
            && !self.over
        {
            text.push_str(&format!(" ({} %)", done.clamp(0, total).saturating_mul(100) / total));
        }
        text
    }

    /// Whether it ended without its result.
    pub fn failed(&self) -> bool {
        self.over && self.phase != "Completed"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            kind: Kind::VolumeSnapshotBackup,
            namespace: "shop".into(),
            name: "data".into(),
            uid: "u".into(),
            phase: "InProgress".into(),
            over: false,
            ending: false,
            deleted: None,
            reason: Some("Transferring".into()),
            message: None,
            explanation: None,
            bytes_done: None,
            bytes_total: None,
            stage: None,
            created: None,
            protected_namespace: None,
            secrets: Vec::new(),
            serves: None,
            facts: Vec::new(),
            conditions: Vec::new(),
        }
    }

    fn condition(type_: &str, status: &str, reason: &str) -> Condition {
        Condition {
            type_: type_.into(),
            status: status.into(),
            reason: reason.into(),
            message: "because".into(),
            observed_generation: None,
            last_transition_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn a_failure_goes_before_what_is_done_now() {
        let word = |conditions: &[Condition]| headline(conditions).map(|one| one.reason.clone());
        let progressing = condition("Progressing", "True", "Queued");
        assert_eq!(word(std::slice::from_ref(&progressing)).as_deref(), Some("Queued"));
        let degraded = condition("Maintained", "False", "WrongKey");
        assert_eq!(word(&[progressing.clone(), degraded]).as_deref(), Some("WrongKey"));
        let failed = condition("Failed", "True", "SecretNotFound");
        assert_eq!(word(&[progressing, failed]).as_deref(), Some("SecretNotFound"));
        assert_eq!(word(&[condition("Progressing", "False", "Completed")]), None);
    }

    #[test]
    fn a_trouble_is_explained_and_work_is_not() {
        let with = |one: Condition| Entry { conditions: vec![one], ..entry() }.explained();
        let failed = with(condition("Failed", "True", "SecretNotFound"));
        assert!(failed.explanation.is_some_and(|one| one.what_to_do.contains("Create the Secret")));
        assert_eq!(with(condition("Progressing", "True", "Queued")).explanation, None);
    }

    #[test]
    fn progress_has_bytes_and_percent_as_far_as_they_are_known() {
        assert_eq!(entry().progress(), "vsb/data: InProgress, Transferring");
        let half = Entry { bytes_done: Some(1 << 29), bytes_total: Some(1 << 30), ..entry() };
        assert_eq!(half.progress(), "vsb/data: InProgress, Transferring 512.00 MiB of 1.00 GiB (50 %)");
        let done = Entry { over: true, phase: "Completed".into(), reason: None, ..half };
        assert!(!done.failed());
        assert_eq!(done.progress(), "vsb/data: Completed 512.00 MiB of 1.00 GiB");
        let new = Entry {
            phase: String::new(),
            reason: None,
            bytes_done: Some(1),
            bytes_total: Some(0),
            ..entry()
        };
        assert_eq!(new.progress(), "vsb/data: New 1 B");
    }
}
