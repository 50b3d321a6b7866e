//! The store: which objects exist. Every method is one request, or a question that a request answers.

use crate::set::Set;

/// How many of everything there may be. Sizes of arrays; a scene uses what it needs.
pub const CHUNKS: usize = 2;
pub const RUNS: usize = 4;
pub const KEYS: usize = RUNS * ATTEMPTS;
pub const ATTEMPTS: usize = 2;
pub const SESSIONS: usize = 3;
/// Two prunes, and a third that cleans up behind all of them when a property asks for it.
pub const PRUNES: usize = 3;
pub const PLANS: usize = 7;
pub const FIRST_PACKS: usize = 2;
const COPIES: usize = FIRST_PACKS + SESSIONS;
const HELD: usize = COPIES + PRUNES * PLANS;
/// No prune makes more plans in one scene than this.
const PLANS_OF_ONE: usize = 4;
const PACKS: usize = HELD + PRUNES * PLANS_OF_ONE * SESSIONS;

/// The pack that a session uploads.
pub fn pack_of_session(session: usize) -> usize {
    FIRST_PACKS + session
}

/// The pack into which a prune copies out, under a plan, what roots need.
pub fn pack_of_copies(prune: usize, plan: usize) -> usize {
    COPIES + prune * PLANS + plan
}

/// The pack into which a prune copies out, under a plan, what a session listed.
pub fn pack_held_for(session: usize, prune: usize, plan: usize) -> usize {
    HELD + (prune * PLANS_OF_ONE + plan % PLANS_OF_ONE) * SESSIONS + session
}

/// The session that a pack's trailer names. Packs from before the scene and copies for roots belong to none.
pub fn owner(pack: usize) -> Option<usize> {
    match pack {
        HELD.. => Some((pack - HELD) % SESSIONS),
        FIRST_PACKS..COPIES => Some(pack - FIRST_PACKS),
        _ => None,
    }
}

pub fn run_of_key(key: usize) -> usize {
    key / ATTEMPTS
}

/// Where a tree says that each of its chunks lies: its hints.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Places([Option<u8>; CHUNKS]);

impl Places {
    pub fn of(pairs: &[(usize, usize)]) -> Self {
        let mut places = Self::default();
        pairs.iter().for_each(|&(chunk, pack)| places.put(chunk, pack));
        places
    }

    pub fn put(&mut self, chunk: usize, pack: usize) {
        self.0[chunk] = Some(pack as u8);
    }

    pub fn forget(&mut self, chunks: Set) {
        chunks.iter().for_each(|chunk| self.0[chunk] = None);
    }

    pub fn get(self, chunk: usize) -> Option<usize> {
        self.0[chunk].map(usize::from)
    }

    pub fn chunks(self) -> Set {
        Set::of((0..CHUNKS).filter(|&chunk| self.0[chunk].is_some()))
    }

    pub fn iter(self) -> impl Iterator<Item = (usize, usize)> {
        (0..CHUNKS).filter_map(move |chunk| Some((chunk, self.get(chunk)?)))
    }
}

impl std::fmt::Debug for Places {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_map().entries(self.iter()).finish()
    }
}

/// `snap/<source>/<run>/<attempt>`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Key {
    #[default]
    Empty,
    Fence,
    Record(Places),
}

/// `sess/…/ready`: the highest plan seen, and the key of the parent or target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ready {
    pub plan: u8,
    pub base: Option<u8>,
}

/// `sess/<run>/<session>/…`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Session {
    pub open: bool,
    pub ready: Option<Ready>,
    pub progress: Option<Places>,
    /// The last plan acknowledged, and the packs of it that may have been used. Earlier ones have been served.
    pub seen: Option<(u8, Set)>,
    pub end: bool,
}

/// `idx/1/<plan>/<segment>`: the packs that a prune's segment of level 1 names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Segment {
    pub plan: u8,
    pub prune: u8,
    pub packs: Set,
}

