//! What must hold in every state that can be reached.

use stateright::Property;

use crate::{
    change::Change,
    prune, reader,
    scene::{Kind, Scene},
    state::State,
    store::{ATTEMPTS, Key, PLANS, PRUNES, RUNS, Session, Store, run_of_key},
    writer,
};

pub const SNAPSHOT_IS_WHOLE: &str = "a snapshot without tombstone is whole";
pub const SESSION_IS_WHOLE: &str = "what a living session builds on is whole";
pub const READER_READS_ON: &str = "a reader that was not let go can read on";
pub const COMMITS_ONCE: &str = "a run commits once, and a key holds one object";
pub const ROOT_IS_THERE: &str = "a root is there";
pub const INDEX_IS_RIGHT: &str = "the index names no pack that is gone";
pub const NOTHING_IS_LEFT: &str = "nothing is left when all is over";

pub fn all(scene: &Scene) -> Vec<Property<Scene>> {
    let mut all = vec![
        Property::always(SNAPSHOT_IS_WHOLE, snapshots_are_whole),
        Property::always(SESSION_IS_WHOLE, sessions_are_whole),
        Property::always(READER_READS_ON, readers_read_on),
        Property::always(COMMITS_ONCE, runs_commit_once),
        Property::always(ROOT_IS_THERE, roots_are_there),
    ];
    // It would be the first to break under many changes, and hide what comes of that.
    if scene.change.is_none_or(|change| change == Change::DeletesBeforeResult) {
        all.push(Property::always(INDEX_IS_RIGHT, index_is_right));
    }
    if scene.cleans_up {
        all.push(Property::always(NOTHING_IS_LEFT, nothing_is_left));
    }
    all
}

fn snapshots_are_whole(_: &Scene, state: &State) -> bool {
    let store = &state.store;
    (0..store.keys.len()).filter(|&key| !store.tombstones.has(run_of_key(key))).all(|key| {
        match store.keys[key] {
            Key::Record(places) => store.finds(places),
            Key::Empty | Key::Fence => true,
        }
    })
}

/// Writers that can still commit, whatever any prune thinks of them.
fn living(scene: &Scene, state: &State) -> impl Iterator<Item = usize> {
    let living = |&(session, key): &(usize, usize)| {
        let undecided = state.store.keys[key] == Key::Empty && !state.store.tombstones.has(run_of_key(key));
        let running = !matches!(state.writers[session].step, writer::Step::End | writer::Step::Over);
        undecided && running && state.store.sessions[session].open
    };
    scene.writers().filter(living).map(|(session, _)| session)
}

/// The parent or progress that it goes on from, and the tree that it has made so far.
fn sessions_are_whole(scene: &Scene, state: &State) -> bool {
    living(scene, state).all(|session| {
        let writer = &state.writers[session];
        let mut stored = writer.tree;
        if writer.step == writer::Step::Work {
            stored.forget(writer.own(session));
        }
        state.store.finds(writer.named) && state.store.finds(stored)
    })
}

fn reading(scene: &Scene, state: &State) -> impl Iterator<Item = usize> {
    let reading = |&session: &usize| {
        matches!(scene.sessions[session], Kind::Reader)
            && state.readers[session].step == reader::Step::Read
            && state.store.sessions[session].open
    };
    (0..scene.sessions.len()).filter(reading)
}

fn readers_read_on(scene: &Scene, state: &State) -> bool {
    reading(scene, state).all(|session| state.store.finds(state.readers[session].places))
}

fn runs_commit_once(_: &Scene, state: &State) -> bool {
    let records = |run: usize| {
        (0..ATTEMPTS).filter(|attempt| state.store.record(run * ATTEMPTS + attempt).is_some()).count()
    };
    !state.overwrote && (0..RUNS).all(|run| records(run) <= 1)
}

/// A prune can walk what living sessions name: else it could not tell a lost record from one that was never needed.
fn roots_are_there(scene: &Scene, state: &State) -> bool {
    living(scene, state).chain(reading(scene, state)).all(|session| {
        let base = state.store.sessions[session].ready.and_then(|ready| ready.base);
        base.is_none_or(|key| state.store.record(usize::from(key)).is_some())
    })
}

/// Whoever looks something up, with no plan in mind, is led to what is there.
fn index_is_right(_: &Scene, state: &State) -> bool {
    (state.store.index() - state.store.packs).is_empty()
}

/// Everybody dies here and now, every snapshot is forgotten, and one prune comes and takes all for silent, three times.
fn nothing_is_left(scene: &Scene, state: &State) -> bool {
    let mut state = state.clone();
    for key in 0..state.store.keys.len() {
        if state.store.record(key).is_some() {
            state.store.tombstones = state.store.tombstones.with(run_of_key(key));
        }
    }
    for _ in 0..ROUNDS {
        if !run_to_its_end(scene, &mut state) {
            return false;
        }
    }
    only_the_newest_plan_is_left(&state.store)
}

/// The first finishes the plan of another, the second fences, the third condemns what belonged to the fenced.
const ROUNDS: usize = 3;

/// More steps than any run of a prune takes.
const STEPS_MAX: usize = 200;

fn run_to_its_end(scene: &Scene, state: &mut State) -> bool {
    let me = PRUNES - 1;
    state.prunes.resize(PRUNES, prune::Prune::default());
    for _ in 0..STEPS_MAX {
        let acts = prune::acts(scene, state, me, PLANS);
        let silent = |act: &&prune::Act| matches!(act, prune::Act::Fence(_) | prune::Act::LetGo(_));
        let Some(act) = acts.iter().find(silent).or(acts.first()) else { return false };
        prune::act(scene, state, me, *act);
        if state.prunes[me].step == prune::Step::Idle {
            return true;
        }
    }
    false
}

fn only_the_newest_plan_is_left(store: &Store) -> bool {
    let newest = store.highest();
    let only = |n: usize, there: bool| n == newest || !there;
    let plans = (0..PLANS).all(|n| only(n, store.plans[n].is_some()) && only(n, store.results[n].is_some()));
    let index = store.level0.iter().all(Option::is_none)
        && store.level1.iter().all(|segment| {
            usize::from(segment.plan) == newest
                && store.results[newest].map(|result| result.prune) == Some(segment.prune)
        });
    let records = store.keys.iter().any(|key| matches!(key, Key::Record(_)));
    let sessions = store.sessions.iter().any(|session| *session != Session::default());
    plans && index && !records && !sessions && store.packs.is_empty()
}
