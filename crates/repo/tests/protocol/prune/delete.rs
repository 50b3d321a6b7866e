//! P8: what the plan and its result allow to delete, in the order of the document.

use super::{Prune, Step};
use crate::{
    change::Change,
    scene::Scene,
    set::Set,
    state::State,
    store::{Key, SESSIONS, Session, run_of_key},
};

pub fn go(scene: &Scene, state: &mut State, prune: &mut Prune) -> Step {
    let plan = usize::from(prune.plan);
    let store = &mut state.store;
    match prune.step {
        // A number that is not the highest was finished long ago, and its objects deleted: what was made there now is nothing.
        Step::CheckHighest => {
            let stands = store.highest() == plan && store.results[plan].is_some();
            if stands || scene.is(Change::ActsBelowTheHighestPlan) {
                Step::DeleteRecords
            } else {
                stop(prune)
            }
        }
        Step::DeleteRecords => {
            delete_records(scene, state, plan);
            Step::DeleteSegments
        }
        Step::DeleteSegments => {
            delete_segments(state, plan);
            Step::DeletePacks
        }
        Step::DeletePacks => match (prune.condemned & store.packs).first() {
            Some(pack) => {
                store.delete_pack(pack);
                Step::DeletePacks
            }
            None if scene.is(Change::DeletesBeforeResult) && !prune.deleted => {
                prune.deleted = true;
                Step::CreateResult
            }
            None => Step::DeleteSessions,
        },
        Step::DeleteSessions => {
            prune.sessions.iter().for_each(|session| store.sessions[session] = Session::default());
            Step::DeletePlans
        }
        Step::DeletePlans => {
            store.plans[..plan].fill(None);
            store.results[..plan].fill(None);
            stop(prune)
        }
        _ => unreachable!(),
    }
}

fn stop(prune: &mut Prune) -> Step {
    *prune = Prune { plan: prune.plan, ..Prune::default() };
    Step::Idle
}

fn delete_records(scene: &Scene, state: &mut State, plan: usize) {
    let store = &mut state.store;
    let forgotten = store.results[plan].map(|result| result.forgotten).unwrap_or_default();
    for key in 0..store.keys.len() {
        let fresh = scene.is(Change::DeletesAnyForgottenRecord) && store.tombstones.has(run_of_key(key));
        if matches!(store.keys[key], Key::Record(_)) && (fresh || forgotten.has(key)) {
            store.keys[key] = Key::Empty;
            if scene.is(Change::DeletesTombstones) {
                store.tombstones = store.tombstones.without(run_of_key(key));
            }
        }
    }
}

/// Level 0 under earlier plans, and level 1 under this and earlier ones that the result does not name.
fn delete_segments(state: &mut State, plan: usize) {
    let store = &mut state.store;
    let Some(winner) = store.results[plan].map(|result| usize::from(result.prune)) else { return };
    store.copies0[..plan].fill(Set::EMPTY);
    for session in 0..SESSIONS {
        store.level0[session] = store.level0[session].filter(|&under| usize::from(under) >= plan);
    }
    store.level1.retain(|segment| {
        let under = usize::from(segment.plan);
        under > plan || (under == plan && usize::from(segment.prune) == winner)
    });
}
