//! `longshore diff`

use std::cell::RefCell;
use std::io::Write;
use std::ops::ControlFlow;

use longshore_mover::MoverError;
use longshore_repo::{
    DiffTotals, Difference, EntryChange, EntryCounts, EntryDifference, EntryKind, RangeContent,
    RangeDifference, RepoError, Repository, Snapshot,
};
use serde::ser::{Error as _, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::ls::{kind_word, text};
use crate::arguments::{DiffArguments, GlobalArguments};
use crate::output::bytes;
use crate::settings::Access;
use crate::{Failure, output};

pub fn run(global: &GlobalArguments, verb: &DiffArguments) -> Result<u8, Failure> {
    let repository = Access::from(global)?.open()?;
    let before = super::restore::resolve(&repository, &verb.before)?;
    let after = super::restore::resolve(&repository, &verb.after)?;
    let diff = Diff {
        repository: &repository,
        before: &before,
        after: &after,
        metadata: verb.metadata,
        failure: RefCell::new(None),
    };
    let printed = output::print(global.output, "Diff", &diff, |out| diff.print(out));
    // What stopped the comparison says more than that printing it stopped.
    match diff.failure.into_inner() {
        Some(error) => Err(MoverError::from(error).into()),
        None => printed.map(|()| 0),
    }
}

/// Differences are printed as they are found: there may be more of them than fit into memory.
struct Diff<'a> {
    repository: &'a Repository,
    before: &'a Snapshot,
    after: &'a Snapshot,
    metadata: bool,
    failure: RefCell<Option<RepoError>>,
}

impl Diff<'_> {
    /// Hands each difference that is to be shown to `each`; ends early with its failure. `None`: the repository failed.
    fn walk<E>(&self, mut each: impl FnMut(&Difference) -> Result<(), E>) -> Option<Result<DiffTotals, E>> {
        let mut stopped = None;
        let found = self.repository.diff(self.before, self.after, &mut |difference| {
            let hidden =
                matches!(&difference, Difference::Entry(entry) if entry.change == EntryChange::Metadata);
            if hidden && !self.metadata {
                return ControlFlow::Continue(());
            }
            match each(&difference) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    stopped = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        match (found, stopped) {
            (_, Some(error)) => Some(Err(error)),
            (Ok(totals), None) => Some(Ok(totals)),
            (Err(error), None) => {
                *self.failure.borrow_mut() = Some(error);
                None
            }
        }
    }

    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let totals = self.walk(|difference| match difference {
            Difference::Entry(entry) => {
                let slash = if entry_kind(entry) == Some(EntryKind::Directory) && entry.path != b"/" {
                    "/"
                } else {
                    ""
                };
                writeln!(out, "{}    {}{slash}", entry_letter(entry.change), text(&entry.path))
            }
            Difference::Range(range) => writeln!(
                out,
                "{}    {:>16} {:>14}",
                range_letter(range),
                range.offset_bytes,
                range.length_bytes
            ),
        });
        let Some(totals) = totals.transpose()? else { return Ok(()) };
        writeln!(out)?;
        match self.after.record.content {
            longshore_repo::Content::Volume { .. } => {
                writeln!(out, "{} ranges differ, {}", totals.ranges, bytes(totals.range_bytes))?;
            }
            longshore_repo::Content::Tree { .. } => tree_summary(out, &totals)?,
        }
        writeln!(
            out,
            "size {} before, {} after; {} added, {} removed",
            bytes(self.before.record.content.size_bytes()),
            bytes(self.after.record.content.size_bytes()),
            bytes(totals.added_bytes),
            bytes(totals.removed_bytes)
        )
    }
}

fn tree_summary(out: &mut dyn Write, totals: &DiffTotals) -> std::io::Result<()> {
    let counts = |pick: fn(&EntryCounts) -> u64| {
        let [added, removed, changed] = [&totals.added, &totals.removed, &totals.changed].map(pick);
        format!("{added:>8} added {removed:>8} removed {changed:>8} changed")
    };
    writeln!(out, "files  {}", counts(|counts| counts.files))?;
    writeln!(out, "dirs   {:>8} added {:>8} removed", totals.added.directories, totals.removed.directories)?;
    writeln!(out, "others {}", counts(|counts| counts.others))?;
    writeln!(out, "{} of another kind, {} with other attributes alone", totals.types, totals.metadata)
}

