//! Which objects the kept snapshots need.

use crate::{
    RepoError, Repository, plans,
    walk::{SeenNodes, Visitor},
};
use longshore_format::{
    Location, NodeRef, PackId,
    names::{self, PackKind},
};
use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

/// Places whose every object is needed: who opens the repository reads them.
const WHOLE_PLACES: [&str; 6] =
    [names::KEYS, names::KEYSETS, names::CONFIG, names::TOMBSTONES, names::CHECKPOINTS, names::DAMAGE];

/// Packs that were named by what was walked.
struct Named {
    present: HashSet<(PackKind, PackId)>,
    named: Mutex<HashSet<(PackKind, PackId)>>,
    /// Ids whose pack is not where they were written: prune has copied them.
    moved: Mutex<HashSet<(PackKind, [u8; 32])>>,
}

impl Named {
    fn note(&self, kind: PackKind, id: &[u8; 32], location: Location) {
        match location {
            Location::Stored(place) if self.present.contains(&(kind, place.pack)) => {
                self.named.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, place.pack));
            }
            _ => {
                self.moved.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, *id));
            }
        }
    }
}

impl Visitor for Named {
    fn node(&self, node: &NodeRef) {
        self.note(PackKind::Meta, &node.id.0, node.location);
    }

    fn chunk(&self, id: &[u8; 32], location: Location) {
        self.note(PackKind::Data, id, location);
    }

    fn broken(&self, node: &NodeRef, error: RepoError) -> Result<(), RepoError> {
        if error.class().is_transient() {
            return Err(error);
        }
        Err(RepoError::Undecidable { object: format!("node {}", node.id), source: Box::new(error) })
    }
}

impl Repository {
    /// Names of all objects that a restore of any kept snapshot reads, and of what opens the repository, sorted. Chunks that
    /// are missing are no business of this: `check` finds them.
    pub(super) fn needed_objects(&self) -> Result<Vec<String>, RepoError> {
        let mut needed: HashSet<String> = self.needed_packs()?;
        needed.insert(names::REPOSITORY.to_owned());
        for place in WHOLE_PLACES {
            needed.extend(self.io.list(place)?.into_iter().map(|object| object.name));
        }
        let (newest, _) = plans::newest_numbers(&self.io)?;
        let plans = self.io.list(names::PLANS)?.into_iter().map(|object| object.name);
        needed
            .extend(plans.filter(|name| names::parse_plan(name).is_some_and(|(number, _)| number == newest)));
        needed.extend(self.index.list_segments()?.0.iter().map(|segment| segment.name()));
        for key in self.snapshot_keys(names::SNAPSHOTS)? {
            // Fences too: the attempt behind a fence must never commit.
            if !self.is_forgotten(key.source, key.run)? {
                needed.insert(names::snapshot(&key));
            }
        }
        let mut needed: Vec<_> = needed.into_iter().collect();
        needed.sort();
        Ok(needed)
    }

    fn needed_packs(&self) -> Result<HashSet<String>, RepoError> {
        let mut present = HashSet::new();
        for kind in PackKind::ALL {
            let listed = self.io.list(kind.prefix())?;
            present.extend(listed.iter().filter_map(|object| names::parse_pack(&object.name)));
        }
        let visitor = Named { present, named: Mutex::default(), moved: Mutex::default() };
        let snapshots = self.snapshots()?;
        let roots = snapshots.iter().filter_map(|snapshot| snapshot.record.content.root()).collect();
        self.walk(roots, &SeenNodes::new(), &visitor)?;
        let mut named = visitor.named.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (kind, id) in visitor.moved.into_inner().unwrap_or_else(PoisonError::into_inner) {
            named.extend(self.index.find_anywhere(kind, &id, &[])?.map(|place| (kind, place.pack)));
        }
        Ok(named.into_iter().map(|(kind, pack)| names::pack(kind, pack)).collect())
    }
}
