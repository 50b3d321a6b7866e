//! A writer: rules W1 to W6, one request a step.

use crate::{
    change::Change,
    scene::{Scene, Writing},
    set::Set,
    state::State,
    store::{CHUNKS, Key, PLANS, Places, Ready, Store, pack_of_session, run_of_key},
};

/// What a writer does next. Between any two steps it may be paused for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Step {
    #[default]
    Open,
    /// Only for a writer that looks first and opens then.
    OpenLate,
    ListPlans,
    ListTombstones,
    ChooseParent,
    ChooseProgress,
    CreateReady,
    ReadIndex,
    Work,
    WriteSegment,
    WriteProgress,
    Commit,
    End,
    Over,
}

/// What a writer remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Writer {
    pub step: Step,
    /// The highest plan seen, and the newest result then.
    seen: u8,
    result: u8,
    /// Condemned by plans seen.
    avoid: Set,
    tombstones: Set,
    parent: Option<u8>,
    /// What parent and resumed progress name: reused by id, wherever it lies.
    pub named: Places,
    index: Set,
    /// Where the new tree says that its chunks lie.
    pub tree: Places,
    by_index: Set,
    unacknowledged: Option<NewPlan>,
}

/// A plan that has been read and not yet acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct NewPlan {
    condemned: Set,
    used: Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The one request that is next.
    Go,
    Choose(Option<u8>),
    ReuseNamed,
    ReuseByIndex(u8),
    KeepForOwnPack,
    ReadNewPlan,
    Acknowledge,
    GiveUp,
}

pub fn acts(scene: &Scene, state: &State, me: usize, writing: &Writing, out: &mut Vec<Act>) {
    let writer = &state.writers[me];
    let store = &state.store;
    match writer.step {
        Step::Over => return,
        Step::Open => {
            // Attempt n+1 is opened only after a fence stands at the key of attempt n.
            if writing.key.is_multiple_of(2) || store.keys[writing.key - 1] == Key::Fence {
                out.push(Act::Go);
            }
            return;
        }
        Step::ChooseParent => choose_parent(state, writer, out),
        Step::ChooseProgress => choose_progress(scene, state, me, writing, out),
        Step::Work if may_use(scene, writer) => out.extend(placements(state, writer, writing)),
        Step::WriteSegment | Step::WriteProgress | Step::Commit if writer.unacknowledged.is_some() => {}
        Step::Work => {}
        _ => out.push(Act::Go),
    }
    if writer.unacknowledged.is_some() {
        out.push(Act::Acknowledge);
    } else if writer.polls() && store.highest() > usize::from(writer.seen) {
        out.push(Act::ReadNewPlan);
    }
    if writing.gives_up {
        out.push(Act::GiveUp);
    }
}

fn may_use(scene: &Scene, writer: &Writer) -> bool {
    writer.unacknowledged.is_none() || scene.is(Change::AcknowledgesBeforeItStopsUsing)
}

fn choose_parent(state: &State, writer: &Writer, out: &mut Vec<Act>) {
    let free = |&key: &usize| !writer.tombstones.has(run_of_key(key)) && state.store.record(key).is_some();
    let parents: Vec<_> =
        (0..state.store.keys.len()).filter(free).map(|key| Act::Choose(Some(key as u8))).collect();
    if parents.is_empty() {
        out.push(Act::Choose(None));
    }
    out.extend(parents);
}

/// Only sessions with the same key, and that have not ended: then the key's fate decides for both.
fn choose_progress(scene: &Scene, state: &State, me: usize, writing: &Writing, out: &mut Vec<Act>) {
    out.push(Act::Choose(None));
    for (other, key) in scene.writers() {
        let session = &state.store.sessions[other];
        let same = match scene.change {
            Some(Change::ResumesAcrossAFence) => run_of_key(key) == run_of_key(writing.key),
            _ => key == writing.key,
        };
        let ended = session.end && !scene.is(Change::ResumesFromEnded);
        if other != me && same && session.open && !ended && session.progress.is_some() {
            out.push(Act::Choose(Some(other as u8)));
        }
    }
}

/// Every place from which the next chunk may come: parent or progress by id, any pack of the index that no plan condemns, else
/// the own pack.
fn placements(state: &State, writer: &Writer, writing: &Writing) -> Vec<Act> {
    let Some(chunk) = writer.next_chunk(writing) else { return vec![Act::Go] };
    let named = writer.named.get(chunk).map(|_| Act::ReuseNamed);
    let holds = |&pack: &usize| state.store.chunks(pack).has(chunk);
    let indexed =
        (writer.index - writer.avoid).iter().filter(holds).map(|pack| Act::ReuseByIndex(pack as u8));
    let mut all: Vec<_> = named.into_iter().chain(indexed).collect();
    if all.is_empty() {
        all.push(Act::KeepForOwnPack);
    }
    all
}

