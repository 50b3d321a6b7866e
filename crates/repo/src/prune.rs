//! Prune: giving back the space of what no snapshot needs, while anybody writes and reads.
//!
//! ```text
//!   take inventory ─► mark ─► choose ─► confirm ─► plan ─► settle ─► look again ─► copy out ─► index and result ─► sweep
//!                                        │ dry run      ▲
//!                                        ▼              └── a plan that an earlier prune left without result
//! ```
//! The protocol, and why it is safe, stands in `docs/concurrency.md`; the steps here carry its numbers.

mod choose;
mod copy;
mod inventory;
mod live;
mod look;
mod mark;
mod probes;
mod reseal;
mod result;
mod sessions;
mod settle;
mod sweep;

pub use choose::PrunePolicy;
pub(crate) use copy::Copier;

use crate::{RepoError, Repository, plans, record};
use choose::{Choice, Known, Why, choose};
use inventory::Inventory;
use jiff::Timestamp;
use longshore_format::{
    index::Level,
    names::{self, PlanObject},
    prune::{CONDEMNED_MAX, Plan},
    sealed::RecordKind,
    session::PackList,
};
use longshore_store::Class as StoreClass;
use mark::{Marks, Usage};
use settle::Settled;
use std::{collections::HashSet, time::Duration};

/// How to prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PruneOptions {
    /// What is chosen.
    pub policy: PrunePolicy,
    /// How long to wait for sessions that have not acknowledged the plan. The plan stays, and the next prune goes on with it.
    pub patience: Duration,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self { policy: PrunePolicy::default(), patience: Duration::from_secs(3600) }
    }
}

/// What prune is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneStage {
    /// Listing and walking everything that must stay.
    Marking,
    /// This is what it will do.
    Planned(PruneEstimate),
    /// Waiting for sessions.
    Settling,
    /// Copying out of condemned packs: done, of how many.
    Copying(usize, usize),
    /// Writing the index anew.
    Indexing,
    /// Deleting.
    Sweeping,
}

/// What a prune would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PruneEstimate {
    /// All packs, and their bytes.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Bytes of frames that must stay.
    pub live_bytes: u64,
    /// Packs that go.
    pub condemned_packs: u64,
    /// Their bytes.
    pub condemned_bytes: u64,
    /// Bytes that are copied out of them first.
    pub copied_bytes: u64,
    /// Records of forgotten snapshots that go.
    pub forgotten_snapshots: u64,
    /// Sessions that are not over: what they own is not touched.
    pub open_sessions: u64,
}

impl PruneEstimate {
    /// Bytes of packs that come back.
    pub fn freed_bytes(&self) -> u64 {
        self.condemned_bytes.saturating_sub(self.copied_bytes)
    }
}

/// What a prune did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PruneReport {
    /// What it set out to do. Empty if it only finished the plan of an earlier one.
    pub estimate: PruneEstimate,
    /// The number of the plan; 0 if there was nothing to do.
    pub plan: u64,
    /// Packs that were deleted.
    pub deleted_packs: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// Objects of all kinds that were deleted.
    pub deleted_objects: u64,
    /// Bytes that were copied out of condemned packs.
    pub copied_bytes: u64,
    /// Sessions that did not answer in time; if there are any, nothing was deleted, and the next prune goes on.
    pub waiting_sessions: usize,
    /// Condemned packs of which something could not be copied. They were left.
    pub spared_packs: u64,
    /// Sessions that were given up, because they were silent for longer than the limit.
    pub given_up_sessions: usize,
    /// The reserve could not be made again: the store is still full.
    pub is_reserve_missing: bool,
}

impl PruneReport {
    fn add(&mut self, more: &Self) {
        self.plan = self.plan.max(more.plan);
        self.deleted_packs += more.deleted_packs;
        self.deleted_bytes += more.deleted_bytes;
        self.deleted_objects += more.deleted_objects;
        self.copied_bytes += more.copied_bytes;
        self.waiting_sessions = more.waiting_sessions;
        self.spared_packs = more.spared_packs;
        self.given_up_sessions += more.given_up_sessions;
    }
}

/// What is to be condemned, confirmed by the packs' own trailers.
struct Prepared {
    inventory: Inventory,
    marks: Marks,
    condemned: PackList,
    /// A result leaves damaged segments out, so that no reader stumbles over them any more.
    is_index_damaged: bool,
    estimate: PruneEstimate,
}

