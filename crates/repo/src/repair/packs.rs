use crate::{
    CheckProgress, Losses, RepoError, Repository,
    check::{CheckReport, packs::PackTable, says_damage},
    error::chain,
    parallel,
    plans::PlanView,
    prune::Copier,
};
use jiff::Timestamp;
use longshore_format::{
    FrameId, PackId,
    damage::DamageReport,
    names::{self, PackKind},
    pack::TrailerEntry,
};
use std::collections::{HashMap, HashSet};

/// A pack that is damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedPack {
    /// Its object.
    pub object: String,
    /// What is wrong, with all causes.
    pub reason: String,
    /// Chunks or nodes that it held. 0 if nothing says what it held.
    pub frames: u64,
    /// Of them, those that stand nowhere else. If nothing says what it held, the snapshots' losses tell.
    pub lost: Vec<FrameId>,
}

/// What a repair of packs found and did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PacksRepair {
    /// Packs that were read.
    pub read_packs: u64,
    /// Their bytes.
    pub read_bytes: u64,
    /// Packs that are damaged or missing.
    pub damaged: Vec<DamagedPack>,
    /// Bytes of good frames that were copied into new packs.
    pub saved_bytes: u64,
    /// Snapshots that cannot be restored whole until a backup stores again what they miss.
    pub losses: Vec<Losses>,
}

type PackKey = (PackKind, PackId);

/// A pack in which something is wrong. Its frames are by its trailer or, if that cannot be read, by the index.
struct Found {
    key: PackKey,
    reason: String,
    frames: Vec<TrailerEntry>,
    lost: Option<Vec<FrameId>>,
}

impl Repository {
    /// Reads every pack. Of those that are damaged or missing it makes a report, so that no writer relies on them any
    /// more, and copies what is good into new packs. With `dry_run` it only reads.
    ///
    /// # Errors
    /// [`crate::Class::NoAuthority`] if the key that opened the repository is a mover's, unless nothing is to be done.
    pub fn repair_packs(
        &self,
        dry_run: bool,
        now: Timestamp,
        progress: &mut dyn FnMut(CheckProgress),
    ) -> Result<PacksRepair, RepoError> {
        if !dry_run && !self.can_maintain() {
            return Err(RepoError::NoAuthority);
        }
        // Prune deletes nothing meanwhile.
        let _reading = self.begin_check()?;
        let mut repair = PacksRepair::default();
        let found = self.find_damaged_packs(&mut repair, progress)?;
        if !dry_run {
            for pack in &found {
                self.report_damage(&report_of(pack, now))?;
            }
            // From here on no damaged pack passes for a copy of anything.
            self.index.adopt_view(&PlanView::load(&self.io, &self.keys)?.index());
            let listed = found.iter().map(|pack| (pack.key.1, pack.frames.clone())).collect();
            let copier = Copier::new(self, None, HashMap::new())?.with_listed(listed);
            let copied = copier.run(found.iter().map(|pack| pack.key), &mut || {})?;
            repair.saved_bytes = copied.bytes;
        }
        for pack in found {
            let mut lost = pack.lost.unwrap_or_default();
            let mut missing = Vec::new();
            for id in lost.drain(..) {
                if !self.has_good_copy(pack.key, &id)? {
                    missing.push(id);
                }
            }
            repair.damaged.push(DamagedPack {
                object: names::pack(pack.key.0, pack.key.1),
                reason: pack.reason,
                frames: pack.frames.len() as u64,
                lost: missing,
            });
        }
        if !repair.damaged.is_empty() {
            repair.losses = self.losses_in(self.snapshots()?, &mut self.table_of(&repair)?)?;
        }
        Ok(repair)
    }

    /// The packs of the store, of which a dry run has made no reports.
    fn table_of(&self, repair: &PacksRepair) -> Result<PackTable, RepoError> {
        let mut table = PackTable::list(self, &mut CheckReport::default())?;
        for pack in &repair.damaged {
            if let Some(key) = names::parse_pack(&pack.object) {
                let lost = (pack.frames > 0).then(|| pack.lost.iter().map(|id| id.0).collect());
                table.note_damage(key, lost);
            }
        }
        Ok(table)
    }

