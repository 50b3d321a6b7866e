//! Laws of [`decide`].

use jiff::Timestamp;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn kept() -> Seen {
    Seen {
        deleting: false,
        takes_snapshot: false,
        release_after: at(1000),
        run_active: false,
        used: false,
        wanted: false,
        others: true,
        snapshot: Bound::Absent,
    }
}

/// Every combination of what a decision may look at.
fn table(mut check: impl FnMut(&Seen)) {
    let snapshots =
        [Bound::Absent, Bound::Pending { since: at(0) }, Bound::Ready, Bound::Leaving, Bound::Foreign];
    for snapshot in snapshots {
        for bits in 0..64_u8 {
            check(&Seen {
                deleting: bits & 1 != 0,
                takes_snapshot: bits & 2 != 0,
                run_active: bits & 4 != 0,
                used: bits & 8 != 0,
                wanted: bits & 16 != 0,
                others: bits & 32 != 0,
                snapshot,
                ..kept()
            });
        }
    }
}

#[test]
fn a_snapshot_that_somebody_may_need_is_never_touched() {
    table(|seen| {
        let kept = !seen.deleting && !seen.takes_snapshot;
        let needed = seen.run_active || seen.wanted;
        for now in [at(0), at(10_000)] {
            let step = decide(now, seen).step;
            if kept && (needed || (!seen.used && now < seen.release_after)) {
                assert_eq!(step, Step::Wait, "{seen:?}");
            }
            if step == Step::TakeSnapshot {
                assert!(!seen.others && seen.snapshot == Bound::Ready, "{seen:?}");
            }
            if seen.snapshot == Bound::Foreign {
                assert!(!matches!(step, Step::DeleteSnapshot | Step::Forget), "{seen:?}");
            }
        }
    });
}

#[test]
fn a_used_snapshot_goes_step_by_step() {
    let mut seen = kept();
    assert_eq!(decide(at(0), &seen).step, Step::Wait);
    seen.used = true;
    assert_eq!(decide(at(0), &seen).step, Step::DeleteOthers);
    seen.others = false;
    assert_eq!(decide(at(0), &seen).step, Step::CreateSnapshot);
    seen.snapshot = Bound::Pending { since: at(0) };
    assert_eq!(decide(at(1), &seen).step, Step::Wait);
    seen.snapshot = Bound::Ready;
    assert_eq!(decide(at(2), &seen).step, Step::TakeSnapshot);
    seen.takes_snapshot = true;
    assert_eq!(decide(at(3), &seen).step, Step::DeleteSnapshot);
    seen.deleting = true;
    seen.snapshot = Bound::Leaving;
    assert_eq!(decide(at(4), &seen).step, Step::Wait);
}

#[test]
fn an_unused_snapshot_goes_after_its_time_and_one_that_is_gone_is_forgotten() {
    let mut seen = kept();
    seen.others = false;
    assert_eq!(decide(at(999), &seen).step, Step::Wait);
    assert!(decide(at(999), &seen).requeue.as_secs() <= 1, "it is looked at when the time is over");
    assert_eq!(decide(at(1000), &seen).step, Step::CreateSnapshot);
    seen.snapshot = Bound::Pending { since: at(1000) };
    assert_eq!(decide(at(1000 + 1800), &seen).step, Step::Forget);
}
