//! What a prune concludes from what it has listed. Nothing here asks the store.

use crate::{
    change::Change,
    scene::Scene,
    set::Set,
    store::{KEYS, Key, SESSIONS, Session, Store, owner, run_of_key},
};

/// Listings of one look, each as old as its request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Look {
    pub sessions: Vec<Session>,
    pub tombstones: Set,
    pub keys: [Key; KEYS],
}

impl Look {
    pub fn see_rest(&mut self, store: &Store) {
        self.tombstones = store.tombstones;
        self.keys = store.keys;
    }

    pub fn see_all(&mut self, store: &Store) {
        self.sessions = store.sessions.clone();
        self.see_rest(store);
    }

    fn key_is_over(&self, key: usize) -> bool {
        self.keys[key] != Key::Empty || self.tombstones.has(run_of_key(key))
    }

    /// Over is what can commit no more: its key holds an object, its run is forgotten, or all sessions of the key have ended.
    pub fn over(&self, scene: &Scene, session: usize) -> bool {
        let seen = &self.sessions[session];
        let Some(key) = scene.key(session) else { return !seen.open || seen.end };
        let ended = |other: usize| !self.sessions[other].open || self.sessions[other].end;
        let all_ended = match scene.is(Change::SessionIsOverAlone) {
            true => ended(session),
            false => scene.writers().filter(|&(_, other)| other == key).all(|(other, _)| ended(other)),
        };
        !seen.open || self.key_is_over(key) || all_ended
    }

    fn living(&self, scene: &Scene) -> impl Iterator<Item = usize> {
        (0..scene.sessions.len()).filter(|&session| !self.over(scene, session))
    }

    /// Keys of snapshots that are roots: those without tombstone, and parents and targets of living sessions.
    fn roots(&self, scene: &Scene) -> Set {
        let kept = (0..KEYS).filter(|&key| !self.tombstones.has(run_of_key(key)));
        let bases = self.living(scene).filter(|_| !scene.is(Change::ParentIsNoRoot));
        let bases = bases.filter_map(|session| self.sessions[session].ready?.base.map(usize::from));
        Set::of(kept.chain(bases))
    }

    fn chunks_at(&self, key: usize) -> Set {
        match self.keys[key] {
            Key::Record(places) => places.chunks(),
            Key::Empty | Key::Fence => Set::EMPTY,
        }
    }

    /// Chunks that roots and the progress of living sessions need.
    pub fn live(&self, scene: &Scene) -> Set {
        let roots = self.roots(scene).iter().fold(Set::EMPTY, |all, key| all | self.chunks_at(key));
        let progress = self.living(scene).filter(|_| !scene.is(Change::ProgressIsNoRoot));
        progress
            .filter_map(|session| self.sessions[session].progress)
            .fold(roots, |all, places| all | places.chunks())
    }

    /// Records that carry a tombstone and are no root.
    pub fn forgotten(&self, scene: &Scene) -> Set {
        let record = |&key: &usize| matches!(self.keys[key], Key::Record(_));
        Set::of((0..KEYS).filter(record)) - self.roots(scene)
    }

    /// Sessions that are over and have left objects.
    pub fn buried(&self, scene: &Scene) -> Set {
        let left = |&session: &usize| self.sessions[session] != Session::default();
        Set::of((0..scene.sessions.len()).filter(left).filter(|&session| self.over(scene, session)))
    }

    /// Sessions that may still use what the plan condemns without having said so.
    pub fn unsettled(&self, scene: &Scene, plan: usize) -> Set {
        let settled = |session: usize| {
            let seen = &self.sessions[session];
            let Some(key) = scene.key(session) else { return seen.ready.is_some() };
            let began = seen.ready.map(|ready| ready.plan);
            let knows = began.max(seen.seen.map(|(plan, _)| plan));
            self.key_is_over(key) || knows.is_some_and(|known| usize::from(known) >= plan)
        };
        let running = |session: usize| self.sessions[session].open && !self.sessions[session].end;
        let unsettled =
            Set::of((0..scene.sessions.len()).filter(|&session| running(session) && !settled(session)));
        if !scene.is(Change::PassesOverTheSilentWithASibling) {
            return unsettled;
        }
        let settled_sibling = |session: usize| {
            let same = |other: usize| scene.key(other) == scene.key(session);
            (0..scene.sessions.len()).any(|other| same(other) && running(other) && settled(other))
        };
        Set::of(unsettled.iter().filter(|&session| !settled_sibling(session)))
    }

    /// By session, if it is living: packs that it may have used before it knew the plan.
    pub fn listed(&self, scene: &Scene, plan: usize) -> [Set; SESSIONS] {
        let mut listed = [Set::EMPTY; SESSIONS];
        for session in self.living(scene) {
            let seen = self.sessions[session].seen.filter(|&(seen, _)| usize::from(seen) == plan);
            listed[session] = seen.map(|(_, packs)| packs).unwrap_or_default();
        }
        listed
    }

    /// What to condemn of `packs`, which were listed before the sessions were.
    pub fn condemned(&self, scene: &Scene, store: &Store, packs: Set, live_too: bool) -> Set {
        let spared = |pack: usize| owner(pack).is_some_and(|session| !self.over(scene, session));
        let eligible = packs.iter().filter(|&pack| scene.is(Change::PlansWithoutSessions) || !spared(pack));
        let live = self.live(scene);
        let index = if scene.is(Change::PutsOrphansIntoTheIndex) { packs } else { store.index() };
        let dead = |pack: usize| (store.chunks(pack) & live).is_empty() || !index.has(pack);
        Set::of(eligible.filter(|&pack| live_too || dead(pack)))
    }
}
