//! What is backed up: a folder tree and a volume image with holes, changed between runs, with a copy of each state.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::{Rng, rngs::StdRng};

use crate::sandbox::{assert_same_bytes, describe, noise};

/// What sort of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Tree,
    Volume,
}

/// Size of the image; two spans, the second one cut short.
const IMAGE_BYTES: u64 = (96 << 20) + 5000;
const FOLDERS: u64 = 12;
const FILES: u64 = 16;

pub struct Source {
    pub kind: Kind,
    pub path: PathBuf,
    states: PathBuf,
    state: u64,
}

impl Source {
    pub fn new(folder: &Path, kind: Kind, rng: &mut StdRng) -> Self {
        let (path, states) = (folder.join(format!("{kind:?}")), folder.join(format!("{kind:?}-states")));
        fs::create_dir(&states).unwrap();
        match kind {
            Kind::Tree => (0..FOLDERS)
                .for_each(|number| fs::create_dir_all(path.join(format!("{number}/deep"))).unwrap()),
            Kind::Volume => fs::File::create(&path).unwrap().set_len(IMAGE_BYTES).unwrap(),
        }
        let mut source = Self { kind, path, states, state: 0 };
        for _ in 0..4 {
            source.change(rng);
        }
        source
    }

    /// The number of the state that the source is in.
    pub fn state(&self) -> u64 {
        self.state
    }

    /// The copy of a state.
    pub fn kept(&self, state: u64) -> PathBuf {
        self.states.join(state.to_string())
    }

    /// Changes part of it, and keeps a copy of what it is then.
    pub fn change(&mut self, rng: &mut StdRng) {
        match self.kind {
            Kind::Tree => self.change_tree(rng),
            Kind::Volume => self.change_volume(rng),
        }
        self.state += 1;
        let copied = Command::new("cp")
            .args(["-a", "--sparse=always"])
            .args([&self.path, &self.kept(self.state)])
            .status()
            .unwrap();
        assert!(copied.success());
    }

    fn change_tree(&self, rng: &mut StdRng) {
        for _ in 0..FOLDERS * FILES / 4 {
            let folder = self.path.join(format!("{}/deep", rng.random_range(0..FOLDERS)));
            let file = folder.join(format!("{}", rng.random_range(0..FILES)));
            match rng.random_range(0..10) {
                0 => drop(fs::remove_file(&file)),
                1 => {
                    // A name of its own, so that it is no link to itself.
                    let _ = fs::hard_link(&file, folder.join(format!("link-{}", rng.random::<u16>())));
                }
                _ => {
                    // Anew, so that other names of the old file keep what they had.
                    let _ = fs::remove_file(&file);
                    let length = [100, 5_000, 60_000, 200_000][rng.random_range(0..4)];
                    fs::write(&file, noise(rng.random(), length)).unwrap();
                }
            }
        }
    }

    fn change_volume(&self, rng: &mut StdRng) {
        let image = fs::File::options().write(true).open(&self.path).unwrap();
        for _ in 0..5 {
            let length = rng.random_range(1..1 << 20);
            let offset = rng.random_range(0..IMAGE_BYTES - length as u64);
            let bytes = if rng.random_bool(0.2) { vec![0; length] } else { noise(rng.random(), length) };
            image.write_all_at(&bytes, offset).unwrap();
        }
    }

    /// A restored copy is as the source was in a state.
    pub fn assert_restored(&self, state: u64, target: &Path) {
        match self.kind {
            Kind::Tree => assert_eq!(describe(target), describe(&self.kept(state))),
            Kind::Volume => assert_same_bytes(target, &self.kept(state)),
        }
    }

    /// Deletes the copies of states that `is_needed` does not name; that of the present one stays.
    pub fn forget_states(&self, is_needed: impl Fn(u64) -> bool) {
        for state in (1..self.state).filter(|state| !is_needed(*state)) {
            remove(&self.kept(state));
        }
    }
}

/// Removes a file or folder, if it is there.
pub fn remove(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else if path.exists() {
        fs::remove_file(path).unwrap();
    }
}
