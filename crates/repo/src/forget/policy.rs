//! Which snapshots a policy keeps: a pure decision.

use crate::{Snapshot, SourceId};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use std::collections::{BTreeMap, BTreeSet};

/// What is kept of each source. A snapshot stays if any rule keeps it. Days, weeks and so on are those of UTC; of each the
/// newest complete snapshot is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForgetPolicy {
    /// So many of the newest.
    pub last: u32,
    /// The newest of so many hours that have any.
    pub hourly: u32,
    /// Of so many days.
    pub daily: u32,
    /// Of so many weeks of ISO 8601.
    pub weekly: u32,
    /// Of so many months.
    pub monthly: u32,
    /// Of so many years.
    pub yearly: u32,
    /// Everything not older than this before the newest.
    pub within: Option<SignedDuration>,
    /// Everything with one of these labels.
    pub labels: BTreeSet<(String, String)>,
}

/// Why a snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeepReason {
    /// It is the newest complete one of its source. No policy forgets that.
    LastGood,
    /// One of the newest.
    Last,
    /// The newest of its hour.
    Hourly,
    /// Of its day.
    Daily,
    /// Of its week.
    Weekly,
    /// Of its month.
    Monthly,
    /// Of its year.
    Yearly,
    /// Young enough.
    Within,
    /// It has a label that is kept.
    Label,
    /// It is incomplete and younger than the newest complete one.
    Newest,
}

impl KeepReason {
    /// A stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LastGood => "last good",
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
            Self::Within => "within",
            Self::Label => "label",
            Self::Newest => "newest",
        }
    }
}

/// What a policy says of one snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct ForgetDecision {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Why it is kept; none: it is to be forgotten.
    pub keep: Vec<KeepReason>,
}

impl ForgetPolicy {
    /// Whether it has no rule at all: then it would keep only the last good snapshot, which is hardly meant.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Decides for each snapshot, source by source, oldest first.
pub fn decide_forget(snapshots: Vec<Snapshot>, policy: &ForgetPolicy) -> Vec<ForgetDecision> {
    let mut sources: BTreeMap<SourceId, Vec<Snapshot>> = BTreeMap::new();
    for snapshot in snapshots {
        sources.entry(snapshot.key.source).or_default().push(snapshot);
    }
    sources.into_values().flat_map(|of_source| decide_source(of_source, policy)).collect()
}

fn decide_source(mut snapshots: Vec<Snapshot>, policy: &ForgetPolicy) -> Vec<ForgetDecision> {
    snapshots.sort_by_key(|snapshot| (data_time(snapshot), snapshot.key));
    let mut rules = rules(policy);
    let newest = snapshots.iter().map(data_time).max();
    let mut has_good = false;
    let mut decisions: Vec<ForgetDecision> = Vec::with_capacity(snapshots.len());
    for snapshot in snapshots.into_iter().rev() {
        let time = data_time(&snapshot);
        let mut keep = Vec::new();
        if snapshot.record.incomplete {
            if !has_good {
                keep.push(KeepReason::Newest);
            }
        } else {
            if !has_good {
                keep.push(KeepReason::LastGood);
            }
            has_good = true;
            keep.extend(rules.iter_mut().filter_map(|rule| rule.keeps(time)));
            if let (Some(within), Some(newest)) = (policy.within, newest)
                && newest.duration_since(time) <= within
            {
                keep.push(KeepReason::Within);
            }
        }
        let labels = &snapshot.record.labels;
        if policy.labels.iter().any(|(key, value)| labels.get(key) == Some(value)) {
            keep.push(KeepReason::Label);
        }
        decisions.push(ForgetDecision { snapshot, keep });
    }
    decisions.reverse();
    decisions
}

/// The point in time of the data, as well as it is known.
fn data_time(snapshot: &Snapshot) -> Timestamp {
    snapshot.record.data_at.unwrap_or(snapshot.record.started_at)
}

/// A rule that keeps the newest of each of so many periods.
struct Rule {
    reason: KeepReason,
    left: u32,
    period: fn(Timestamp) -> [i32; 4],
    last: Option<[i32; 4]>,
}

impl Rule {
    /// Must be asked from the newest to the oldest.
    fn keeps(&mut self, time: Timestamp) -> Option<KeepReason> {
        let period = (self.period)(time);
        let is_new = self.reason == KeepReason::Last || self.last != Some(period);
        if self.left == 0 || !is_new {
            return None;
        }
        self.left -= 1;
        self.last = Some(period);
        Some(self.reason)
    }
}

fn rules(policy: &ForgetPolicy) -> [Rule; 6] {
    let rule = |reason, left, period| Rule { reason, left, period, last: None };
    [
        rule(KeepReason::Last, policy.last, hour),
        rule(KeepReason::Hourly, policy.hourly, hour),
        rule(KeepReason::Daily, policy.daily, day),
        rule(KeepReason::Weekly, policy.weekly, week),
        rule(KeepReason::Monthly, policy.monthly, month),
        rule(KeepReason::Yearly, policy.yearly, year),
    ]
}

fn hour(time: Timestamp) -> [i32; 4] {
    let [year, month, day, _] = day(time);
    [year, month, day, time.to_zoned(TimeZone::UTC).hour().into()]
}

fn day(time: Timestamp) -> [i32; 4] {
    let date = time.to_zoned(TimeZone::UTC).date();
    [date.year().into(), date.month().into(), date.day().into(), 0]
}

fn week(time: Timestamp) -> [i32; 4] {
    let week = time.to_zoned(TimeZone::UTC).date().iso_week_date();
    [week.year().into(), week.week().into(), 0, 0]
}

fn month(time: Timestamp) -> [i32; 4] {
    let [year, month, ..] = day(time);
    [year, month, 0, 0]
}

fn year(time: Timestamp) -> [i32; 4] {
    [day(time)[0], 0, 0, 0]
}

#[cfg(test)]
mod tests;
