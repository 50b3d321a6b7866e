//! `longshore forget`

use jiff::{SignedDuration, Timestamp};
use longshore_mover::MoverError;
use longshore_repo::{
    DamagedSnapshot, ForgetDecision, ForgetPolicy, PruneOptions, Repository, decide_forget,
};
use serde::Serialize;

use super::snapshots::source_text;
use super::{SnapshotView, prune};
use crate::arguments::{ForgetArguments, GlobalArguments, KEEP_HIDDEN};
use crate::settings::Access;
use crate::{Failure, output};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    dry_run: bool,
    kept: Vec<Kept>,
    forgotten: Vec<SnapshotView>,
    /// Objects of records that could not be read and were forgotten by name.
    damaged: Vec<String>,
    prune: Option<prune::Report>,
    /// Made unless prune makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
}

#[derive(Serialize)]
struct Kept {
    #[serde(flatten)]
    snapshot: SnapshotView,
    reasons: Vec<&'static str>,
}

pub fn run(global: &GlobalArguments, verb: &ForgetArguments) -> Result<u8, Failure> {
    let access = Access::from(global)?;
    let repository = access.open()?;
    let (decisions, damaged, reason) = decide(&repository, verb)?;
    let forgotten = decisions.iter().filter(|decision| decision.keep.is_empty());
    if !verb.dry_run {
        for decision in forgotten.clone() {
            let snapshot = &decision.snapshot;
            repository.forget(snapshot, &reason, Timestamp::now()).map_err(MoverError::from)?;
        }
        for damaged in &damaged {
            repository.forget_key(damaged.key, &reason, Timestamp::now()).map_err(MoverError::from)?;
        }
    }
    let prune = match verb.prune {
        true => Some(prune::execute(global, &access, &repository, &PruneOptions::default(), KEEP_HIDDEN)?),
        false => None,
    };
    // Without one, the store could show what was forgotten again.
    let checkpoint = match prune.is_none() && !verb.dry_run && forgotten.clone().next().is_some() {
        true => Some(repository.checkpoint().map_err(MoverError::from)?.to_string()),
        false => None,
    };
    let done = Done {
        dry_run: verb.dry_run,
        kept: decisions.iter().filter(|decision| !decision.keep.is_empty()).map(Kept::from).collect(),
        forgotten: forgotten.map(|decision| SnapshotView::from(&decision.snapshot)).collect(),
        damaged: damaged.into_iter().map(|damaged| damaged.object).collect(),
        prune,
        checkpoint,
    };
    output::print(global.output, "Forget", &done, |out| {
        let rows: Vec<Vec<String>> = decisions.iter().map(row).collect();
        if rows.is_empty() {
            writeln!(out, "no snapshots")?;
        } else {
            output::table(out, &["ID", "TIME", "SOURCE", "KEPT FOR"], &rows)?;
        }
        for object in &done.damaged {
            writeln!(out, "{object}: not readable, {}", if verb.dry_run { "would go" } else { "forgotten" })?;
        }
        let verb_text = if verb.dry_run { "would be forgotten" } else { "forgotten" };
        writeln!(out, "{} kept, {} {verb_text}", done.kept.len(), done.forgotten.len())?;
        match &done.prune {
            Some(report) => report.write(out),
            None if done.forgotten.is_empty() || verb.dry_run => Ok(()),
            None => writeln!(out, "`longshore prune` gives the space back"),
        }?;
        done.checkpoint.iter().try_for_each(|checkpoint| writeln!(out, "checkpoint {checkpoint}"))
    })?;
    Ok(0)
}

/// What is to happen to each snapshot concerned, and the reason that stands in the tombstones.
fn decide(
    repository: &Repository,
    verb: &ForgetArguments,
) -> Result<(Vec<ForgetDecision>, Vec<DamagedSnapshot>, String), Failure> {
    if !verb.snapshots.is_empty() {
        let (mut decisions, mut unreadable): (Vec<ForgetDecision>, Vec<DamagedSnapshot>) = Default::default();
        for name in &verb.snapshots {
            let snapshot = match super::restore::resolve(repository, name) {
                Ok(snapshot) => snapshot,
                Err(failure) => match repository.resolve_damaged(name)? {
                    Some(damaged) => {
                        unreadable.push(damaged);
                        continue;
                    }
                    None => return Err(failure),
                },
            };
            if decisions.iter().all(|decision| decision.snapshot.key != snapshot.key) {
                decisions.push(ForgetDecision { snapshot, keep: Vec::new() });
            }
        }
        return Ok((decisions, unreadable, "by name".to_owned()));
    }
    let policy = policy(verb);
    if policy.is_empty() {
        return Err(Failure::usage("the policy keeps nothing; give at least one --keep-… that is not 0"));
    }
    let mut snapshots = repository.snapshots().map_err(MoverError::from)?;
    if let Some(text) = &verb.source {
        snapshots.retain(|snapshot| source_text(&snapshot.record.source).contains(text.as_str()));
    }
    Ok((decide_forget(snapshots, &policy), Vec::new(), "by policy".to_owned()))
}

fn policy(verb: &ForgetArguments) -> ForgetPolicy {
    ForgetPolicy {
        last: verb.keep_last.unwrap_or_default(),
        hourly: verb.keep_hourly.unwrap_or_default(),
        daily: verb.keep_daily.unwrap_or_default(),
        weekly: verb.keep_weekly.unwrap_or_default(),
        monthly: verb.keep_monthly.unwrap_or_default(),
        yearly: verb.keep_yearly.unwrap_or_default(),
        within: verb.keep_within.map(|within| SignedDuration::from_secs(within.as_secs() as i64)),
        labels: verb.keep_label.iter().cloned().collect(),
    }
}

fn row(decision: &ForgetDecision) -> Vec<String> {
    let view = SnapshotView::from(&decision.snapshot);
    let reasons: Vec<&str> = decision.keep.iter().map(|reason| reason.as_str()).collect();
    let kept = if reasons.is_empty() { "- (forgotten)".to_owned() } else { reasons.join(", ") };
    vec![view.id().to_owned(), view.time().to_owned(), source_text(&decision.snapshot.record.source), kept]
}

impl From<&ForgetDecision> for Kept {
    fn from(decision: &ForgetDecision) -> Self {
        Self {
            snapshot: SnapshotView::from(&decision.snapshot),
            reasons: decision.keep.iter().map(|reason| reason.as_str()).collect(),
        }
    }
}
