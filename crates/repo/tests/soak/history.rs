//! One random history, and the model that it is held against.

use crate::{
    sim_store::SimStore,
    writer::{Outcome, Step, Writer},
};
use futures::TryStreamExt as _;
use longshore_repo::{
    CheckOptions, Class, KdfCost, PruneOptions, PrunePolicy, RepoError, Repository, RepositorySettings, Run,
    RunId, SPAN_BYTES, Secret, Snapshot, store::Store,
};
use longshore_testkit::{Fault, FaultStore};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Longer than any history: no session of it acts by itself.
const SILENCE_SECONDS: u32 = 1_000_000;
/// Three of the least chunks: small, so that time goes into the protocol.
const BLOCK_BYTES: usize = 12 << 10;
const CHUNK_BYTES: [u32; 3] = [4 << 10, 8 << 10, 16 << 10];
const SOURCES: [&str; 3] = ["a", "b", "c"];

/// The most steps of a history, and so the most processes that begin a backup.
const STEPS_MAX: u64 = 40;

pub struct History<'r> {
    pub(crate) rng: StdRng,
    pub(crate) store: Arc<SimStore>,
    pub(crate) writers: Vec<Writer<'r>>,
    /// Room for the repositories that writers opened; each stays until the history ends.
    rooms: std::slice::Iter<'r, OnceCell<Repository>>,
    /// What must be there: content by run.
    pub(crate) expected: BTreeMap<RunId, Vec<u8>>,
    /// Of these runs, those that damage may have hit.
    pub(crate) hit: BTreeSet<RunId>,
    /// Nodes were damaged. As long as somebody needs them who may be alive, prune must not go on.
    pub(crate) has_lost_nodes: bool,
    /// Segments were damaged. Until the next result of a prune, check may say that the newest one names some that are missing.
    pub(crate) has_lost_segments: bool,
    /// Runs that were forgotten.
    forgotten: BTreeSet<RunId>,
    run_next: u128,
    pub(crate) log: Vec<String>,
}

pub(crate) fn password() -> Secret {
    Secret::from("correct horse")
}

impl<'r> History<'r> {
    /// Plays the history of a seed; panics if anything is lost, damaged or leaked. Returns its steps.
    pub fn play(seed: u64) -> u64 {
        let rooms: Vec<OnceCell<Repository>> = (0..STEPS_MAX).map(|_| OnceCell::new()).collect();
        History::new(seed, rooms.iter()).run(seed)
    }

    fn new(seed: u64, rooms: std::slice::Iter<'r, OnceCell<Repository>>) -> Self {
        let store = SimStore::new();
        let limits = RepositorySettings {
            pack_bytes: 1 << 20,
            silence_limit_seconds: SILENCE_SECONDS,
            reader_grace_seconds: 0,
            chunk_bytes: CHUNK_BYTES,
            ..RepositorySettings::default()
        };
        let cost = KdfCost { memory_kib: 8, passes: 1, lanes: 1 };
        Repository::init_with(store.clone(), &password(), cost, limits).unwrap();
        Self {
            rng: StdRng::seed_from_u64(seed),
            store,
            writers: Vec::new(),
            rooms,
            expected: BTreeMap::new(),
            hit: BTreeSet::new(),
            has_lost_nodes: false,
            has_lost_segments: false,
            forgotten: BTreeSet::new(),
            run_next: 1,
            log: Vec::new(),
        }
    }

