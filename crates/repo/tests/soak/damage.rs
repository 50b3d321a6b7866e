//! Damage that befalls packs and segments, and maintenance that finds it.

use crate::history::{History, names};
use longshore_repo::{Class, RepoError, Repository, Snapshot, store};
use longshore_testkit::{Fault, FaultStore};
use rand::Rng as _;

impl History<'_> {
    /// An object rots or is gone, and maintenance repairs at once, often after an attempt that was killed.
    pub(crate) fn damage(&mut self) {
        let mut objects = names(&self.store);
        objects.retain(|name| ["data/", "meta/", "idx/"].iter().any(|prefix| name.starts_with(prefix)));
        if objects.is_empty() {
            return;
        }
        let object = objects.swap_remove(self.rng.random_range(0..objects.len()));
        match self.rng.random_bool(0.3) {
            true => self.store.lose(&object),
            false => self.store.rot(&object, self.rng.random()),
        }
        self.log.push(format!("damage {object}"));
        if object.starts_with("idx/") {
            self.has_lost_segments = true;
            self.repair(rebuild);
        } else {
            // Whoever begins a backup later must store again what is lost; only what was there or under way may miss it.
            self.has_lost_nodes |= object.starts_with("meta/");
            for writer in &mut self.writers {
                writer.was_hit = true;
            }
            self.repair(repair);
        }
    }

    fn repair(&mut self, repair: fn(&Repository) -> Result<Vec<Snapshot>, RepoError>) {
        if self.rng.random_bool(0.5) {
            let dies_at = self.rng.random_range(0..80);
            let dying =
                FaultStore::new(self.store.clone(), move |at, _| (at == dies_at).then_some(Fault::DeadAfter));
            if let Ok(repository) = Repository::open(dying, &crate::history::password()) {
                let killed = repair(&repository);
                self.log.push(format!("repair, dies at {dies_at}: {killed:?}"));
            }
        }
        let losses = repair(&self.open()).unwrap();
        self.log.push(format!("repair: {losses:?}"));
        for snapshot in &losses {
            assert!(self.expected.contains_key(&snapshot.id()), "{}", snapshot.id());
            self.hit.insert(snapshot.id());
        }
    }

    /// Whether a snapshot that damage has hit comes back whole. It never comes back as something else.
    pub(crate) fn is_whole(&self, repository: &Repository, snapshot: &Snapshot) -> bool {
        match crate::history::restore(repository, snapshot) {
            Ok(content) => {
                assert!(content == self.expected[&snapshot.id()], "{}", snapshot.id());
                true
            }
            Err(error) => {
                // A flipped version is one that is not known.
                let is_named = matches!(
                    error.class(),
                    Class::Corrupt | Class::Unsupported | Class::Store(store::Class::NotFound)
                );
                assert!(is_named && self.hit.contains(&snapshot.id()), "{}: {error:?}", snapshot.id());
                false
            }
        }
    }
}

fn repair(repository: &Repository) -> Result<Vec<Snapshot>, RepoError> {
    let repair = repository.repair_packs(false, jiff::Timestamp::UNIX_EPOCH, &mut |_| {})?;
    Ok(repair.losses.into_iter().map(|losses| losses.snapshot).collect())
}

/// Whether nobody can tell what a snapshot needs.
pub(crate) fn is_undecidable(repository: &Repository, snapshot: &Snapshot) -> bool {
    repository.open_volume(snapshot).and_then(|volume| volume.span(0)).is_err()
}

/// No snapshot needs a segment: nothing is lost with one.
fn rebuild(repository: &Repository) -> Result<Vec<Snapshot>, RepoError> {
    repository.rebuild_index().map(|_| Vec::new())
}