/// What of a choice was confirmed.
#[derive(Default)]
struct Confirmation {
    condemned: PackList,
    bytes: u64,
    live_bytes: u64,
    unfindable_bytes: u64,
}

/// Rounds of one call: one that gives sessions up, one that deletes what they owned, and one to spare.
const ROUNDS_MAX: usize = 3;
/// So many segments of level 0 are worth merging even if nothing else is to do: each costs every reader a request.
const LEVEL_0_MANY: usize = 64;

/// If more than one live byte in this many is in no index, the index is broken, and prune is no way to mend it.
const UNINDEXED_SHARE_MAX: u64 = 8;

impl Repository {
    /// Says what [`Self::prune`] would do. Writes nothing.
    pub fn plan_prune(
        &self,
        options: &PruneOptions,
        progress: &mut dyn FnMut(PruneStage),
    ) -> Result<PruneEstimate, RepoError> {
        progress(PruneStage::Marking);
        Ok(self.prepare(options)?.estimate)
    }

    /// Deletes what no snapshot needs. Needs maintenance's key ([`crate::Class::NoAuthority`]).
    pub fn prune(
        &self,
        options: &PruneOptions,
        progress: &mut dyn FnMut(PruneStage),
    ) -> Result<PruneReport, RepoError> {
        self.require_authority()?;
        let mut report = self.with_reserve(|is_full| {
            let mut options = *options;
            if is_full {
                // The room of the reserve is for what must be written, not for copies.
                options.policy.max_copy_bytes = Some(0);
            }
            self.prune_rounds(&options, progress)
        })?;
        report.deleted_objects += self.sweep_probes()?;
        report.is_reserve_missing = !self.make_reserve_again();
        Ok(report)
    }

    fn prune_rounds(
        &self,
        options: &PruneOptions,
        progress: &mut dyn FnMut(PruneStage),
    ) -> Result<PruneReport, RepoError> {
        let mut report = self.prune_once(options, progress)?;
        // What a session owned that was given up is disposable only now.
        for _ in 1..ROUNDS_MAX {
            if report.given_up_sessions == 0 || report.waiting_sessions > 0 {
                break;
            }
            let more = self.prune_once(options, progress)?;
            report.add(&more);
            if more.given_up_sessions == 0 {
                break;
            }
        }
        Ok(report)
    }

    fn prune_once(
        &self,
        options: &PruneOptions,
        progress: &mut dyn FnMut(PruneStage),
    ) -> Result<PruneReport, RepoError> {
        let (newest, finished) = plans::newest_numbers(&self.io)?;
        if newest > finished {
            let report = self.finish_plan(newest, options, progress)?;
            if report.waiting_sessions > 0 {
                return Ok(report);
            }
        }
        progress(PruneStage::Marking);
        let prepared = match self.prepare(options) {
            Err(error @ RepoError::Undecidable { .. }) => {
                return self.give_up_silent(error, options, progress);
            }
            prepared => prepared?,
        };
        if !prepared.has_work(self)? {
            // What sessions that are over have left may go at any time.
            let swept = self.sweep_sessions(&prepared.inventory.look)?;
            let estimate = prepared.estimate;
            return Ok(PruneReport { estimate, deleted_objects: swept, ..PruneReport::default() });
        }
        let number = prepared.inventory.view.newest + 1;
        if prepared.inventory.view.is_open() {
            // Another prune has begun meanwhile; its plan is finished together.
            return self.finish_plan(prepared.inventory.view.newest, options, progress);
        }
        let plan = Plan { number, created_at: Timestamp::now(), condemned: prepared.condemned };
        if !self.create_plan(&plan)? {
            return self.finish_plan(number, options, progress);
        }
        progress(PruneStage::Planned(prepared.estimate));
        let (inventory, marks) = (prepared.inventory, Some(prepared.marks));
        let mut report = self.execute(&plan, inventory, marks, options, progress)?;
        report.estimate = prepared.estimate;
        Ok(report)
    }