    fn run(mut self, seed: u64) -> u64 {
        let steps = self.rng.random_range(10..STEPS_MAX);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (0..steps).for_each(|_| self.step());
            self.settle();
        }));
        if let Err(panic) = result {
            eprintln!("history of seed {seed}:\n{}", self.log.join("\n"));
            std::panic::resume_unwind(panic);
        }
        steps
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..22 => self.begin(),
            22..61 => self.drive(),
            61..64 => self.damage(),
            64..72 => self.kill(),
            72..80 => self.silence(),
            80..88 => self.forget(),
            88..97 => self.prune(),
            _ => self.verify(),
        }
    }

    pub(crate) fn open(&self) -> Repository {
        self.open_at(self.store.clone())
    }

    fn open_at(&self, store: Arc<dyn Store>) -> Repository {
        Repository::open(store, &password()).unwrap()
    }

    /// A new run, or another process of one that is under way or was killed.
    fn begin(&mut self) {
        if self.writers.len() >= 4 {
            return;
        }
        let racing = self.rng.random_bool(0.2) && !self.writers.is_empty();
        let (run, source) = if racing {
            let other = &self.writers[self.rng.random_range(0..self.writers.len())];
            (other.run, other.source.clone())
        } else {
            self.run_next += 1;
            let source = SOURCES[self.rng.random_range(0..SOURCES.len())];
            (RunId(uuid::Uuid::from_u128(self.run_next)), source.to_owned())
        };
        let content = self.content();
        let is_doomed = self.rng.random_bool(0.15);
        let store: Arc<dyn Store> = if is_doomed {
            let dies_at = self.rng.random_range(0..40);
            let fault = if self.rng.random_bool(0.5) { Fault::DeadFrom } else { Fault::DeadAfter };
            FaultStore::new(self.store.clone(), move |at, _| (at == dies_at).then_some(fault))
        } else {
            self.store.clone()
        };
        match self.start(store, source.clone(), run, content, is_doomed) {
            Ok(writer) => {
                self.log.push(format!("begin {run} of {source}"));
                self.writers.push(writer);
            }
            Err(error) => {
                let may = is_doomed || (error.class() == Class::Forgotten && self.forgotten.contains(&run));
                assert!(may, "{run} did not begin: {error:?}");
            }
        }
    }

    fn start(
        &mut self,
        store: Arc<dyn Store>,
        source: String,
        run: RunId,
        content: Vec<u8>,
        is_doomed: bool,
    ) -> Result<Writer<'r>, RepoError> {
        let opened = Repository::open(store, &password())?;
        let repository = self.rooms.next().expect("there is a room for each step").get_or_init(|| opened);
        Writer::start(repository, source, run, content, is_doomed)
    }

    /// Blocks of a small pool, so that sources share most of what they hold.
    fn content(&mut self) -> Vec<u8> {
        let blocks = self.rng.random_range(1..6);
        let mut out = Vec::new();
        for _ in 0..blocks {
            let number: u64 = self.rng.random_range(0..10);
            let mut block = vec![0; BLOCK_BYTES];
            blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut block);
            out.extend(block);
        }
        out
    }

    fn drive(&mut self) {
        if self.writers.is_empty() {
            return;
        }
        let number = self.rng.random_range(0..self.writers.len());
        let step = match self.rng.random_range(0..20) {
            0..8 => Step::Put,
            8..11 => Step::Checkpoint,
            11..15 => Step::Look,
            15..19 => Step::Commit,
            _ => Step::Abandon,
        };
        self.drive_one(number, step);
    }

    fn drive_one(&mut self, number: usize, step: Step) {
        let writer = &mut self.writers[number];
        let outcome = writer.step(step);
        self.log.push(format!("{step:?} {}: {outcome:?}", writer.run));
        match outcome {
            Outcome::Done if step == Step::Abandon => {
                self.writers.swap_remove(number);
            }
            Outcome::Done => {}
            Outcome::Committed { new } => {
                let writer = self.writers.swap_remove(number);
                if writer.was_hit {
                    self.hit.insert(writer.run);
                }
                if new {
                    let before = self.expected.insert(writer.run, writer.content.clone());
                    assert!(before.is_none(), "{} was committed twice", writer.run);
                } else {
                    let known =
                        self.expected.contains_key(&writer.run) || self.forgotten.contains(&writer.run);
                    assert!(known, "{} found a snapshot that nobody made", writer.run);
                }
            }
            Outcome::Failed(class, text) => {
                let writer = self.writers.swap_remove(number);
                let overtaken =
                    self.expected.contains_key(&writer.run) || self.forgotten.contains(&writer.run);
                let may = writer.was_silent || writer.is_doomed || writer.was_hit || overtaken;
                assert!(may, "{} failed: {class:?} {text}", writer.run);
                if writer.is_doomed {
                    self.look_what_became_of(&writer);
                }
            }
        }
    }

    /// The answer to a commit was lost: the record decides.
    fn look_what_became_of(&mut self, writer: &Writer<'_>) {
        let repository = self.open();
        let source = repository.source_id(&crate::writer::identity(&writer.source));
        if let Some(snapshot) = repository.find_run(source, writer.run).unwrap()
            && !self.expected.contains_key(&snapshot.id())
        {
            self.expected.insert(writer.run, writer.content.clone());
            if writer.was_hit {
                self.hit.insert(writer.run);
            }
        }
    }

    fn kill(&mut self) {
        if !self.writers.is_empty() {
            let number = self.rng.random_range(0..self.writers.len());
            let writer = self.writers.swap_remove(number);
            self.log.push(format!("kill {}", writer.run));
        }
    }

    /// More than the silence limit goes by, in which some writers gave no sign.
    fn silence(&mut self) {
        self.store.advance(i64::from(SILENCE_SECONDS) + 10);
        for writer in &mut self.writers {
            writer.was_silent = true;
        }
        self.log.push("silence".into());
    }

    fn forget(&mut self) {
        let repository = self.open();
        let snapshots = repository.snapshots().unwrap();
        if snapshots.is_empty() {
            return;
        }
        let snapshot = &snapshots[self.rng.random_range(0..snapshots.len())];
        repository.forget(snapshot, "simulation", jiff::Timestamp::UNIX_EPOCH).unwrap();
        self.log.push(format!("forget {}", snapshot.id()));
        self.expected.remove(&snapshot.id());
        self.forgotten.insert(snapshot.id());
    }

    /// A prune, often one that is killed on the way; sessions answer while it waits only in later steps.
    fn prune(&mut self) {
        let dies_at = self.rng.random_bool(0.5).then(|| self.rng.random_range(0..120));
        let store: Arc<dyn Store> = match dies_at {
            Some(dies_at) => {
                let fault = if self.rng.random_bool(0.5) { Fault::DeadFrom } else { Fault::DeadAfter };
                FaultStore::new(self.store.clone(), move |at, _| (at == dies_at).then_some(fault))
            }
            None => self.store.clone(),
        };
        let Ok(repository) = Repository::open(store, &password()) else { return };
        let result = repository.prune(&options(), &mut |_| {});
        self.log.push(format!("prune, dies at {dies_at:?}: {result:?}"));
        let is_undecidable = matches!(result, Err(RepoError::Undecidable { .. })) && self.has_lost_nodes;
        assert!(dies_at.is_some() || is_undecidable || result.is_ok(), "prune failed: {result:?}");
    }

    /// Every snapshot that must be there is, and is what was backed up; nothing else is there.
    fn verify(&mut self) {
        self.log.push("verify".into());
        let repository = self.open();
        let snapshots = repository.snapshots().unwrap();
        let found: BTreeSet<RunId> = snapshots.iter().map(Snapshot::id).collect();
        let expected: BTreeSet<RunId> = self.expected.keys().copied().collect();
        assert_eq!(found, expected);
        let broken = snapshots.iter().filter(|snapshot| !self.is_whole(&repository, snapshot)).count();
        let report = repository.check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap();
        let mut problems = report.problems;
        problems.retain(|problem| !(self.has_lost_segments && problem.object == "idx/"));
        assert_eq!(problems.is_empty(), broken == 0, "{broken} are broken: {problems:?}");
        assert_eq!(report.losses.len(), broken);
    }

    /// Everybody comes to an end; then all is forgotten, and nothing may be left.
    fn settle(&mut self) {
        while !self.writers.is_empty() {
            let step = if self.rng.random_bool(0.7) { Step::Commit } else { Step::Abandon };
            if self.rng.random_bool(0.2) { self.kill() } else { self.drive_one(0, step) }
        }
        self.verify();
        self.silence();
        self.give_up_undecidable();
        self.prune_all();
        self.has_lost_segments = false;
        self.verify();
        let repository = self.open();
        for snapshot in repository.snapshots().unwrap() {
            repository.forget(&snapshot, "simulation", jiff::Timestamp::UNIX_EPOCH).unwrap();
        }
        self.expected.clear();
        self.prune_all();
        let mut left = names(&self.store);
        left.retain(|name| {
            let stays = ["repo", "keys/", "keyset/", "config/", "forget/", "snap/", "gc/", "bad/"];
            !stays.iter().any(|prefix| name.starts_with(prefix))
        });
        assert_eq!(left, [""; 0], "leaked");
        let repository = self.open();
        assert_eq!(repository.snapshots().unwrap().len(), 0);
    }

    fn give_up_undecidable(&mut self) {
        let repository = self.open();
        for snapshot in repository.snapshots().unwrap() {
            if crate::damage::is_undecidable(&repository, &snapshot) {
                assert!(self.hit.contains(&snapshot.id()), "{}", snapshot.id());
                repository.forget(&snapshot, "simulation", jiff::Timestamp::UNIX_EPOCH).unwrap();
                self.expected.remove(&snapshot.id());
            }
        }
    }

    fn prune_all(&mut self) {
        for _ in 0..6 {
            let report = self.open().prune(&options(), &mut |_| {}).unwrap();
            self.log.push(format!("prune: {report:?}"));
            assert_eq!(report.waiting_sessions, 0, "nobody is left to wait for");
            // What it cannot copy out of a damaged pack it tries again each time.
            if report.plan == 0 || report.spared_packs > 0 {
                return;
            }
        }
        panic!("prune finds something to do again and again");
    }
}

fn options() -> PruneOptions {
    let policy = PrunePolicy { max_unused_percent: 0, ..PrunePolicy::default() };
    PruneOptions { policy, patience: Duration::ZERO }
}

pub(crate) fn names(store: &Arc<SimStore>) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let objects: Vec<_> = runtime.block_on(store.list("").try_collect()).unwrap();
    objects.into_iter().map(|object| object.name).collect()
}

pub(crate) fn restore(repository: &Repository, snapshot: &Snapshot) -> Result<Vec<u8>, RepoError> {
    let _reading = repository.begin_reading(snapshot)?;
    let reader = repository.open_volume(snapshot)?;
    assert!(reader.size_bytes() <= SPAN_BYTES);
    let mut out = Vec::new();
    for run in reader.span(0)?.unwrap_or_default() {
        match run {
            Run::Hole { length_bytes } => out.resize(out.len() + length_bytes as usize, 0),
            Run::Chunk(chunk) => out.extend(repository.read_chunk(&chunk)?),
        }
    }
    out.truncate(reader.size_bytes() as usize);
    Ok(out)
}