impl Writer {
    /// One that was paused when it had uploaded its pack with `chunk`, before plan 1 and before the scene begins.
    pub fn paused(me: usize, chunk: usize) -> Self {
        let mut writer = Self { step: Step::WriteSegment, ..Self::default() };
        writer.tree.put(chunk, pack_of_session(me));
        writer
    }

    fn next_chunk(&self, writing: &Writing) -> Option<usize> {
        (0..CHUNKS).find(|&chunk| writing.needs.has(chunk) && self.tree.get(chunk).is_none())
    }

    fn polls(&self) -> bool {
        matches!(self.step, Step::Work | Step::WriteSegment | Step::WriteProgress | Step::Commit)
    }

    /// Chunks that the own pack holds or will hold.
    pub fn own(&self, me: usize) -> Set {
        Set::of(self.tree.iter().filter(|&(_, pack)| pack == pack_of_session(me)).map(|(chunk, _)| chunk))
    }

    fn used_of(&self, plan: Set) -> Set {
        let used = self.tree.iter().filter(|&(chunk, pack)| self.by_index.has(chunk) && plan.has(pack));
        Set::of(used.map(|(_, pack)| pack))
    }
}

pub fn act(scene: &Scene, state: &mut State, me: usize, writing: &Writing, act: Act) {
    let mut writer = state.writers[me];
    let chunk = writer.next_chunk(writing);
    match (act, chunk) {
        (Act::Go, _) => writer.step = go(scene, state, me, writing, &mut writer),
        (Act::Choose(choice), _) => choose(scene, state, &mut writer, writing, choice),
        (Act::ReuseNamed, Some(chunk)) => {
            let pack = writer.named.get(chunk).unwrap();
            writer.tree.put(chunk, pack);
        }
        (Act::ReuseByIndex(pack), Some(chunk)) => {
            writer.tree.put(chunk, usize::from(pack));
            writer.by_index = writer.by_index.with(chunk);
        }
        (Act::KeepForOwnPack, Some(chunk)) => writer.tree.put(chunk, pack_of_session(me)),
        (Act::ReadNewPlan, _) => read_new_plan(scene, state, &mut writer),
        (Act::Acknowledge, _) => acknowledge(scene, state, me, &mut writer),
        (Act::GiveUp, _) => {
            state.store.sessions[me].end = true;
            writer.step = Step::Over;
        }
        (Act::ReuseNamed | Act::ReuseByIndex(_) | Act::KeepForOwnPack, None) => unreachable!(),
    }
    let over = Writer { step: Step::Over, ..Writer::default() };
    state.writers[me] = if writer.step == Step::Over { over } else { writer };
}

/// The one next request; returns the step after it.
fn go(scene: &Scene, state: &mut State, me: usize, writing: &Writing, writer: &mut Writer) -> Step {
    let store = &mut state.store;
    match writer.step {
        Step::Open if scene.is(Change::ReadsPlanBeforeOpen) => {
            list_plans(store, writer);
            Step::OpenLate
        }
        Step::Open if scene.is(Change::ChoosesParentBeforeOpen) => {
            writer.tombstones = store.tombstones;
            Step::ChooseParent
        }
        Step::Open => {
            store.sessions[me].open = true;
            if scene.is(Change::ChoosesParentBeforePlan) { Step::ListTombstones } else { Step::ListPlans }
        }
        Step::OpenLate => {
            store.sessions[me].open = true;
            if scene.is(Change::ReadsPlanBeforeOpen) { after_plans(writing) } else { Step::ListPlans }
        }
        Step::ListPlans => {
            list_plans(store, writer);
            let has_parent =
                scene.is(Change::ChoosesParentBeforeOpen) || scene.is(Change::ChoosesParentBeforePlan);
            if has_parent { after_parent(writing) } else { after_plans(writing) }
        }
        Step::ListTombstones => {
            writer.tombstones = store.tombstones;
            Step::ChooseParent
        }
        Step::CreateReady => {
            store.sessions[me].ready = Some(Ready { plan: writer.seen, base: writer.parent });
            Step::ReadIndex
        }
        Step::ReadIndex => {
            writer.index = read_index(scene, state, usize::from(writer.result));
            Step::Work
        }
        Step::Work => {
            let own = writer.own(me);
            if own.is_empty() {
                return if writing.keeps_progress { Step::WriteProgress } else { Step::Commit };
            }
            store.upload(pack_of_session(me), own);
            Step::WriteSegment
        }
        Step::WriteSegment => {
            if writer.avoid.has(pack_of_session(me)) {
                return Step::End;
            }
            let under = if scene.is(Change::EverySegmentCounts) { PLANS as u8 } else { writer.seen };
            store.level0[me] = Some(under);
            if writing.keeps_progress { Step::WriteProgress } else { Step::Commit }
        }
        Step::WriteProgress => {
            store.sessions[me].progress = Some(writer.tree);
            Step::Commit
        }
        Step::Commit => {
            commit(scene, state, writing.key, writer.tree);
            Step::End
        }
        Step::End => {
            store.sessions[me].end = true;
            Step::Over
        }
        Step::ChooseParent | Step::ChooseProgress | Step::Over => unreachable!(),
    }
}