/// `gc/<n>/result`: the prune whose segment of level 1 counts from now on, and the keys of records that may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    pub prune: u8,
    pub forgotten: Set,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    pub packs: Set,
    /// What a pack holds, or held: who has read an index goes on believing it.
    contents: [u8; PACKS],
    /// By session: the plan under which its segment of level 0 stands. It names the session's pack.
    pub level0: [Option<u8>; SESSIONS],
    /// By plan: packs of prunes' copies, named by segments of level 0 that stand under it.
    pub copies0: [Set; PLANS],
    pub level1: Vec<Segment>,
    pub sessions: Vec<Session>,
    pub keys: [Key; KEYS],
    pub tombstones: Set,
    /// Condemned packs.
    pub plans: [Option<Set>; PLANS],
    pub results: [Option<Outcome>; PLANS],
}

impl Default for Store {
    fn default() -> Self {
        Self {
            packs: Set::EMPTY,
            contents: [0; PACKS],
            level0: [None; SESSIONS],
            copies0: [Set::EMPTY; PLANS],
            level1: Vec::new(),
            sessions: Vec::new(),
            keys: [Key::Empty; KEYS],
            tombstones: Set::EMPTY,
            plans: [None; PLANS],
            results: [None; PLANS],
        }
    }
}

impl Store {
    /// The highest number below `gc/`.
    pub fn highest(&self) -> usize {
        (0..PLANS).rev().find(|&n| self.plans[n].is_some() || self.results[n].is_some()).unwrap_or(0)
    }

    /// The newest result.
    pub fn newest_result(&self) -> usize {
        (0..PLANS).rev().find(|&n| self.results[n].is_some()).unwrap_or(0)
    }

    /// The segment of level 1 that a result names, if result and segment are still there.
    pub fn level1_of(&self, result: usize) -> Option<Set> {
        let winner = self.results[result]?.prune;
        let named = |segment: &&Segment| (segment.prune, usize::from(segment.plan)) == (winner, result);
        self.level1.iter().find(named).map(|segment| segment.packs)
    }

    /// A conditional create, like every write.
    pub fn write_level1(&mut self, prune: usize, plan: usize, packs: Set) {
        let segment = Segment { plan: plan as u8, prune: prune as u8, packs };
        if let Err(place) =
            self.level1.binary_search_by_key(&(segment.plan, segment.prune), |s| (s.plan, s.prune))
        {
            self.level1.insert(place, segment);
        }
    }

    /// Packs named by segments of level 0 that stand under `plan` or a later one.
    pub fn level0_from(&self, plan: usize) -> Set {
        let counts = |&session: &usize| self.level0[session].is_some_and(|under| usize::from(under) >= plan);
        let uploaded = Set::of((0..SESSIONS).filter(counts).map(pack_of_session));
        self.copies0[plan..].iter().fold(uploaded, |all, copies| all | *copies)
    }

    /// Packs that the valid index names.
    pub fn index(&self) -> Set {
        let result = self.newest_result();
        self.level1_of(result).unwrap_or_default() | self.level0_from(result)
    }

    pub fn upload(&mut self, pack: usize, chunks: Set) {
        self.packs = self.packs.with(pack);
        self.contents[pack] = chunks.low();
    }

    pub fn chunks(&self, pack: usize) -> Set {
        self.contents[pack].into()
    }

    pub fn delete_pack(&mut self, pack: usize) {
        self.packs = self.packs.without(pack);
    }

    /// The chunks that stand in those of `packs` that exist.
    pub fn chunks_in(&self, packs: Set) -> Set {
        (packs & self.packs).iter().fold(Set::EMPTY, |all, pack| all | self.chunks(pack))
    }

    /// Whether every chunk is found: where the hint says, or by the index.
    pub fn finds(&self, places: Places) -> bool {
        let by_index = self.chunks_in(self.index());
        places.iter().all(|(chunk, hint)| by_index.has(chunk) || self.packs.has(hint))
    }

    pub fn record(&self, key: usize) -> Option<Places> {
        match self.keys[key] {
            Key::Record(places) => Some(places),
            Key::Empty | Key::Fence => None,
        }
    }
}
