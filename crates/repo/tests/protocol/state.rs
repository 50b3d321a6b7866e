//! A state of the whole world, and its steps, as `stateright` wants them.

use stateright::{Model, Property};

use crate::{
    properties, prune,
    prune::Prune,
    reader,
    reader::Reader,
    scene::{Kind, Scene},
    store::{Store, run_of_key},
    writer,
    writer::Writer,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub store: Store,
    pub writers: Vec<Writer>,
    pub readers: Vec<Reader>,
    pub prunes: Vec<Prune>,
    /// A key that held an object was written again.
    pub overwrote: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Write(usize, writer::Act),
    Read(usize, reader::Act),
    Prune(usize, prune::Act),
    /// A tombstone for a run.
    Forget(usize),
}

impl Model for Scene {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        let sessions = self.sessions.len();
        let reads = self.sessions.iter().any(|kind| matches!(kind, Kind::Reader));
        let mut prunes = vec![Prune::default(); self.prunes];
        prunes[0] = self.paused.clone().unwrap_or_default();
        let mut writers = vec![Writer::default(); sessions];
        writers.iter_mut().zip(self.paused_writer).for_each(|(writer, paused)| *writer = paused);
        vec![State {
            store: self.first.clone(),
            writers,
            readers: vec![Reader::default(); if reads { sessions } else { 0 }],
            prunes,
            overwrote: false,
        }]
    }

    fn actions(&self, state: &State, out: &mut Vec<Act>) {
        for (me, kind) in self.sessions.iter().enumerate() {
            match kind {
                Kind::Writer(writing) => {
                    let mut acts = Vec::new();
                    writer::acts(self, state, me, writing, &mut acts);
                    out.extend(acts.into_iter().map(|act| Act::Write(me, act)));
                }
                Kind::Reader => {
                    let mut acts = Vec::new();
                    reader::acts(state, &state.readers[me], &mut acts);
                    out.extend(acts.into_iter().map(|act| Act::Read(me, act)));
                }
            }
        }
        for me in 0..self.prunes {
            out.extend(prune::acts(self, state, me, self.plans).into_iter().map(|act| Act::Prune(me, act)));
        }
        let forgettable = |&run: &usize| {
            let keys = 0..state.store.keys.len();
            let recorded =
                keys.filter(|&key| run_of_key(key) == run).any(|key| state.store.record(key).is_some());
            recorded && !state.store.tombstones.has(run)
        };
        out.extend(self.forgets.iter().filter(forgettable).map(Act::Forget));
    }

    fn next_state(&self, before: &State, action: Act) -> Option<State> {
        let mut state = before.clone();
        match action {
            Act::Write(me, act) => {
                let Kind::Writer(writing) = &self.sessions[me] else { unreachable!() };
                writer::act(self, &mut state, me, writing, act);
            }
            Act::Read(me, act) => reader::act(&mut state, me, act),
            Act::Prune(me, act) => prune::act(self, &mut state, me, act),
            Act::Forget(run) => state.store.tombstones = state.store.tombstones.with(run),
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }
}
