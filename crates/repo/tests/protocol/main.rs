//! The protocol of deletion (`docs/concurrency.md`), played exhaustively for small numbers of everything.
//!
//! A *scene* ([`scene::Scene`]) says who takes part: writers, readers, prunes, and which runs may be forgotten. Every request to the
//! store is one step, and at each point any process may make its next one, so that all orders are tried, and with them every pause:
//! a process that never moves again has crashed, one that moves much later is a zombie. Silence is a judgement that a prune may make
//! of anybody at any moment, because clocks must not matter. `holds` says where the protocol keeps its promises ([`properties`]),
//! `caught` that each rule is needed: a [`change::Change`] that breaks one is noticed.
//!
//! `cargo test -p longshore-repo --test protocol -- --nocapture` prints how many states there were. Wide scenes, of minutes and
//! gigabytes, are played with `LONGSHORE_PROTOCOL_WIDE=1` in the environment.
//!
//! What it takes for granted: a listing is one step (what its pages may miss is said in the document); chunks stand for all that a tree
//! needs, so a walk cannot fail half-way; a request that was given up does not come through later.

#![allow(clippy::unwrap_used, clippy::panic)]

mod caught;
mod change;
mod holds;
mod look;
mod properties;
mod prune;
mod reader;
mod scene;
mod scenes;
mod set;
mod state;
mod store;
mod writer;

use std::time::Instant;

use scene::Scene;
use stateright::{Checker, HasDiscoveries, Model, Path};

/// A promise that was broken, and the shortest way there.
struct Found {
    promise: &'static str,
    way: Path<state::State, state::Act>,
}

/// Plays every order, or up to the first broken promise. `deep` needs less memory and finds longer ways.
fn play(scene: Scene, deep: bool) -> Option<Found> {
    let (name, change) = (scene.name, scene.change);
    let start = Instant::now();
    let checker = scene.checker().finish_when(HasDiscoveries::AnyFailures);
    let (found, states) = match deep {
        true => outcome(checker.spawn_dfs().join()),
        false => outcome(checker.spawn_bfs().join()),
    };
    let change = change.map(|change| format!(", but {change:?}")).unwrap_or_default();
    let promise = found.as_ref().map_or("all promises kept", |found| found.promise);
    println!("{name}{change}: {states} states, {:.1} s: {promise}", start.elapsed().as_secs_f32());
    found
}

fn outcome(checker: impl Checker<Scene>) -> (Option<Found>, usize) {
    let mut ways = checker.discoveries();
    let mut promises = checker.model().properties().into_iter().map(|promise| promise.name);
    let found = promises.find_map(|promise| Some(Found { promise, way: ways.remove(promise)? }));
    (found, checker.unique_state_count())
}

impl Found {
    fn tell(self) -> String {
        let acts: Vec<_> = self.way.into_actions().iter().map(|act| format!("  {act:?}")).collect();
        format!("broken: {}\n{}", self.promise, acts.join("\n"))
    }
}
