//! Rounds of processes that are killed, and what must be true at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::leaks::{assert_empty, assert_nothing_leaked};
use super::process::{Ended, Process, drive};
use super::scene::{SILENCE_SECONDS, Scene};
use super::sources::{Kind, Source, remove};

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    Backup(Kind),
    Restore(Kind),
    Prune,
}

impl Work {
    /// All of them, each with its share of the kills in percent.
    const ALL: [(Self, usize); 5] = [
        (Self::Backup(Kind::Tree), 20),
        (Self::Backup(Kind::Volume), 20),
        (Self::Restore(Kind::Tree), 15),
        (Self::Restore(Kind::Volume), 15),
        (Self::Prune, 30),
    ];
}

/// Snapshots of each kind above which some are forgotten.
const SNAPSHOTS_MANY: usize = 4;

#[derive(Default)]
struct Tally {
    /// Kills of processes that were running.
    kills: usize,
    /// Processes that ended before their moment: they count for nothing.
    ended: usize,
    /// When the kills came, in percent of what the work takes: five fifths.
    fifths: [usize; 5],
    /// What it takes undisturbed.
    takes: Duration,
}

/// A snapshot that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    id: String,
    kind: Kind,
    state: u64,
}

/// What a restore brings back, until it has ended by itself and was compared.
struct Target {
    path: PathBuf,
    of: Option<Listed>,
}

pub struct Campaign<'s> {
    scene: &'s Scene,
    rng: StdRng,
    sources: BTreeMap<Kind, Source>,
    targets: BTreeMap<Kind, Target>,
    tallies: BTreeMap<Work, Tally>,
    /// The run that movers of the volume work at, until it has committed.
    run: String,
    /// The states of the volume that runs saw.
    runs: BTreeMap<String, u64>,
    /// All that was ever listed and not forgotten.
    there: BTreeMap<String, Listed>,
    /// The time from which on every killed session is silent.
    silent_from: Instant,
    /// Runs that had committed although their mover was killed.
    found_done: usize,
}

impl<'s> Campaign<'s> {
    /// Measures what each work takes undisturbed.
    pub fn new(scene: &'s Scene, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let folder = scene.sandbox.path("sources");
        fs::create_dir(&folder).unwrap();
        let sources = [Kind::Tree, Kind::Volume].map(|kind| (kind, Source::new(&folder, kind, &mut rng)));
        let target =
            |kind: Kind| (kind, Target { path: scene.sandbox.path(&format!("{kind:?}-target")), of: None });
        let mut campaign = Self {
            scene,
            rng,
            sources: sources.into(),
            targets: [Kind::Tree, Kind::Volume].map(target).into(),
            tallies: Work::ALL.map(|(work, _)| (work, Tally::default())).into(),
            run: String::new(),
            runs: BTreeMap::new(),
            there: BTreeMap::new(),
            silent_from: Instant::now(),
            found_done: 0,
        };
        campaign.new_run();
        for (work, _) in Work::ALL {
            let took = campaign.finish_one(work);
            campaign.tallies.get_mut(&work).unwrap().takes = took;
        }
        campaign
    }

    /// Plays rounds until so many running processes were killed.
    pub fn run(&mut self, kills: usize) {
        loop {
            let wanted: Vec<Work> = Work::ALL
                .iter()
                .filter(|(work, percent)| self.tallies[work].kills < (kills * percent).div_ceil(100))
                .map(|(work, _)| *work)
                .collect();
            if wanted.is_empty() {
                return;
            }
            self.round(wanted);
        }
    }

    /// One to three processes beside each other, each with its moment; then the repository must be sound.
    fn round(&mut self, mut works: Vec<Work>) {
        works.shuffle(&mut self.rng);
        works.truncate(self.rng.random_range(1..=3));
        works.iter().for_each(|work| self.prepare(*work));
        let crowd = works.len() as f64;
        let processes = works
            .iter()
            .map(|work| {
                let takes = self.tallies[work].takes.mul_f64(0.6 + 0.4 * crowd);
                let moment = takes.mul_f64(self.rng.random_range(0.03..1.0));
                Process::start(self.command(*work), self.stderr(*work), Some(moment))
            })
            .collect();
        for (work, ended) in works.iter().zip(drive(processes)) {
            self.note(*work, crowd, &ended);
        }
        self.list();
        if self.rng.random_bool(0.15) {
            self.scene.ok(&["check"]);
        }
    }

