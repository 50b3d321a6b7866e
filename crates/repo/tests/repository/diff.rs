//! A difference is what a full comparison finds, and costs what differs.

mod trees;
mod volumes;

use crate::support::{COST, password};
use longshore_repo::{
    DiffTotals, Difference, Repository, Snapshot,
    store::{MetricsStore, StoreCounters, memory},
};
use std::{ops::ControlFlow, sync::Arc};

/// A repository whose requests are counted.
fn counted() -> (Arc<StoreCounters>, Repository) {
    let counters = Arc::new(StoreCounters::default());
    let store = Arc::new(MetricsStore::new(memory(), counters.clone()));
    (counters, Repository::init(store, &password(), COST).unwrap())
}

fn diff(repository: &Repository, before: &Snapshot, after: &Snapshot) -> (Vec<Difference>, DiffTotals) {
    let mut found = Vec::new();
    let totals = repository.diff(before, after, &mut |difference| {
        found.push(difference);
        ControlFlow::Continue(())
    });
    (found, totals.unwrap())
}
