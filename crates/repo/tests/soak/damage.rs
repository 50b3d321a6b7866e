//! Damage that befalls packs, and maintenance that finds it.

use crate::history::{History, names};
use longshore_repo::{Class, RepoError, Repository, Snapshot, store};
use longshore_testkit::{Fault, FaultStore};
use rand::Rng as _;

impl History<'_> {
    /// A pack of chunks rots or is gone. Maintenance repairs at once, often after an attempt that was killed. Whoever begins a
    /// backup later must store again what is lost; only what was there or under way may miss it.
    pub(crate) fn damage(&mut self) {
        let mut packs = names(&self.store);
        packs.retain(|name| name.starts_with("data/"));
        if packs.is_empty() {
            return;
        }
        let pack = &packs[self.rng.random_range(0..packs.len())];
        match self.rng.random_bool(0.3) {
            true => self.store.lose(pack),
            false => self.store.rot(pack, self.rng.random()),
        }
        self.log.push(format!("damage {pack}"));
        for writer in &mut self.writers {
            writer.was_hit = true;
        }
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
                let is_named = matches!(error.class(), Class::Corrupt | Class::Store(store::Class::NotFound));
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