fn list_plans(store: &Store, writer: &mut Writer) {
    let plan = store.highest();
    writer.seen = plan as u8;
    writer.result = store.newest_result() as u8;
    writer.avoid = store.plans[plan].unwrap_or_default();
}

fn after_plans(writing: &Writing) -> Step {
    if writing.builds_on_parent { Step::ListTombstones } else { after_parent(writing) }
}

fn after_parent(writing: &Writing) -> Step {
    if writing.resumes { Step::ChooseProgress } else { Step::CreateReady }
}

/// The index under the result that was newest when plans were listed; under the newest, if that one is gone.
fn read_index(scene: &Scene, state: &State, result: usize) -> Set {
    let store = &state.store;
    if scene.is(Change::Level1CountsWithoutResult) {
        return store.level1.iter().fold(store.level0_from(result), |all, segment| all | segment.packs);
    }
    let result = if store.level1_of(result).is_some() { result } else { store.newest_result() };
    store.level1_of(result).unwrap_or_default() | store.level0_from(result)
}

fn choose(scene: &Scene, state: &State, writer: &mut Writer, writing: &Writing, choice: Option<u8>) {
    if writer.step == Step::ChooseParent {
        writer.parent = choice;
        writer.named = choice.and_then(|key| state.store.record(usize::from(key))).unwrap_or_default();
        writer.tombstones = Set::EMPTY;
        writer.step = match scene.change {
            Some(Change::ChoosesParentBeforeOpen) => Step::OpenLate,
            Some(Change::ChoosesParentBeforePlan) => Step::ListPlans,
            _ => after_parent(writing),
        };
        return;
    }
    let resumed =
        choice.and_then(|other| state.store.sessions[usize::from(other)].progress).unwrap_or_default();
    resumed.iter().for_each(|(chunk, pack)| writer.named.put(chunk, pack));
    writer.step = Step::CreateReady;
}

/// On a new plan: stop using its packs. A session that was passed over by a plan was fenced, and gives up.
fn read_new_plan(scene: &Scene, state: &State, writer: &mut Writer) {
    let plan = state.store.highest();
    if plan > usize::from(writer.seen) + 1 && !scene.is(Change::GoesOnAfterAMissedPlan) {
        writer.step = Step::End;
        return;
    }
    let condemned = state.store.plans[plan].unwrap_or_default();
    writer.seen = plan as u8;
    writer.unacknowledged = Some(NewPlan { condemned, used: writer.used_of(condemned) });
    let goes_on =
        scene.is(Change::AcknowledgesBeforeItStopsUsing) || scene.is(Change::ReusesCondemnedAfterSeen);
    if !goes_on {
        writer.avoid = writer.avoid | condemned;
    }
}

fn acknowledge(scene: &Scene, state: &mut State, me: usize, writer: &mut Writer) {
    let Some(plan) = writer.unacknowledged.take() else { return };
    state.store.sessions[me].seen = Some((writer.seen, plan.used));
    if !scene.is(Change::ReusesCondemnedAfterSeen) {
        writer.avoid = writer.avoid | plan.condemned;
    }
}

fn commit(scene: &Scene, state: &mut State, key: usize, tree: Places) {
    let free = state.store.keys[key] == Key::Empty;
    if free || scene.is(Change::CommitOverwrites) {
        state.overwrote |= !free;
        state.store.keys[key] = Key::Record(tree);
    }
}
