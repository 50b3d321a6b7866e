//! Runs that do not get on, Repositories that are not well, and what runs left behind.

use jiff::{SignedDuration, Timestamp};

use super::facts::{ChildFact, Facts};
use super::finding::{Check, Finding, Severity, sentence};
use crate::entry::Entry;
use crate::kind::Kind;

/// An operator looks at a new run within moments.
const UNSEEN_AFTER: SignedDuration = SignedDuration::from_mins(2);
/// Clean-up takes seconds; a driver may take minutes.
const LEAVING_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// A child may be seen before the list of runs is read, or while both are on their way out.
const LEFT_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// Judges runs, Repositories and children.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<Finding> = facts.unknown.iter().map(|why| Finding::not_looked("runs", why)).collect();
    found.extend(facts.entries.iter().filter_map(|entry| run(entry, facts.now)));
    // A run that could not be listed would make an orphan of each of its children.
    if facts.unknown.is_empty() {
        let is_left = |child: &&ChildFact| {
            child.temporary
                && !facts.run_uids.contains(&child.run_uid)
                && older(child.created, LEFT_AFTER, facts.now)
        };
        found.extend(facts.children.iter().filter(is_left).map(leftover));
    }
    found
}

fn older(since: Option<Timestamp>, limit: SignedDuration, now: Timestamp) -> bool {
    since.is_some_and(|since| now.duration_since(since) > limit)
}

fn run(entry: &Entry, now: Timestamp) -> Option<Finding> {
    let subject = format!("{} {}/{}", entry.kind, entry.namespace, entry.name);
    let finding = |severity, text| Some(Finding::new(severity, Check::Run, subject.clone(), text));
    if older(entry.deleted, LEAVING_AFTER, now) {
        return finding(
            Severity::Warning,
            [
                "It was deleted more than 15 minutes ago and is still there.".to_owned(),
                entry.message.as_deref().map_or_else(
                    || {
                        "A finalizer holds it: something of it cannot be removed, or no operator runs."
                            .to_owned()
                    },
                    sentence,
                ),
                "Look at the operator's log, and at the volumes and snapshots of its mover.".to_owned(),
            ],
        );
    }
    if entry.over || entry.ending {
        return None;
    }
    if entry.phase.is_empty() && older(entry.created, UNSEEN_AFTER, now) {
        return finding(
            Severity::Error,
            [
                "No operator has looked at it.".to_owned(),
                "No operator runs, or none watches its kind.".to_owned(),
                "Look at the operator's Deployment and log.".to_owned(),
            ],
        );
    }
    if let Some(meaning) = &entry.explanation {
        let doing = if entry.kind == Kind::Repository { "is not well" } else { "waits" };
        let said = entry.message.as_deref().or(meaning.meaning.as_deref()).unwrap_or_default();
        return finding(
            Severity::Warning,
            [format!("It {doing}: {}.", meaning.reason), sentence(said), meaning.what_to_do.clone()],
        );
    }
    if entry.kind == Kind::Repository && entry.phase == "Degraded" {
        let said = entry.message.as_deref().unwrap_or("its conditions say no more");
        return finding(
            Severity::Warning,
            [
                "The repository is degraded.".to_owned(),
                sentence(said),
                format!("Look at `kubectl longshore -n {} status lrepo/{}`.", entry.namespace, entry.name),
            ],
        );
    }
    None
}

fn leftover(child: &ChildFact) -> Finding {
    let text = [
        format!("It was made for {}, which does not exist any more.", child.run),
        "Somebody took the run's finalizer away, or removed its namespace by force.".to_owned(),
        "The operator removes it when it starts; otherwise delete it. A VolumeSnapshotContent of ours has policy Retain.".to_owned(),
    ];
    Finding::new(Severity::Warning, Check::Leftover, child.title.clone(), text)
}