    /// P2 and the choice of P3.
    fn prepare(&self, options: &PruneOptions) -> Result<Prepared, RepoError> {
        let inventory = Inventory::take(self)?;
        let marks = Marks::of(self, &inventory)?;
        let Usage { packs: uses, missing, is_index_damaged } = marks.usage(self, &inventory)?;
        let old = if options.policy.reseal { self.packs_of_old_epochs(&inventory)? } else { HashSet::new() };
        let is_damaged = |pack| inventory.view.quarantine.holds(pack);
        let known = Known { condemned: &inventory.view.condemned, is_damaged: &is_damaged, old: &old };
        let mut choice = choose(&uses, &known, options.policy);
        choice.damaged.extend(missing);
        let confirmed = self.confirm(&choice, &inventory, &marks)?;
        let estimate = PruneEstimate {
            packs: uses.len() as u64,
            pack_bytes: uses.values().map(|used| used.size_bytes).sum(),
            live_bytes: uses.values().map(|used| used.live_bytes).sum(),
            condemned_packs: confirmed.condemned.len() as u64,
            condemned_bytes: confirmed.bytes,
            copied_bytes: confirmed.live_bytes,
            forgotten_snapshots: inventory.look.disposable().len() as u64,
            open_sessions: inventory.look.sessions.len() as u64,
        };
        if confirmed.unfindable_bytes > estimate.live_bytes / UNINDEXED_SHARE_MAX {
            return Err(RepoError::IndexIncomplete { bytes: confirmed.unfindable_bytes });
        }
        Ok(Prepared { inventory, marks, condemned: confirmed.condemned, is_index_damaged, estimate })
    }

    /// Keeps of a choice what the packs' own trailers confirm: none that an open session owns, and none as dead that is not.
    fn confirm(
        &self,
        choice: &Choice,
        inventory: &Inventory,
        marks: &Marks,
    ) -> Result<Confirmation, RepoError> {
        let is_anybody_there = !inventory.look.sessions.is_empty();
        let owners: HashSet<_> = inventory.look.sessions.iter().map(|session| session.id).collect();
        let mut out = Confirmation::default();
        let mut candidates = choice.all();
        candidates.truncate(CONDEMNED_MAX);
        let trailers = marks.confirm(self, &candidates)?;
        for (pack, why) in candidates {
            let trailer = trailers.get(&pack);
            let is_owned = trailer.is_some_and(|trailer| owners.contains(&trailer.session));
            let live_bytes = trailer.map_or(0, |trailer| trailer.live_bytes);
            let goes = match why {
                Why::Condemned => true,
                // Whose it is cannot be asked of a pack whose trailer is lost, so nobody may be there.
                Why::Damaged => trailer.map_or(!is_anybody_there, |_| !is_owned),
                Why::Dead => trailer.is_some() && !is_owned && live_bytes == 0,
                Why::Old | Why::Wasteful | Why::Unindexed => trailer.is_some() && !is_owned,
            };
            if !goes {
                continue;
            }
            out.condemned.push(pack.0, pack.1);
            out.bytes += inventory.packs.get(&pack).copied().unwrap_or_default();
            out.live_bytes += live_bytes;
            out.unfindable_bytes += trailer.map_or(0, |trailer| trailer.unfindable_bytes);
        }
        Ok(out)
    }

