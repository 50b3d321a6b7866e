//! A reader: it resolves a target, says so, and reads for as long as it likes.

use crate::{
    set::Set,
    state::State,
    store::{Places, Ready, run_of_key},
};

/// What a reader does next. In `Read` it may stay for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Step {
    #[default]
    Open,
    ListTombstones,
    ChooseTarget,
    CreateReady,
    Read,
    Over,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reader {
    pub step: Step,
    tombstones: Set,
    target: u8,
    pub places: Places,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Go,
    Choose(u8),
}

pub fn acts(state: &State, reader: &Reader, out: &mut Vec<Act>) {
    match reader.step {
        Step::Over => {}
        Step::ChooseTarget => {
            let free =
                |&key: &usize| !reader.tombstones.has(run_of_key(key)) && state.store.record(key).is_some();
            out.extend((0..state.store.keys.len()).filter(free).map(|key| Act::Choose(key as u8)));
        }
        _ => out.push(Act::Go),
    }
}

pub fn act(state: &mut State, me: usize, act: Act) {
    let mut reader = state.readers[me];
    let session = &mut state.store.sessions[me];
    reader.step = match (reader.step, act) {
        (Step::Open, _) => {
            session.open = true;
            Step::ListTombstones
        }
        (Step::ListTombstones, _) => {
            reader.tombstones = state.store.tombstones;
            Step::ChooseTarget
        }
        (Step::ChooseTarget, Act::Choose(key)) => {
            reader.target = key;
            reader.places = state.store.record(usize::from(key)).unwrap();
            reader.tombstones = Set::EMPTY;
            Step::CreateReady
        }
        (Step::CreateReady, _) => {
            session.ready = Some(Ready { plan: 0, base: Some(reader.target) });
            Step::Read
        }
        (Step::Read, _) => {
            session.end = true;
            Step::Over
        }
        (Step::ChooseTarget | Step::Over, _) => unreachable!(),
    };
    state.readers[me] =
        if reader.step == Step::Over { Reader { step: Step::Over, ..Reader::default() } } else { reader };
}