    /// Everything that a work needs to have something to do.
    fn prepare(&mut self, work: Work) {
        match work {
            Work::Backup(Kind::Tree) => self.change(Kind::Tree),
            // A run sees one state, however often it is begun again.
            Work::Backup(Kind::Volume) => {}
            Work::Restore(kind) => self.choose_target(kind),
            Work::Prune => {
                self.forget_some();
                // Else most of what is killed would be waiting for those that were killed before.
                if self.rng.random_bool(0.6) {
                    self.wait_for_silence();
                }
            }
        }
    }

    fn change(&mut self, kind: Kind) {
        self.sources.get_mut(&kind).unwrap().change(&mut self.rng);
    }

    fn new_run(&mut self) {
        self.change(Kind::Volume);
        self.run = uuid::Uuid::now_v7().to_string();
        self.runs.insert(self.run.clone(), self.sources[&Kind::Volume].state());
    }

    fn choose_target(&mut self, kind: Kind) {
        let fitting: Vec<&Listed> = self.there.values().filter(|listed| listed.kind == kind).collect();
        let target = self.targets.get_mut(&kind).unwrap();
        if target.of.is_none() {
            target.of = Some(fitting[self.rng.random_range(0..fitting.len())].clone());
            remove(&target.path);
        }
    }

    fn command(&self, work: Work) -> Command {
        match work {
            Work::Backup(Kind::Tree) => {
                let source = &self.sources[&Kind::Tree];
                let label = format!("state={}", source.state());
                self.scene.command(&["backup", "--label", &label, source.path.to_str().unwrap()])
            }
            Work::Backup(Kind::Volume) => self.scene.mover(&self.sources[&Kind::Volume].path, &self.run),
            Work::Restore(kind) => {
                let target = &self.targets[&kind];
                let id = &target.of.as_ref().unwrap().id;
                self.scene.command(&["restore", id, target.path.to_str().unwrap()])
            }
            Work::Prune => self.scene.command(&["prune", "--max-unused", "0", "--wait", "60s"]),
        }
    }

    fn stderr_path(&self, work: Work) -> PathBuf {
        self.scene.sandbox.path(&format!("{work:?}.stderr"))
    }

    fn stderr(&self, work: Work) -> fs::File {
        fs::File::create(self.stderr_path(work)).unwrap()
    }

    fn note(&mut self, work: Work, crowd: f64, ended: &Ended) {
        let tally = self.tallies.get_mut(&work).unwrap();
        if ended.was_killed() {
            let part = ended.took.as_secs_f64() / tally.takes.mul_f64(0.6 + 0.4 * crowd).as_secs_f64();
            tally.kills += 1;
            tally.fifths[((part * 5.0) as usize).min(4)] += 1;
            self.silent_from = Instant::now() + Duration::from_secs(SILENCE_SECONDS + 1);
            return;
        }
        tally.ended += 1;
        // It was faster than thought, or slower: the next moments fall into what it takes now.
        tally.takes = (tally.takes + ended.took.div_f64(0.6 + 0.4 * crowd)) / 2;
        self.came_to_its_end(work, ended);
    }

    /// What a process that was not killed must have done.
    fn came_to_its_end(&mut self, work: Work, ended: &Ended) {
        let said = fs::read_to_string(self.stderr_path(work)).unwrap_or_default();
        // On a machine that is too busy a live session may seem silent. It then loses its work, as it should.
        let lost = said.contains("prune gave up on this session");
        assert!(
            ended.status.success() || lost,
            "{work:?} on {:?}: {}\n{said}",
            self.scene.place,
            ended.status
        );
        if lost {
            return;
        }
        match work {
            Work::Backup(Kind::Tree) => {
                self.list();
                let state = self.sources[&Kind::Tree].state();
                let is_there = |listed: &Listed| listed.kind == Kind::Tree && listed.state == state;
                assert!(self.there.values().any(is_there), "a backup that ended well is not listed");
            }
            Work::Backup(Kind::Volume) => {
                // Killed between its commit and its end: whoever begins the run again finds it done.
                self.found_done += usize::from(self.there.contains_key(&self.run));
                self.list();
                assert!(self.there.contains_key(&self.run), "a run that ended well is not listed");
                self.new_run();
            }
            Work::Restore(kind) => {
                let target = self.targets.get_mut(&kind).unwrap();
                let of = target.of.take().unwrap();
                self.sources[&kind].assert_restored(of.state, &target.path);
            }
            Work::Prune => {}
        }
    }