    fn find_damaged_packs(
        &self,
        repair: &mut PacksRepair,
        progress: &mut dyn FnMut(CheckProgress),
    ) -> Result<Vec<Found>, RepoError> {
        let mut sizes = HashMap::new();
        for kind in PackKind::ALL {
            for object in self.io.list(kind.prefix())? {
                if let Some(key) = names::parse_pack(&object.name) {
                    sizes.insert(key, object.size_bytes);
                }
            }
        }
        let view = PlanView::load(&self.io, &self.keys)?;
        self.index.adopt_view(&view.index());
        let mut suspects = self.missing_packs(&sizes, &view)?;
        let mut keys: Vec<PackKey> = sizes.keys().copied().collect();
        keys.sort();
        let total_bytes = sizes.values().sum();
        let at_once = std::thread::available_parallelism().map_or(2, usize::from).min(4);
        for some in keys.chunks(at_once) {
            let examined = parallel::map(some, at_once, |(kind, id)| self.examine_pack(*kind, *id, None))?;
            for (key, examined) in some.iter().zip(examined) {
                repair.read_packs += 1;
                repair.read_bytes += examined.length_bytes;
                if examined.error.is_some() {
                    suspects.push(*key);
                }
            }
            progress(CheckProgress::Data { done_bytes: repair.read_bytes, total_bytes });
        }
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        let listed = self.listed_frames(&suspects)?;
        let mut found = Vec::new();
        for key in suspects {
            let listed = listed.get(&key.1).map(Vec::as_slice);
            let examined = self.examine_pack(key.0, key.1, listed)?;
            let Some(error) = examined.error else { continue };
            let reason = chain(&error);
            found.push(Found { key, reason, frames: examined.frames, lost: examined.lost });
        }
        Ok(found)
    }

    /// Packs that a segment lists and the store does not have, though no prune can have deleted them.
    fn missing_packs(
        &self,
        sizes: &HashMap<PackKey, u64>,
        view: &PlanView,
    ) -> Result<Vec<PackKey>, RepoError> {
        // Of what a plan condemns that has no result, nothing is copied yet, so nothing is deleted.
        let may_be_gone =
            |pack| self.index.is_condemned(pack) && !(view.is_open() && view.condemned.contains(&pack));
        let mut unseen = HashSet::new();
        self.index.each_pack(&mut |pack| {
            let key = (pack.kind, pack.id);
            if !sizes.contains_key(&key) && !may_be_gone(pack.id) {
                unseen.insert(key);
            }
        })?;
        let mut missing = Vec::new();
        for key in unseen {
            // It may have been stored since the listing.
            match self.io.info(&names::pack(key.0, key.1)) {
                Ok(_) => {}
                Err(error) if says_damage(&error) => missing.push(key),
                Err(error) => return Err(error),
            }
        }
        missing.sort();
        Ok(missing)
    }

    /// What the index says these packs held.
    fn listed_frames(&self, packs: &[PackKey]) -> Result<HashMap<PackId, Vec<TrailerEntry>>, RepoError> {
        let wanted: HashSet<PackId> = packs.iter().map(|(_, id)| *id).collect();
        let mut listed = HashMap::new();
        self.index.each_pack(&mut |pack| {
            if wanted.contains(&pack.id) {
                listed.insert(pack.id, pack.entries.clone());
            }
        })?;
        Ok(listed)
    }

    /// Whether another pack holds an id, by reading it.
    fn has_good_copy(&self, pack: PackKey, id: &FrameId) -> Result<bool, RepoError> {
        let mut tried = vec![pack.1];
        while let Some(place) = self.index.find_anywhere(pack.0, &id.0, &tried)? {
            match self.prove_copy(pack.0, &id.0, place) {
                Ok(()) => return Ok(true),
                Err(error) if !says_damage(&error) => return Err(error),
                Err(_) => tried.push(place.pack),
            }
        }
        Ok(false)
    }
}

fn report_of(pack: &Found, now: Timestamp) -> DamageReport {
    DamageReport {
        kind: pack.key.0,
        pack: pack.key.1,
        lost: pack.lost.clone(),
        found_at: now,
        reason: pack.reason.clone(),
        software: crate::SOFTWARE.to_owned(),
    }
}