fn entry_kind(entry: &EntryDifference) -> Option<EntryKind> {
    entry.after.as_ref().or(entry.before.as_ref()).map(|entry| entry.kind)
}

fn entry_letter(change: EntryChange) -> char {
    match change {
        EntryChange::Added => '+',
        EntryChange::Removed => '-',
        EntryChange::Type => 'T',
        EntryChange::Content => 'M',
        EntryChange::Metadata => 'U',
    }
}

fn range_letter(range: &RangeDifference) -> char {
    match (range.before, range.after) {
        (RangeContent::Hole, _) => '+',
        (RangeContent::Data, RangeContent::Hole) => '-',
        (RangeContent::Data, RangeContent::Data) => 'M',
    }
}

impl Serialize for Diff<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let totals = RefCell::new(DiffTotals::default());
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("before", &self.before.record.run)?;
        map.serialize_entry("after", &self.after.record.run)?;
        map.serialize_entry("beforeSizeBytes", &self.before.record.content.size_bytes())?;
        map.serialize_entry("afterSizeBytes", &self.after.record.content.size_bytes())?;
        map.serialize_entry("differences", &Streamed { diff: self, totals: &totals })?;
        map.serialize_entry("totals", &Totals::from(&totals.into_inner()))?;
        map.end()
    }
}

/// The list of differences; its sums are known when it has been written.
struct Streamed<'a> {
    diff: &'a Diff<'a>,
    totals: &'a RefCell<DiffTotals>,
}

impl Serialize for Streamed<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(None)?;
        let totals = self.diff.walk(|difference| match difference {
            Difference::Entry(entry) => list.serialize_element(&EntryView::from(&**entry)),
            Difference::Range(range) => list.serialize_element(&RangeView::from(range)),
        });
        *self.totals.borrow_mut() =
            totals.transpose()?.ok_or_else(|| S::Error::custom("the repository failed"))?;
        list.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryView {
    change: &'static str,
    path: String,
    /// Of the later one, if there is one.
    kind: Option<&'static str>,
    added_bytes: u64,
    removed_bytes: u64,
}

impl From<&EntryDifference> for EntryView {
    fn from(entry: &EntryDifference) -> Self {
        Self {
            change: match entry.change {
                EntryChange::Added => "added",
                EntryChange::Removed => "removed",
                EntryChange::Type => "type",
                EntryChange::Content => "content",
                EntryChange::Metadata => "metadata",
            },
            path: text(&entry.path),
            kind: entry_kind(entry).map(kind_word),
            added_bytes: entry.added_bytes,
            removed_bytes: entry.removed_bytes,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RangeView {
    offset_bytes: u64,
    length_bytes: u64,
    before: &'static str,
    after: &'static str,
}

impl From<&RangeDifference> for RangeView {
    fn from(range: &RangeDifference) -> Self {
        let word = |content: RangeContent| match content {
            RangeContent::Hole => "hole",
            RangeContent::Data => "data",
        };
        Self {
            offset_bytes: range.offset_bytes,
            length_bytes: range.length_bytes,
            before: word(range.before),
            after: word(range.after),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    added: Counts,
    removed: Counts,
    changed: Counts,
    types: u64,
    metadata: u64,
    ranges: u64,
    range_bytes: u64,
    added_bytes: u64,
    removed_bytes: u64,
}

#[derive(Serialize)]
struct Counts {
    files: u64,
    directories: u64,
    others: u64,
}

impl From<&DiffTotals> for Totals {
    fn from(totals: &DiffTotals) -> Self {
        let counts = |counts: EntryCounts| {
            let EntryCounts { files, directories, others } = counts;
            Counts { files, directories, others }
        };
        Self {
            added: counts(totals.added),
            removed: counts(totals.removed),
            changed: counts(totals.changed),
            types: totals.types,
            metadata: totals.metadata,
            ranges: totals.ranges,
            range_bytes: totals.range_bytes,
            added_bytes: totals.added_bytes,
            removed_bytes: totals.removed_bytes,
        }
    }
}
