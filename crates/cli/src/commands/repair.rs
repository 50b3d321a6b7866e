//! `longshore repair`

mod undelete;

use std::io::{self, Write};

use jiff::Timestamp;
use longshore_job::Reason;
use longshore_repo::{DamagedSnapshot, PacksRepair, Repository, RunId};
use serde::Serialize;

use super::SnapshotView;
use super::losses::{LossView, write_losses};
use crate::arguments::{
    GlobalArguments, RepairArguments, RepairCommand, RepairPacksArguments, RepairSnapshotsArguments,
};
use crate::output::bytes;
use crate::progress::{Sink, Watcher, show_check};
use crate::settings::Access;
use crate::{Failure, output};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexDone {
    listed_packs: u64,
    added_packs: u64,
    segments: u64,
    damaged_segments: Vec<Damaged>,
    unreadable_packs: Vec<Damaged>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PacksDone {
    dry_run: bool,
    read_packs: u64,
    read_bytes: u64,
    damaged: Vec<DamagedPack>,
    saved_bytes: u64,
    losses: Vec<LossView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DamagedPack {
    object: String,
    reason: String,
    frames: u64,
    lost: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SnapshotsDone {
    dry_run: bool,
    losses: Vec<LossView>,
    repaired: Vec<SnapshotView>,
    forgotten: u64,
    damaged: Vec<Damaged>,
}

#[derive(Serialize)]
struct Damaged {
    object: String,
    reason: String,
}

pub fn run(global: &GlobalArguments, verb: &RepairArguments) -> Result<u8, Failure> {
    let repository = || Access::from(global)?.open();
    match &verb.command {
        RepairCommand::Index => index(global, &repository()?),
        RepairCommand::Packs(verb) => packs(global, &repository()?, verb),
        RepairCommand::Snapshots(verb) => snapshots(global, &repository()?, verb),
        // Before a thief's deletions are taken back there may be nothing to open.
        RepairCommand::Undelete(verb) => undelete::run(global, verb),
    }
}

fn index(global: &GlobalArguments, repository: &Repository) -> Result<u8, Failure> {
    let report = repository.rebuild_index()?;
    let damaged = |objects: Vec<(String, String)>| -> Vec<Damaged> {
        objects.into_iter().map(|(object, reason)| Damaged { object, reason }).collect()
    };
    let done = IndexDone {
        listed_packs: report.listed_packs,
        added_packs: report.added_packs,
        segments: report.segments,
        damaged_segments: damaged(report.damaged_segments),
        unreadable_packs: damaged(report.unreadable_packs),
    };
    output::print(global.output, "RepairIndex", &done, |out| {
        for Damaged { object, reason } in done.damaged_segments.iter().chain(&done.unreadable_packs) {
            writeln!(out, "{object}: {reason}")?;
        }
        writeln!(
            out,
            "{} packs were listed, {} more are now, in {} new segments; {} damaged segments are deleted",
            done.listed_packs,
            done.added_packs,
            done.segments,
            done.damaged_segments.len()
        )?;
        match done.unreadable_packs.is_empty() {
            true => Ok(()),
            false => writeln!(out, "for damaged packs run `longshore repair packs`"),
        }
    })?;
    Ok(0)
}

fn packs(
    global: &GlobalArguments,
    repository: &Repository,
    verb: &RepairPacksArguments,
) -> Result<u8, Failure> {
    let control = super::backup::watch()?;
    let repair = {
        let _watcher = Watcher::start(global.progress, Sink::Stderr, control.clone());
        let mut show = |progress| show_check(&control, progress);
        repository.repair_packs(verb.dry_run, Timestamp::now(), &mut show)?
    };
    let done = PacksDone::new(repair, verb.dry_run);
    output::print(global.output, "RepairPacks", &done, |out| done.write(out))?;
    if done.losses.is_empty() {
        return Ok(0);
    }
    let message = format!("{} snapshots miss something that is in no pack any more", done.losses.len());
    Err(Failure::of(Reason::RepositoryDamaged, message))
}

fn snapshots(
    global: &GlobalArguments,
    repository: &Repository,
    verb: &RepairSnapshotsArguments,
) -> Result<u8, Failure> {
    let wanted = super::named_or_all(repository, &verb.snapshots)?;
    let damaged = repository.list_snapshots()?.damaged;
    let losses = repository.losses(wanted)?;
    let (mut repaired, mut forgotten) = (Vec::new(), 0);
    if !verb.dry_run {
        for losses in &losses {
            let run = RunId(uuid::Uuid::now_v7());
            repaired.push(SnapshotView::from(&repository.repair_snapshot(losses, run)?));
            if verb.forget {
                repository.forget(&losses.snapshot, "repaired", Timestamp::now())?;
                forgotten += 1;
            }
        }
    }
    let done = SnapshotsDone {
        dry_run: verb.dry_run,
        losses: losses.iter().map(LossView::from).collect(),
        repaired,
        forgotten,
        damaged: damaged.into_iter().map(Damaged::from).collect(),
    };
    output::print(global.output, "RepairSnapshots", &done, |out| done.write(out))?;
    if done.damaged.is_empty() {
        return Ok(0);
    }
    let message = format!("{} records of snapshots cannot be read", done.damaged.len());
    Err(Failure::of(Reason::RepositoryDamaged, message))
}

impl PacksDone {
    fn new(repair: PacksRepair, dry_run: bool) -> Self {
        let damaged = repair.damaged.into_iter().map(|pack| DamagedPack {
            object: pack.object,
            reason: pack.reason,
            frames: pack.frames,
            lost: pack.lost.iter().map(ToString::to_string).collect(),
        });
        Self {
            dry_run,
            read_packs: repair.read_packs,
            read_bytes: repair.read_bytes,
            damaged: damaged.collect(),
            saved_bytes: repair.saved_bytes,
            losses: repair.losses.iter().map(LossView::from).collect(),
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for pack in &self.damaged {
            writeln!(out, "{}: {}", pack.object, pack.reason)?;
            writeln!(out, "  {} of its {} chunks or nodes are lost", pack.lost.len(), pack.frames)?;
        }
        let (packs, read, saved) = (self.read_packs, bytes(self.read_bytes), bytes(self.saved_bytes));
        writeln!(out, "{packs} packs of {read} read, {} damaged, {saved} saved", self.damaged.len())?;
        write_losses(out, &self.losses)?;
        if self.losses.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "Back up again what still exists: what is lost is stored anew, and these snapshots find it. What is then still \
             missing, `longshore repair snapshots` leaves out."
        )
    }
}

impl SnapshotsDone {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        write_losses(out, &self.losses)?;
        for (loss, repaired) in self.losses.iter().zip(&self.repaired) {
            writeln!(out, "{} without what is lost: {}", loss.snapshot.id(), repaired.id())?;
        }
        for Damaged { object, reason } in &self.damaged {
            writeln!(out, "{object}: {reason}")?;
        }
        if !self.damaged.is_empty() {
            writeln!(
                out,
                "Nothing of these can be saved without another copy of the record. `longshore forget ID` gives one up, so \
                 that prune may go on."
            )?;
        }
        let (hit, repaired) = (self.losses.len(), self.repaired.len());
        writeln!(out, "{hit} snapshots miss something, {repaired} repaired, {} forgotten", self.forgotten)
    }
}

impl From<DamagedSnapshot> for Damaged {
    fn from(damaged: DamagedSnapshot) -> Self {
        Self { object: damaged.object, reason: damaged.reason }
    }
}