    /// False if the number is taken.
    fn create_plan(&self, plan: &Plan) -> Result<bool, RepoError> {
        let name = names::plan(plan.number, PlanObject::Plan);
        let plain = plan.encode().map_err(RepoError::format(&name))?;
        let sealed = record::seal(&self.keys, RecordKind::Plan, &name, &plain)?;
        match self.io.create(&name, sealed) {
            Ok(()) => Ok(true),
            Err(RepoError::Store { source }) if source.class() == StoreClass::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What a session needs that died may be lost, and then nobody can tell what to keep for it: prune would wait for ever. A
    /// plan that condemns nothing ends silent sessions (P2); the next round sees whether that was all.
    fn give_up_silent(
        &self,
        undecidable: RepoError,
        options: &PruneOptions,
        progress: &mut dyn FnMut(PruneStage),
    ) -> Result<PruneReport, RepoError> {
        let inventory = Inventory::take(self)?;
        if inventory.view.is_open() {
            return self.finish_plan(inventory.view.newest, options, progress);
        }
        if !settle::has_silent(self, &inventory.look, inventory.view.newest)? {
            return Err(undecidable);
        }
        let number = inventory.view.newest + 1;
        let plan = Plan { number, created_at: Timestamp::now(), condemned: PackList::default() };
        match self.create_plan(&plan)? {
            true => self.execute(&plan, inventory, None, options, progress),
            false => self.finish_plan(number, options, progress),
        }
    }

    /// Goes on with a plan that is there (P1).
    fn finish_plan(
        &self,
        number: u64,
        options: &PruneOptions,
        progress: &mut dyn FnMut(PruneStage),
    ) -> Result<PruneReport, RepoError> {
        progress(PruneStage::Marking);
        let plan = plans::read_plan(&self.io, &self.keys, number)?;
        let mut inventory = Inventory::take(self)?;
        if plan.condemned.is_empty() {
            return self.execute(&plan, inventory, None, options, progress);
        }
        let mut given_up = 0;
        let marks = match Marks::of(self, &inventory) {
            Err(RepoError::Undecidable { .. }) => {
                given_up = settle::end_silent(self, number, &inventory.look)?;
                inventory = Inventory::take(self)?;
                Marks::of(self, &inventory)?
            }
            marks => marks?,
        };
        let mut report = self.execute(&plan, inventory, Some(marks), options, progress)?;
        report.given_up_sessions += given_up;
        Ok(report)
    }

    /// P4 to P8. A plan that condemns nothing needs no marks.
    fn execute(
        &self,
        plan: &Plan,
        inventory: Inventory,
        mut marks: Option<Marks>,
        options: &PruneOptions,
        progress: &mut dyn FnMut(PruneStage),
    ) -> Result<PruneReport, RepoError> {
        let mut report = PruneReport { plan: plan.number, ..PruneReport::default() };
        progress(PruneStage::Settling);
        self.require_newest(plan.number)?;
        self.index.adopt_view(&plans::PlanView::load(&self.io, &self.keys)?.index());
        let look = match settle::settle(self, plan.number, options.patience)? {
            Settled::All(look, given_up) => {
                report.given_up_sessions = given_up;
                look
            }
            Settled::Waiting(count) => {
                report.waiting_sessions = count;
                return Ok(report);
            }
        };
        if let Some(marks) = &mut marks {
            marks.add(self, &look)?;
        }
        let used = sessions::packs_used(self, &look.sessions, plan.number)?;
        let total = plan.condemned.len();
        let mut done = 0;
        progress(PruneStage::Copying(0, total));
        let copied = Copier::new(self, marks.as_ref(), used)?.run(plan.condemned.iter(), &mut || {
            done += 1;
            progress(PruneStage::Copying(done, total));
        })?;
        report.copied_bytes = copied.bytes;
        report.spared_packs = copied.spared.len() as u64;
        progress(PruneStage::Indexing);
        let result = self.write_result(plan, &look)?;
        progress(PruneStage::Sweeping);
        report.waiting_sessions = settle::wait_for_checks(self, plan.number, options.patience)?;
        if report.waiting_sessions > 0 {
            return Ok(report);
        }
        std::thread::sleep(Duration::from_secs(self.config.reader_grace_seconds.into()));
        self.require_newest(plan.number)?;
        let swept = self.sweep(plan, &result, &look, &inventory.packs, &copied.spared)?;
        report.deleted_packs = swept.packs;
        report.deleted_bytes = swept.pack_bytes;
        report.deleted_objects = swept.objects;
        Ok(report)
    }

    fn require_authority(&self) -> Result<(), RepoError> {
        if self.can_maintain() { Ok(()) } else { Err(RepoError::NoAuthority) }
    }

    fn level_0_count(&self) -> Result<usize, RepoError> {
        let (segments, _) = self.index.list_segments()?;
        Ok(segments.iter().filter(|segment| matches!(segment.level, Level::Zero { .. })).count())
    }

    /// Only the newest plan counts. Who was paused and finds a newer one has nothing more to do.
    fn require_newest(&self, number: u64) -> Result<(), RepoError> {
        match plans::newest_numbers(&self.io)?.0 {
            newest if newest == number => Ok(()),
            _ => Err(RepoError::Overtaken),
        }
    }
}

impl Prepared {
    /// Whether a plan would change anything worth its waiting.
    fn has_work(&self, repository: &Repository) -> Result<bool, RepoError> {
        let has_waste = !self.condemned.is_empty()
            || !self.inventory.look.disposable().is_empty()
            || self.is_index_damaged;
        let plan = self.inventory.view.newest;
        Ok(has_waste
            || repository.level_0_count()? >= LEVEL_0_MANY
            || repository.has_leftovers(&self.inventory.view)?
            || settle::has_silent(repository, &self.inventory.look, plan)?)
    }
}
