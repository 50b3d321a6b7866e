//! `longshore prune`

use std::io::Write;
use std::time::Duration;

use longshore_mover::MoverError;
use longshore_repo::{PruneEstimate, PruneOptions, PrunePolicy, PruneReport, PruneStage, Repository};
use serde::Serialize;

use crate::arguments::{GlobalArguments, PruneArguments};
use crate::hidden::{Versions, remove_hidden};
use crate::output::bytes;
use crate::progress::{Sink, Watcher, show_prune};
use crate::settings::Access;
use crate::{Failure, output};

/// What a prune found and did, as `-o json` shows it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    dry_run: bool,
    plan: u64,
    packs: u64,
    pack_bytes: u64,
    live_bytes: u64,
    condemned_packs: u64,
    condemned_bytes: u64,
    to_copy_bytes: u64,
    to_free_bytes: u64,
    forgotten_snapshots: u64,
    open_sessions: u64,
    copied_bytes: u64,
    deleted_packs: u64,
    deleted_bytes: u64,
    deleted_objects: u64,
    freed_bytes: u64,
    waiting_sessions: usize,
    spared_packs: u64,
    given_up_sessions: usize,
    is_reserve_missing: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    versions: Option<Versions>,
}

pub fn run(global: &GlobalArguments, verb: &PruneArguments) -> Result<u8, Failure> {
    let access = Access::from(global)?;
    let repository = access.open()?;
    let policy = PrunePolicy {
        max_unused_percent: verb.max_unused,
        max_copy_bytes: verb.max_copy,
        reseal: verb.reseal,
    };
    let options = PruneOptions { policy, patience: verb.wait };
    let report = if verb.dry_run {
        let control = super::backup::watch()?;
        let _watcher = Watcher::start(global.progress, Sink::Stderr, control.clone());
        let estimate = repository.plan_prune(&options, &mut |stage| show_prune(&control, stage));
        Report { dry_run: true, ..Report::from(&estimate.map_err(MoverError::from)?) }
    } else {
        execute(global, &access, &repository, &options, verb.keep_hidden)?
    };
    output::print(global.output, "Prune", &report, |out| report.write(out))?;
    Ok(0)
}

/// Prunes, and shows how far it is. What it will free is said before, on stderr. `keep_hidden`: how long what was deleted stays
/// behind, where the bucket keeps versions.
pub(super) fn execute(
    global: &GlobalArguments,
    access: &Access,
    repository: &Repository,
    options: &PruneOptions,
    keep_hidden: Duration,
) -> Result<Report, Failure> {
    let control = super::backup::watch()?;
    let _watcher = Watcher::start(global.progress, Sink::Stderr, control.clone());
    let say = |estimate: &PruneEstimate| {
        eprintln!(
            "{} of {} packs go: {} of {}, {} of them copied together first",
            estimate.condemned_packs,
            estimate.packs,
            bytes(estimate.condemned_bytes),
            bytes(estimate.pack_bytes),
            bytes(estimate.copied_bytes)
        );
    };
    let report = repository
        .prune(options, &mut |stage| {
            if let PruneStage::Planned(estimate) = &stage {
                say(estimate);
            }
            show_prune(&control, stage);
        })
        .map_err(MoverError::from)?;
    let checkpoint = repository.checkpoint().map_err(MoverError::from)?;
    let versions = remove_hidden(access, repository, keep_hidden)?;
    Ok(Report { checkpoint: Some(checkpoint.to_string()), versions, ..Report::from(&report) })
}

impl Report {
    pub(super) fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        if self.dry_run {
            return writeln!(
                out,
                "{} of {} packs would go, {} would be freed; {} of {} are needed",
                self.condemned_packs,
                self.packs,
                bytes(self.to_free_bytes),
                bytes(self.live_bytes),
                bytes(self.pack_bytes)
            );
        }
        if self.waiting_sessions > 0 {
            return writeln!(
                out,
                "{} backups or restores are still at work and have not answered; nothing was deleted yet, the next prune goes on",
                self.waiting_sessions
            );
        }
        if self.spared_packs > 0 {
            writeln!(
                out,
                "{} damaged packs that are still needed were left; `longshore check --read-data` says more",
                self.spared_packs
            )?;
        }
        writeln!(
            out,
            "{} packs and {} objects in all deleted, {} freed",
            self.deleted_packs,
            self.deleted_objects,
            bytes(self.freed_bytes)
        )?;
        if let Some(checkpoint) = &self.checkpoint {
            writeln!(out, "checkpoint {checkpoint}")?;
        }
        if self.is_reserve_missing {
            writeln!(
                out,
                "the store has no room for the reserve: the next prune may find no room to work in"
            )?;
        }
        match &self.versions {
            Some(versions) if versions.removed > 0 || versions.locked > 0 => writeln!(
                out,
                "{} hidden versions of {} removed for good, {} are still locked",
                versions.removed,
                bytes(versions.removed_bytes),
                versions.locked
            ),
            _ => Ok(()),
        }
    }
}

impl From<&PruneEstimate> for Report {
    fn from(estimate: &PruneEstimate) -> Self {
        Self {
            packs: estimate.packs,
            pack_bytes: estimate.pack_bytes,
            live_bytes: estimate.live_bytes,
            condemned_packs: estimate.condemned_packs,
            condemned_bytes: estimate.condemned_bytes,
            to_copy_bytes: estimate.copied_bytes,
            to_free_bytes: estimate.freed_bytes(),
            forgotten_snapshots: estimate.forgotten_snapshots,
            open_sessions: estimate.open_sessions,
            ..Self::default()
        }
    }
}

impl From<&PruneReport> for Report {
    fn from(report: &PruneReport) -> Self {
        Self {
            plan: report.plan,
            copied_bytes: report.copied_bytes,
            deleted_packs: report.deleted_packs,
            deleted_bytes: report.deleted_bytes,
            deleted_objects: report.deleted_objects,
            freed_bytes: report.deleted_bytes.saturating_sub(report.copied_bytes),
            waiting_sessions: report.waiting_sessions,
            spared_packs: report.spared_packs,
            given_up_sessions: report.given_up_sessions,
            is_reserve_missing: report.is_reserve_missing,
            ..Self::from(&report.estimate)
        }
    }
}
