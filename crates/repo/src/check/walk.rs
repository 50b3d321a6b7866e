use super::{
    CheckProgress, CheckReport,
    packs::{Found, PackTable},
};
use crate::{
    RepoError, Repository,
    snapshots::{self, AtKey},
    walk::{SeenNodes, Visitor},
};
use longshore_format::{
    ChunkId, Location, NodeRef,
    names::{self, PackKind, SnapshotKey},
};
use std::sync::{Mutex, PoisonError};

impl Repository {
    pub(super) fn check_snapshots(
        &self,
        packs: &mut PackTable,
        report: &mut CheckReport,
        progress: &mut dyn FnMut(CheckProgress),
    ) -> Result<(), RepoError> {
        let objects = self.io.list(names::SNAPSHOTS)?;
        let total = objects.len() as u64;
        let seen = SeenNodes::new();
        for (done, object) in objects.iter().enumerate() {
            progress(CheckProgress::Snapshots { done: done as u64, total });
            match names::parse_snapshot(&object.name) {
                Some(key) => self.check_snapshot(key, &seen, packs, report)?,
                None => report.problem(object.name.clone(), "not the name of a snapshot record"),
            }
        }
        progress(CheckProgress::Snapshots { done: total, total });
        Ok(())
    }

    fn check_snapshot(
        &self,
        key: SnapshotKey,
        seen: &SeenNodes,
        packs: &mut PackTable,
        report: &mut CheckReport,
    ) -> Result<(), RepoError> {
        let name = names::snapshot(&key);
        let snapshot = match snapshots::read_key(self, key) {
            Ok(AtKey::Snapshot(snapshot)) => snapshot,
            Ok(AtKey::Fence) => return Ok(()),
            Err(error) => return report.damage(&name, error),
        };
        if self.is_forgotten(key.source, key.run)? {
            return Ok(());
        }
        report.snapshots += 1;
        let Some(root) = snapshot.record.content.root() else { return Ok(()) };
        let found = Mutex::new(Findings { packs, report, failure: None });
        let visitor = CheckVisitor { repository: self, snapshot: &name, found };
        self.walk(vec![root], seen, &visitor)?;
        visitor.finish()
    }
}

/// Proves what one snapshot needs. Nodes are read side by side, findings are noted one at a time.
struct CheckVisitor<'a> {
    repository: &'a Repository,
    snapshot: &'a str,
    found: Mutex<Findings<'a>>,
}

struct Findings<'a> {
    packs: &'a mut PackTable,
    report: &'a mut CheckReport,
    /// The first failure that says nothing about the repository.
    failure: Option<RepoError>,
}

impl Visitor for CheckVisitor<'_> {
    fn node(&self, _: &NodeRef) {
        self.lock().report.nodes += 1;
    }

    fn chunk(&self, id: &[u8; 32], location: Location) {
        let mut found = self.lock();
        let Findings { packs, report, failure } = &mut *found;
        match self.repository.find_chunk(id, location, packs, report) {
            Ok(Found::New) => report.chunks += 1,
            Ok(Found::Again) => {}
            Ok(Found::No) => {
                let object = format!("chunk {} of {}", ChunkId(*id), self.snapshot);
                report.problem(object, "it is in no pack that can be read");
            }
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }

    fn broken(&self, node: &NodeRef, error: RepoError) -> Result<(), RepoError> {
        self.lock().report.damage(&format!("node {} of {}", node.id, self.snapshot), error)
    }
}

impl<'a> CheckVisitor<'a> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Findings<'a>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(self) -> Result<(), RepoError> {
        self.found.into_inner().unwrap_or_else(PoisonError::into_inner).failure.map_or(Ok(()), Err)
    }
}

impl Repository {
    fn find_chunk(
        &self,
        id: &[u8; 32],
        location: Location,
        packs: &mut PackTable,
        report: &mut CheckReport,
    ) -> Result<Found, RepoError> {
        let hinted = match location {
            Location::Stored(place) => Some(place),
            Location::Unknown | Location::Open { .. } => None,
        };
        if let Some(place) = hinted {
            let found = packs.find(self, PackKind::Data, id, &place, report)?;
            if found != Found::No {
                return Ok(found);
            }
        }
        match self.index.find_anywhere(PackKind::Data, id, hinted) {
            Ok(Some(place)) => packs.find(self, PackKind::Data, id, &place, report),
            Ok(None) => Ok(Found::No),
            // A damaged index was reported when it was read whole; here it only means that it does not help.
            Err(error) if error.class().is_transient() => Err(error),
            Err(_) => Ok(Found::No),
        }
    }
}
