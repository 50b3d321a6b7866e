//! Damage of every kind of object: detected, named, and the rest still restorable; then repaired as far as it goes.

mod heal;
mod index;
mod matrix;
mod records;

use crate::support::{back_up, block_on, noise, objects, open, restore, run_id, small_packs, store_of};
use bytes::Bytes;
use jiff::Timestamp;
use longshore_repo::{
    CheckOptions, CheckReport, PacksRepair, PruneOptions, PrunePolicy, PruneReport, Repository, Snapshot,
    store::Store,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub type Objects = BTreeMap<String, Bytes>;

/// Two volumes that share nothing, each a snapshot of its own source.
pub struct Scene {
    pub objects: Objects,
    pub volumes: [Vec<u8>; 2],
    /// Objects that the first volume's backup made, and those that only the second's did.
    pub first: Vec<String>,
}

pub const SOURCES: [&str; 2] = ["db", "web"];

pub fn scene() -> Scene {
    let (store, repository) = small_packs();
    let volumes = [noise(1, 3 << 20), noise(2, 3 << 20)];
    back_up(&repository, SOURCES[0], run_id(1), &volumes[0], None).unwrap();
    let first = objects(&store).into_keys().collect();
    back_up(&repository, SOURCES[1], run_id(2), &volumes[1], None).unwrap();
    Scene { objects: objects(&store), volumes, first }
}

impl Scene {
    /// The names under a prefix that the first backup made.
    pub fn of_first(&self, prefix: &str) -> Vec<String> {
        self.first.iter().filter(|name| name.starts_with(prefix)).cloned().collect()
    }
}

pub fn flip(body: &Bytes, at: usize) -> Bytes {
    let mut body = body.to_vec();
    body[at] ^= 1 << (at % 8);
    body.into()
}

pub fn check(store: &Arc<dyn Store>, read_data: bool) -> CheckReport {
    open(store).unwrap().check(&CheckOptions { read_data }, &mut |_| {}).unwrap()
}

/// The objects that a check names.
pub fn named(report: &CheckReport) -> Vec<String> {
    report.problems.iter().map(|problem| problem.object.clone()).collect()
}

pub fn repair_packs(store: &Arc<dyn Store>) -> PacksRepair {
    open(store).unwrap().repair_packs(false, Timestamp::UNIX_EPOCH, &mut |_| {}).unwrap()
}

pub fn prune_all(store: &Arc<dyn Store>) -> PruneReport {
    let policy = PrunePolicy { max_unused_percent: 0, ..PrunePolicy::default() };
    let options = PruneOptions { policy, patience: Duration::from_secs(60) };
    open(store).unwrap().prune(&options, &mut |_| {}).unwrap()
}

pub fn snapshot(repository: &Repository, run: u128) -> Snapshot {
    repository.resolve(&run_id(run).to_string()).unwrap()
}

/// Whether the snapshot of a run comes back; if it does, it must be right.
pub fn comes_back(store: &Arc<dyn Store>, run: u128, volume: &[u8]) -> bool {
    let Ok(repository) = open(store) else { return false };
    let restored =
        repository.resolve(&run_id(run).to_string()).and_then(|snapshot| restore(&repository, &snapshot));
    match restored {
        Ok(bytes) => {
            assert!(bytes == volume, "wrong bytes were restored");
            true
        }
        Err(_) => false,
    }
}

pub fn delete(store: &Arc<dyn Store>, name: &str) {
    block_on(store.delete(name)).unwrap();
}

pub fn replace(store: &Arc<dyn Store>, name: &str, body: Bytes) {
    delete(store, name);
    block_on(store.create(name, body)).unwrap();
}

pub fn with(objects: &Objects, name: &str, body: Option<Bytes>) -> Arc<dyn Store> {
    let mut objects = objects.clone();
    match body {
        Some(body) => objects.insert(name.to_owned(), body),
        None => objects.remove(name),
    };
    store_of(&objects)
}
