//! Who takes part, and what the store holds when the curtain rises.

use crate::{
    change::Change,
    prune::Prune,
    set::Set,
    store::{Key, Outcome, Places, Ready, Session, Store, pack_of_session},
    writer::Writer,
};

/// A session and what it wants.
#[derive(Clone, Debug)]
pub enum Kind {
    Writer(Writing),
    Reader,
}

#[derive(Clone, Debug)]
pub struct Writing {
    /// Where it will commit.
    pub key: usize,
    pub needs: Set,
    pub builds_on_parent: bool,
    /// May go on from the progress of another session.
    pub resumes: bool,
    pub keeps_progress: bool,
    /// May create `end` without having committed.
    pub gives_up: bool,
}

#[derive(Clone, Debug)]
pub struct Scene {
    pub name: &'static str,
    pub sessions: Vec<Kind>,
    pub prunes: usize,
    /// The highest plan that is made.
    pub plans: usize,
    /// Runs that may be forgotten, at any time.
    pub forgets: Set,
    /// Whether a plan may condemn packs with live frames (repacking).
    pub repacks: bool,
    /// Whether every state is tried for leaks.
    pub cleans_up: bool,
    pub first: Store,
    /// A prune that was paused earlier.
    pub paused: Option<Prune>,
    /// The same of the first writer.
    pub paused_writer: Option<Writer>,
    pub change: Option<Change>,
}

impl Scene {
    /// One prune, one plan, and an index that names `packs`, each with its chunks.
    pub fn new(name: &'static str, packs: &[&[usize]]) -> Self {
        let mut first = Store::default();
        for (pack, chunks) in packs.iter().enumerate() {
            first.upload(pack, Set::of(chunks.iter().copied()));
        }
        first.plans[0] = Some(Set::EMPTY);
        first.results[0] = Some(Outcome { prune: 0, forgotten: Set::EMPTY });
        first.write_level1(0, 0, first.packs);
        Self {
            name,
            sessions: Vec::new(),
            prunes: 1,
            plans: 1,
            forgets: Set::EMPTY,
            repacks: false,
            cleans_up: false,
            first,
            paused: None,
            paused_writer: None,
            change: None,
        }
    }

    /// A snapshot that is there from the beginning.
    pub fn snapshot(mut self, key: usize, places: &[(usize, usize)]) -> Self {
        self.first.keys[key] = Key::Record(Places::of(places));
        self
    }

    pub fn writer(self, writing: Writing) -> Self {
        self.session(Kind::Writer(writing))
    }

    pub fn reader(self) -> Self {
        self.session(Kind::Reader)
    }

    fn session(mut self, kind: Kind) -> Self {
        self.sessions.push(kind);
        self.first.sessions.push(Session::default());
        self
    }

    pub fn prunes(mut self, prunes: usize, plans: usize) -> Self {
        (self.prunes, self.plans) = (prunes, plans);
        self
    }

    pub fn forgets(mut self, runs: &[usize]) -> Self {
        self.forgets = Set::of(runs.iter().copied());
        self
    }

    /// The first prune stands in the middle of plan 1.
    pub fn paused(mut self, prune: Prune) -> Self {
        self.paused = Some(prune);
        self
    }

    /// The first writer has uploaded `chunk`, and not yet told the index.
    pub fn paused_writer(mut self, chunk: usize) -> Self {
        self.first.upload(pack_of_session(0), Set::of([chunk]));
        self.first.sessions[0].open = true;
        self.first.sessions[0].ready = Some(Ready { plan: 0, base: None });
        self.paused_writer = Some(Writer::paused(0, chunk));
        self
    }

    /// A fence stands at a key.
    pub fn fenced(mut self, key: usize) -> Self {
        self.first.keys[key] = Key::Fence;
        self
    }

    /// Plan 1 is there.
    pub fn planned(mut self, condemned: &[usize]) -> Self {
        self.first.plans[1] = Some(Set::of(condemned.iter().copied()));
        self
    }

    /// And its result, by the first prune: the index names `packs`.
    pub fn finished(mut self, packs: &[usize]) -> Self {
        self.first.results[1] = Some(Outcome { prune: 0, forgotten: Set::EMPTY });
        self.first.write_level1(0, 1, Set::of(packs.iter().copied()));
        self
    }

    pub fn repacks(mut self) -> Self {
        self.repacks = true;
        self
    }

    pub fn cleans_up(mut self) -> Self {
        self.cleans_up = true;
        self
    }

    pub fn changed(mut self, change: Change) -> Self {
        self.change = Some(change);
        self
    }

    pub fn is(&self, change: Change) -> bool {
        self.change == Some(change)
    }

    /// Sessions that write, with their keys.
    pub fn writers(&self) -> impl Iterator<Item = (usize, usize)> {
        self.sessions.iter().enumerate().filter_map(|(session, kind)| match kind {
            Kind::Writer(writing) => Some((session, writing.key)),
            Kind::Reader => None,
        })
    }

    pub fn key(&self, session: usize) -> Option<usize> {
        match self.sessions.get(session)? {
            Kind::Writer(writing) => Some(writing.key),
            Kind::Reader => None,
        }
    }
}

impl Writing {
    pub fn at(key: usize, needs: &[usize]) -> Self {
        Self {
            key,
            needs: Set::of(needs.iter().copied()),
            builds_on_parent: false,
            resumes: false,
            keeps_progress: false,
            gives_up: false,
        }
    }

    pub fn builds_on_parent(mut self) -> Self {
        self.builds_on_parent = true;
        self
    }

    pub fn resumes(mut self) -> Self {
        self.resumes = true;
        self
    }

    pub fn keeps_progress(mut self) -> Self {
        self.keeps_progress = true;
        self
    }

    pub fn gives_up(mut self) -> Self {
        self.gives_up = true;
        self
    }
}
