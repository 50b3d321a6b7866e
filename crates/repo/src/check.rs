//! Proving that snapshots can be restored.
//!
//! Without reading data: every record, every node, every pack's trailer and footer, that the index says the same as the
//! trailers, and that each chunk a snapshot needs stands in a pack of the right length. With reading: every byte of every pack and index segment, its name, its seals
//! and its ids.

mod packs;
mod records;
#[cfg(test)]
mod tests;
mod walk;

use crate::{RepoError, Repository, error::chain};
use longshore_format::names;
use packs::PackTable;

/// What to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckOptions {
    /// Read and prove every byte.
    pub read_data: bool,
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// Bytes that were read and proven.
    pub read_bytes: u64,
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
        let class = error.class();
        let is_damage = matches!(
            class,
            crate::Class::Corrupt
                | crate::Class::Unsupported
                | crate::Class::Machine
                | crate::Class::Store(longshore_store::Class::NotFound | longshore_store::Class::Corrupt)
        );
        if !is_damage {
            return Err(error);
        }
        self.problem(object, chain(&error));
        Ok(())
    }
}

impl Repository {
    /// Checks the repository. `progress` is called from time to time.
    pub fn check(
        &self,
        options: &CheckOptions,
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
        self.check_index(options, &mut packs, &mut report)?;
        self.check_snapshots(&mut packs, &mut report, progress)?;
        report.unindexed_packs = packs.unindexed();
        if options.read_data {
            self.read_all_packs(&packs, &mut report, progress)?;
        }
        Ok(report)
    }

    /// Proves that each segment agrees with itself and with the trailers of the packs that it lists.
    fn check_index(
        &self,
        options: &CheckOptions,
        packs: &mut PackTable,
        report: &mut CheckReport,
    ) -> Result<(), RepoError> {
        let (segments, is_incomplete) = self.index.list_segments()?;
        if is_incomplete {
            report.problem(names::INDEX, "a segment that the newest result of a prune names is missing");
        }
        for listed in segments {
            let mut failure = None;
            let read = self.index.prove(&listed, |pack| {
                if failure.is_none() {
                    failure = packs.indexed(self, pack, &listed.name(), report).err();
                }
            });
            if let Some(error) = failure {
                return Err(error);
            }
            let whole = match options.read_data {
                true => self.index.prove_name(&listed).map(drop),
                false => Ok(()),
            };
            for result in [read, whole] {
                if let Err(error) = result {
                    report.damage(&listed.name(), error)?;
                }
            }
        }
        Ok(())
    }
}
