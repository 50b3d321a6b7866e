use super::*;
use longshore_format::{
    FORMAT_VERSION, RunId,
    names::SnapshotKey,
    snapshot::{Content, SnapshotRecord, SnapshotStats, SourceIdentity},
};

fn snapshot(number: u128, time: &str) -> Snapshot {
    let (run, at) = (RunId(uuid::Uuid::from_u128(number)), time.parse().unwrap());
    let source = SourceIdentity::Path { host: "h".into(), path: "/p".into() };
    Snapshot {
        key: SnapshotKey { source: SourceId([1; 16]), run, attempt: 1 },
        record: SnapshotRecord {
            format: FORMAT_VERSION,
            run,
            attempt: 1,
            source,
            started_at: at,
            finished_at: at,
            data_at: None,
            content: Content::Volume { size_bytes: 0, root: None },
            parent: None,
            incomplete: false,
            stats: SnapshotStats::default(),
            kubernetes: None,
            labels: BTreeMap::new(),
            software: String::new(),
        },
    }
}

fn kept(snapshots: &[Snapshot], policy: &ForgetPolicy) -> Vec<u128> {
    decide_forget(snapshots.to_vec(), policy)
        .into_iter()
        .filter(|decision| !decision.keep.is_empty())
        .map(|decision| decision.snapshot.key.run.0.as_u128())
        .collect()
}

/// Two a day, at 6 and 18, for 40 days: numbers 0 to 79.
fn forty_days() -> Vec<Snapshot> {
    let begin: Timestamp = "2026-01-01T06:00:00Z".parse().unwrap();
    (0..80)
        .map(|number| {
            let time = begin + SignedDuration::from_hours(12 * number);
            snapshot(number as u128, &time.to_string())
        })
        .collect()
}

#[test]
fn each_rule_keeps_the_newest_of_its_periods() {
    let all = forty_days();
    let policy = |change: fn(&mut ForgetPolicy)| {
        let mut policy = ForgetPolicy::default();
        change(&mut policy);
        kept(&all, &policy)
    };
    assert_eq!(policy(|policy| policy.last = 3), [77, 78, 79]);
    assert_eq!(policy(|policy| policy.daily = 3), [75, 77, 79]);
    assert_eq!(policy(|policy| policy.hourly = 3), [77, 78, 79]);
    // 9 February 2026 is a Monday; the weeks before end on Sundays, 8 and 1 February.
    assert_eq!(policy(|policy| policy.weekly = 3), [63, 77, 79]);
    assert_eq!(policy(|policy| policy.monthly = 5), [61, 79]);
    assert_eq!(policy(|policy| policy.yearly = 5), [79]);
    assert_eq!(policy(|policy| policy.within = Some(SignedDuration::from_hours(25))), [77, 78, 79]);
    assert_eq!(kept(&all, &ForgetPolicy::default()), [79], "the last good one is never forgotten");
}

#[test]
fn an_incomplete_snapshot_takes_nobodys_place() {
    let mut all = forty_days();
    all[79].record.incomplete = true;
    all[40].record.incomplete = true;
    let policy = ForgetPolicy { last: 2, ..ForgetPolicy::default() };
    assert_eq!(kept(&all, &policy), [77, 78, 79]);
}

#[test]
fn labels_keep_and_sources_are_apart() {
    let mut all = forty_days();
    all[3].record.labels.insert("keep".into(), "yes".into());
    for other in &mut all[..10] {
        other.key.source = SourceId([2; 16]);
    }
    let labels = BTreeSet::from([("keep".into(), "yes".into())]);
    assert_eq!(kept(&all, &ForgetPolicy { last: 1, labels, ..ForgetPolicy::default() }), [79, 3, 9]);
}
