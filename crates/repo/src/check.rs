//! Proving that snapshots can be restored.
//!
//! Without reading data: every record, every node, every pack's trailer and footer, that the index says the same as the
//! trailers, and that each chunk a snapshot needs stands in a pack of the right length. With reading: every byte of every pack and index segment, its name, its seals
//! and its ids. Packs are read first, so that what is found there is told of the snapshots that need it.

pub(crate) mod packs;
mod records;
#[cfg(test)]
mod tests;
mod walk;

use crate::{Class, Losses, RepoError, Repository, error::chain};
use longshore_format::{PackId, names};
use packs::PackTable;

/// What to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckOptions {
    /// Read and prove every byte.
    pub read_data: bool,
}

/// A part of the packs. Samples of the same share with numbers one after the other lie side by side, so that together
/// they cover all packs: after 10 of 10%, everything was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The share, in percent, 1 to 100.
    pub percent: u32,
    /// Which of the samples: a day's number, for example.
    pub number: u64,
}

impl Sample {
    /// Names of packs are hashes, so their first bytes spread evenly.
    fn holds(&self, pack: PackId) -> bool {
        const PARTS: u64 = 10_000;
        let [a, b, c, d, ..] = pack.0;
        let at = (u64::from(u32::from_be_bytes([a, b, c, d])) * PARTS) >> 32;
        let width = u64::from(self.percent.min(100)) * (PARTS / 100);
        let start = (self.number % PARTS) * width % PARTS;
        (at + PARTS - start) % PARTS < width
    }
}

/// What is read of packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    Nothing,
    Everything,
    Part(Sample),
}

impl Read {
    fn holds(self, pack: PackId) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Part(sample) => sample.holds(pack),
        }
    }
}

/// How far a check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckProgress {
    /// Snapshots walked, of how many.
    Snapshots {
        /// Walked.
        done: u64,
        /// Of.
        total: u64,
    },
    /// Bytes of packs read, of how many.
    Data {
        /// Read.
        done_bytes: u64,
        /// Of.
        total_bytes: u64,
    },
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The object or chunk.
    pub object: String,
    /// What is wrong, with all causes.
    pub reason: String,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckReport {
    /// Snapshots that were walked.
    pub snapshots: u64,
    /// Nodes that were read.
    pub nodes: u64,
    /// Chunks that snapshots need, each counted once.
    pub chunks: u64,
    /// Packs in the store.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Packs that no index segment lists: leavings of interrupted runs. Harmless.
    pub unindexed_packs: u64,
    /// Packs that were read whole.
    pub read_packs: u64,
    /// Bytes that were read and proven.
    pub read_bytes: u64,
    /// Packs that are known to be damaged. No problem by itself: what snapshots need of them may stand elsewhere by now.
    pub quarantined_packs: u64,
    /// Snapshots that cannot be restored whole, and what of them is lost.
    pub losses: Vec<Losses>,
    /// What is wrong. Empty means that every snapshot can be restored, as far as was looked.
    pub problems: Vec<Problem>,
    /// Problems beyond the first thousand are only counted.
    pub problems_more: u64,
}

/// Problems that a report spells out.
const PROBLEMS_MAX: usize = 1000;

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, object: impl Into<String>, reason: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { object: object.into(), reason: reason.into() });
        } else {
            self.problems_more += 1;
        }
    }

    /// Damage goes into the report; what says nothing about the repository (an endpoint that is down) stops the check.
    fn damage(&mut self, object: &str, error: RepoError) -> Result<(), RepoError> {
        if !says_damage(&error) {
            return Err(error);
        }
        self.problem(object, chain(&error));
        Ok(())
    }
}

/// Whether an error says that something stored is not what it should be. Others say nothing about the repository.
pub(crate) fn says_damage(error: &RepoError) -> bool {
    use longshore_store::Class as Store;
    matches!(
        error.class(),
        Class::Corrupt | Class::Unsupported | Class::Machine | Class::Store(Store::NotFound | Store::Corrupt)
    )
}

impl Repository {
    /// Checks the repository. `progress` is called from time to time.
    pub fn check(
        &self,
        options: &CheckOptions,
        progress: &mut dyn FnMut(CheckProgress),
    ) -> Result<CheckReport, RepoError> {
        self.check_with(if options.read_data { Read::Everything } else { Read::Nothing }, progress)
    }

    /// Checks the repository and reads a part of its packs.
    pub fn check_sample(
        &self,
        sample: Sample,
        progress: &mut dyn FnMut(CheckProgress),
    ) -> Result<CheckReport, RepoError> {
        self.check_with(Read::Part(sample), progress)
    }

    fn check_with(
        &self,
        read: Read,
        progress: &mut dyn FnMut(CheckProgress),
    ) -> Result<CheckReport, RepoError> {
        let _reading = self.begin_check()?;
        let mut report = CheckReport::default();
        self.check_keys(&mut |object, reason| report.problem(object, reason))?;
        let mut packs = PackTable::list(self, &mut report)?;
        self.check_records(&mut report)?;
        for (object, reason) in self.hidden()? {
            report.problem(object, reason);
        }
        self.read_packs(read, &mut packs, &mut report, progress)?;
        self.check_index(read, &mut packs, &mut report)?;
        let is_hit = self.check_snapshots(&mut packs, &mut report, progress)?;
        report.unindexed_packs = packs.unindexed();
        if is_hit {
            report.losses = self.losses_in(self.snapshots()?, &mut packs)?;
        }
        Ok(report)
    }

    /// Proves that each segment agrees with itself and with the trailers of the packs that it lists.
    fn check_index(
        &self,
        read: Read,
        packs: &mut PackTable,
        report: &mut CheckReport,
    ) -> Result<(), RepoError> {
        let (segments, is_incomplete) = self.index.list_segments()?;
        if is_incomplete {
            report.problem(names::INDEX, "a segment that the newest result of a prune names is missing");
        }
        for listed in segments {
            let mut failure = None;
            let proven = self.index.prove(&listed, |pack| {
                if failure.is_none() {
                    failure = packs.indexed(self, pack, &listed.name(), report).err();
                }
            });
            if let Some(error) = failure {
                return Err(error);
            }
            let whole = match read {
                Read::Everything => self.index.prove_name(&listed).map(drop),
                _ => Ok(()),
            };
            for result in [proven, whole] {
                if let Err(error) = result {
                    report.damage(&listed.name(), error)?;
                }
            }
        }
        Ok(())
    }
}