    /// Lists the snapshots: none that was ever there is gone, and each is one that a backup began.
    fn list(&mut self) {
        let listed = self.scene.json(&["snapshots"]);
        let mut now = BTreeMap::new();
        for snapshot in listed["snapshots"].as_array().unwrap() {
            let id = snapshot["id"].as_str().unwrap().to_owned();
            let (kind, state) = match self.runs.get(&id) {
                Some(state) => (Kind::Volume, *state),
                None => (Kind::Tree, snapshot["labels"]["state"].as_str().unwrap().parse().unwrap()),
            };
            assert_eq!(snapshot["incomplete"], false);
            now.insert(id.clone(), Listed { id, kind, state });
        }
        let lost: Vec<&String> = self.there.keys().filter(|id| !now.contains_key(*id)).collect();
        assert!(lost.is_empty(), "{:?}: snapshots are gone: {lost:?}", self.scene.place);
        self.there = now;
        let needed: BTreeSet<(Kind, u64)> =
            self.there.values().map(|listed| (listed.kind, listed.state)).collect();
        for (kind, source) in &self.sources {
            source.forget_states(|state| needed.contains(&(*kind, state)));
        }
    }

    fn forget_some(&mut self) {
        let busy: Vec<String> =
            self.targets.values().filter_map(|target| Some(target.of.as_ref()?.id.clone())).collect();
        for kind in [Kind::Tree, Kind::Volume] {
            let mut fitting: Vec<String> = self
                .there
                .values()
                .filter(|listed| listed.kind == kind)
                .map(|listed| listed.id.clone())
                .collect();
            fitting.retain(|id| !busy.contains(id) && *id != self.run);
            if fitting.len() >= SNAPSHOTS_MANY {
                let id = fitting.swap_remove(self.rng.random_range(0..fitting.len()));
                self.scene.ok(&["forget", &id]);
                self.there.remove(&id);
            }
        }
    }

    fn wait_for_silence(&self) {
        std::thread::sleep(self.silent_from.saturating_duration_since(Instant::now()));
    }

    /// Runs one work to its end; returns what it took.
    fn finish_one(&mut self, work: Work) -> Duration {
        if work == Work::Backup(Kind::Tree) {
            self.change(Kind::Tree);
        }
        if let Work::Restore(kind) = work {
            self.choose_target(kind);
        }
        let ended = drive(vec![Process::start(self.command(work), self.stderr(work), None)]);
        self.came_to_its_end(work, &ended[0]);
        ended[0].took
    }

    /// Begins everything again that was killed, forgets some, prunes, and holds the rest against its copies. Returns the report.
    pub fn finish(mut self) -> String {
        for (work, _) in Work::ALL.into_iter().filter(|(work, _)| *work != Work::Prune) {
            self.finish_one(work);
        }
        self.forget_some();
        self.prune_until_settled();
        let check = self.scene.json(&["check", "--read-data"]);
        self.list();
        for listed in self.there.values().cloned().collect::<Vec<_>>() {
            let target = &self.targets[&listed.kind].path;
            remove(target);
            self.scene.ok(&["restore", &listed.id, target.to_str().unwrap()]);
            self.sources[&listed.kind].assert_restored(listed.state, target);
        }
        let compared = self.there.len();
        // The sessions of check and restores have ended, and go with the next prune.
        self.prune_until_settled();
        assert_nothing_leaked(self.scene);
        for id in self.there.keys() {
            self.scene.ok(&["forget", id]);
        }
        self.there.clear();
        self.prune_until_settled();
        assert_empty(self.scene);
        assert_eq!(self.scene.json(&["snapshots"])["snapshots"].as_array().unwrap().len(), 0);
        self.report(compared, &check)
    }

    fn prune_until_settled(&self) {
        self.wait_for_silence();
        for _ in 0..8 {
            let report = self.scene.json(&["prune", "--max-unused", "0", "--wait", "60s"]);
            assert_eq!(report["waitingSessions"], 0, "nobody is left to wait for");
            if report["plan"] == 0 {
                return;
            }
        }
        panic!("prune finds something to do again and again");
    }

    fn report(&self, compared: usize, check: &serde_json::Value) -> String {
        let mut lines = Vec::new();
        for (work, tally) in &self.tallies {
            let work = format!("{work:?}");
            lines.push(format!(
                "{:?} {work:16} killed while running {:3}, ended before {:3}; killed in each fifth of {:4} ms: {:?}",
                self.scene.place,
                tally.kills,
                tally.ended,
                tally.takes.as_millis(),
                tally.fifths
            ));
        }
        let kills: usize = self.tallies.values().map(|tally| tally.kills).sum();
        lines.push(format!(
            "{:?}: {kills} kills; {compared} snapshots restored and equal; {} found committed though their mover was killed; check: {check}",
            self.scene.place, self.found_done
        ));
        lines.join("\n")
    }
}
