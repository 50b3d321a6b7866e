//! A prune: P1 to P8, one request a step. Several may be at work, at one plan or at different ones.

mod delete;

use crate::{
    change::Change,
    look::Look,
    scene::Scene,
    set::Set,
    state::State,
    store::{Key, Outcome, PLANS, SESSIONS, pack_held_for, pack_of_copies},
};

/// What a prune does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Step {
    #[default]
    Idle,
    MarkPacks,
    MarkSessions,
    /// Index, tombstones and snapshots: what they say decides only what is worth condemning, so they may be one step.
    Mark,
    CreatePlan,
    ListTombstones,
    ListSessions,
    ListSnapshots,
    Unsettled,
    CopyOut,
    WriteLevel0,
    WriteLevel1,
    CreateResult,
    CheckHighest,
    DeleteRecords,
    DeleteSegments,
    DeletePacks,
    DeleteSessions,
    DeletePlans,
}

/// What a prune remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Prune {
    pub step: Step,
    /// The plan that it works at, or worked at last.
    pub plan: u8,
    /// What the segment of level 1 names that the result below names. It is read once.
    level1: Set,
    packs: Set,
    /// Listings, until they have been thought about.
    look: Option<Box<Look>>,
    condemned: Set,
    /// Chunks that must stay, and by session the packs that it may have used.
    live: Set,
    listed: [Set; SESSIONS],
    /// Copies that the index does not name yet.
    copies: Set,
    /// Sessions that hold the plan up.
    unsettled: Set,
    /// Snapshots (by key) and sessions that nobody needs any more.
    records: Set,
    sessions: Set,
    /// Only for a prune that looks again without asking whether all have settled, and for one that deletes too early.
    settled_once: bool,
    pub deleted: bool,
}

