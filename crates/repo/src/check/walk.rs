use super::{
    CheckProgress, CheckReport,
    packs::{Found, PackTable},
    says_damage,
};
use crate::{
    RepoError, Repository,
    snapshots::{self, AtKey},
    walk::{SeenNodes, Visitor},
};
use longshore_format::{
    ChunkId, Location, NodeRef,
    names::{self, SnapshotKey},
};
use std::sync::{Mutex, PoisonError};

impl Repository {
    /// Walks all snapshots; whether one of them needs something that is lost.
    pub(super) fn check_snapshots(
        &self,
        packs: &mut PackTable,
        report: &mut CheckReport,
        progress: &mut dyn FnMut(CheckProgress),
    ) -> Result<bool, RepoError> {
        let objects = self.io.list(names::SNAPSHOTS)?;
        let total = objects.len() as u64;
        let seen = SeenNodes::new();
        let mut is_hit = false;
        for (done, object) in objects.iter().enumerate() {
            progress(CheckProgress::Snapshots { done: done as u64, total });
            match names::parse_snapshot(&object.name) {
                Some(key) => is_hit |= self.check_snapshot(key, &seen, packs, report)?,
                None => report.problem(object.name.clone(), "not the name of a snapshot record"),
            }
        }
        progress(CheckProgress::Snapshots { done: total, total });
        Ok(is_hit)
    }

    fn check_snapshot(
        &self,
        key: SnapshotKey,
        seen: &SeenNodes,
        packs: &mut PackTable,
        report: &mut CheckReport,
    ) -> Result<bool, RepoError> {
        let name = names::snapshot(&key);
        // A tombstone that cannot be read was reported with the other records; it forgets nothing.
        let is_forgotten = match self.is_forgotten(key.source, key.run) {
            Err(error) if says_damage(&error) => false,
            result => result?,
        };
        if is_forgotten {
            return Ok(false);
        }
        let snapshot = match snapshots::read_key(self, key) {
            Ok(AtKey::Snapshot(snapshot)) => snapshot,
            Ok(AtKey::Fence) => return Ok(false),
            Err(error) => return report.damage(&name, error).map(|()| false),
        };
        report.snapshots += 1;
        let Some(root) = snapshot.record.content.root() else { return Ok(false) };
        let found = Mutex::new(Findings { packs, report, failure: None, is_hit: false });
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
    /// Something that the snapshot needs is lost.
    is_hit: bool,
}

impl Visitor for CheckVisitor<'_> {
    fn node(&self, _: &NodeRef) {
        self.lock().report.nodes += 1;
    }

    fn chunk(&self, id: &[u8; 32], location: Location) {
        let mut found = self.lock();
        let Findings { packs, report, failure, is_hit } = &mut *found;
        match packs.find_anywhere(self.repository, id, location, report) {
            Ok(Found::New) => report.chunks += 1,
            Ok(Found::Again) => {}
            Ok(Found::No) => {
                *is_hit = true;
                let object = format!("chunk {} of {}", ChunkId(*id), self.snapshot);
                report.problem(object, "it is in no pack that can be read");
            }
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }

    fn broken(&self, node: &NodeRef, error: RepoError) -> Result<(), RepoError> {
        let mut found = self.lock();
        found.is_hit = true;
        found.report.damage(&format!("node {} of {}", node.id, self.snapshot), error)
    }
}

impl<'a> CheckVisitor<'a> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Findings<'a>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something that the snapshot needs is lost.
    fn finish(self) -> Result<bool, RepoError> {
        let found = self.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.failure.map_or(Ok(found.is_hit), Err)
    }
}