impl Prune {
    /// One that was paused in the middle of a plan, before the scene begins.
    pub fn paused(step: Step, plan: u8, level1: Set, condemned: Set) -> Self {
        Self { step, plan, level1, condemned, ..Self::default() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Go,
    /// Condemn what is dead, or (repacking) all that may be condemned.
    Condemn {
        live_too: bool,
    },
    /// Take every session of a key for silent.
    Fence(usize),
    /// Take a reader for silent.
    LetGo(usize),
    PassOver,
}

pub fn acts(scene: &Scene, state: &State, me: usize, plans: usize) -> Vec<Act> {
    let prune = &state.prunes[me];
    match prune.step {
        Step::Idle
            if next_plan(state) > plans.min(PLANS - 1) || next_plan(state) <= usize::from(prune.plan) =>
        {
            vec![]
        }
        // One that was paused earlier has its tale to end, and no other.
        Step::Idle if me == 0 && scene.paused.is_some() => vec![],
        // Prunes are alike: the first to begin may as well be the first.
        Step::Idle if me == 1 && state.prunes[0].plan == 0 => vec![],
        Step::Mark if scene.repacks => {
            vec![Act::Condemn { live_too: false }, Act::Condemn { live_too: true }]
        }
        Step::Mark => vec![Act::Condemn { live_too: false }],
        Step::ListTombstones => {
            let open = |&me: &usize| {
                scene.key(me).is_none() && state.store.sessions[me].open && !state.store.sessions[me].end
            };
            (0..scene.sessions.len()).filter(open).map(Act::LetGo).chain([Act::Go]).collect()
        }
        Step::Unsettled => {
            let keys = Set::of(prune.unsettled.iter().filter_map(|session| scene.key(session)));
            let pass_over = scene.is(Change::PassesOverTheSilent).then_some(Act::PassOver);
            keys.iter().map(Act::Fence).chain(pass_over).chain([Act::Go]).collect()
        }
        _ => vec![Act::Go],
    }
}

/// Only the highest number counts: it is finished, or the next one is made.
fn next_plan(state: &State) -> usize {
    let highest = state.store.highest();
    if state.store.results[highest].is_none() { highest } else { highest + 1 }
}

pub fn act(scene: &Scene, state: &mut State, me: usize, act: Act) {
    let mut prune = state.prunes[me].clone();
    let store = &mut state.store;
    match act {
        Act::Go => prune.step = go(scene, state, me, &mut prune),
        Act::Condemn { live_too } => {
            let mut look = prune.look.take().unwrap();
            look.see_rest(store);
            prune.condemned = look.condemned(scene, store, prune.packs, live_too);
            if scene.is(Change::DoesNotLookAgain) {
                prune.live = look.live(scene);
            }
            prune.packs = Set::EMPTY;
            prune.step = Step::CreatePlan;
        }
        Act::Fence(key) => {
            if store.keys[key] == Key::Empty {
                store.keys[key] = Key::Fence;
            }
            prune.unsettled = Set::EMPTY;
            prune.step = order(scene)[0];
        }
        Act::LetGo(reader) => store.sessions[reader].open = false,
        Act::PassOver => {
            prune.look.get_or_insert_default().see_all(store);
            prune.unsettled = Set::EMPTY;
            prune.step = conclude(scene, &mut prune);
        }
    }
    state.prunes[me] = prune;
}

/// The order of the listings of P4 and P5. Who opens after the sessions were listed chooses among snapshots whose tombstones, if
/// they came, came later still.
fn order(scene: &Scene) -> [Step; 3] {
    match scene.change {
        Some(Change::ListsSessionsBeforeTombstones) => {
            [Step::ListSessions, Step::ListTombstones, Step::ListSnapshots]
        }
        Some(Change::ListsSnapshotsBeforeSessions) => {
            [Step::ListTombstones, Step::ListSnapshots, Step::ListSessions]
        }
        _ => [Step::ListTombstones, Step::ListSessions, Step::ListSnapshots],
    }
}

fn go(scene: &Scene, state: &mut State, me: usize, prune: &mut Prune) -> Step {
    let plan = usize::from(prune.plan);
    let sessions_first = scene.is(Change::ListsSessionsBeforePacks);
    let store = &mut state.store;
    match prune.step {
        Step::Idle => {
            let next = next_plan(state);
            let adopted = state.store.plans[next];
            let level1 = state.store.level1_of(next - 1).unwrap_or_default();
            *prune = Prune {
                plan: next as u8,
                level1,
                condemned: adopted.unwrap_or_default(),
                ..Prune::default()
            };
            match adopted {
                Some(_) => order(scene)[0],
                None if sessions_first => Step::MarkSessions,
                None => Step::MarkPacks,
            }
        }
        Step::MarkPacks => {
            prune.packs = store.packs;
            if sessions_first { Step::Mark } else { Step::MarkSessions }
        }
        Step::MarkSessions => {
            prune.look.get_or_insert_default().sessions = store.sessions.clone();
            if sessions_first { Step::MarkPacks } else { Step::Mark }
        }
        Step::CreatePlan => {
            prune.condemned = *store.plans[plan].get_or_insert(prune.condemned);
            order(scene)[0]
        }
        Step::ListTombstones | Step::ListSessions | Step::ListSnapshots => look(scene, state, prune),
        Step::Unsettled => {
            prune.unsettled = Set::EMPTY;
            order(scene)[0]
        }
        Step::CopyOut => copy_out(scene, state, me, prune),
        Step::WriteLevel0 => {
            store.copies0[plan] = store.copies0[plan] | prune.copies;
            prune.copies = Set::EMPTY;
            Step::WriteLevel1
        }
        Step::WriteLevel1 => write_level1(scene, state, me, prune),
        Step::CreateResult => {
            store.results[plan].get_or_insert(Outcome { prune: me as u8, forgotten: prune.records });
            prune.records = Set::EMPTY;
            Step::CheckHighest
        }
        _ => delete::go(scene, state, prune),
    }
}

/// One listing of P4 and P5; after the last, the conclusion.
fn look(scene: &Scene, state: &State, prune: &mut Prune) -> Step {
    let (look, store) = (prune.look.get_or_insert_default(), &state.store);
    match prune.step {
        Step::ListTombstones => look.tombstones = store.tombstones,
        Step::ListSessions => look.sessions = store.sessions.clone(),
        _ => look.keys = store.keys,
    }
    let order = order(scene);
    let done = order.iter().position(|&step| step == prune.step).unwrap();
    if let Some(&next) = order.get(done + 1) {
        return next;
    }
    let skip = scene.is(Change::DoesNotWait) || prune.settled_once;
    let unsettled = if skip { Set::EMPTY } else { look.unsettled(scene, usize::from(prune.plan)) };
    if !unsettled.is_empty() {
        prune.unsettled = unsettled;
        prune.look = None;
        return Step::Unsettled;
    }
    if scene.is(Change::LooksAgainWithoutSettling) && !prune.settled_once {
        prune.settled_once = true;
        prune.look = None;
        return order[0];
    }
    conclude(scene, prune)
}

/// Everybody has settled: what must stay, and what may go.
fn conclude(scene: &Scene, prune: &mut Prune) -> Step {
    let look = prune.look.take().unwrap();
    if !scene.is(Change::DoesNotLookAgain) {
        prune.live = look.live(scene);
        prune.listed = look.listed(scene, usize::from(prune.plan));
    }
    prune.records = look.forgotten(scene);
    prune.sessions = look.buried(scene);
    Step::CopyOut
}

/// P6. What roots need, unless a kept copy is named by the index (only so it is found); and whatever sessions listed, into packs
/// that are spared as long as the session lives, because no later look could tell that it needs them.
fn copy_out(scene: &Scene, state: &mut State, me: usize, prune: &mut Prune) -> Step {
    let plan = usize::from(prune.plan);
    let store = &mut state.store;
    let named = match scene.is(Change::TrustsOrphanCopies) {
        true => store.packs,
        false => prune.level1 | store.level0_from(plan - 1),
    };
    if scene.is(Change::Reprieves) {
        let holds = |&pack: &usize| !(store.chunks(pack) & prune.live).is_empty();
        prune.condemned = prune.condemned - Set::of(prune.condemned.iter().filter(holds));
    }
    let mut copied =
        (prune.live & store.chunks_in(prune.condemned)) - store.chunks_in(named - prune.condemned);
    for session in 0..SESSIONS {
        let held = store.chunks_in(prune.listed[session] & prune.condemned);
        if scene.is(Change::HoldsNothingForSessions) {
            copied = copied | held;
        } else if !held.is_empty() {
            store.upload(pack_held_for(session, me, plan), held);
            prune.copies = prune.copies.with(pack_held_for(session, me, plan));
        }
    }
    if !copied.is_empty() {
        store.upload(pack_of_copies(me, plan), copied);
        prune.copies = prune.copies.with(pack_of_copies(me, plan));
    }
    (prune.live, prune.listed) = Default::default();
    if prune.copies.is_empty() { Step::WriteLevel1 } else { Step::WriteLevel0 }
}

/// P7. Level 0 is listed anew: what sessions wrote before they settled is merged now, or never. What stands under this plan, the
/// copies among it, stays where it is.
fn write_level1(scene: &Scene, state: &mut State, me: usize, prune: &mut Prune) -> Step {
    let plan = usize::from(prune.plan);
    let store = &mut state.store;
    let index = match scene.is(Change::PutsOrphansIntoTheIndex) {
        true => store.packs,
        false => prune.level1 | (store.level0_from(plan - 1) - store.level0_from(plan)),
    };
    store.write_level1(me, plan, index - prune.condemned);
    if scene.is(Change::DeletesBeforeResult) { Step::DeletePacks } else { Step::CreateResult }
}
