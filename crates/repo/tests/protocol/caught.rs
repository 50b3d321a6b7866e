//! Each rule is needed: an implementation that breaks it breaks a promise.

use crate::{
    change::Change,
    play,
    properties::{
        COMMITS_ONCE, INDEX_IS_RIGHT, READER_READS_ON, ROOT_IS_THERE, SESSION_IS_WHOLE, SNAPSHOT_IS_WHOLE,
    },
    scene::Scene,
    scenes,
};

/// Data that is needed is gone. Which promise says so first is chance.
const LOSS: &[&str] = &[SNAPSHOT_IS_WHOLE, SESSION_IS_WHOLE, READER_READS_ON];

fn caught(change: Change, scene: Scene, promises: &[&str]) {
    let found = play(scene.changed(change), false).map(|found| found.promise);
    assert!(found.is_some_and(|found| promises.contains(&found)), "{change:?}: {found:?}");
}

// W1 to W6

#[test]
fn a_plan_is_read_after_open() {
    caught(Change::ReadsPlanBeforeOpen, scenes::one_writer_and_three_plans(), LOSS);
}

#[test]
fn a_parent_is_chosen_after_open() {
    caught(Change::ChoosesParentBeforeOpen, scenes::two_runs(), LOSS);
}

#[test]
fn use_stops_before_seen_is_written() {
    caught(Change::AcknowledgesBeforeItStopsUsing, scenes::one_writer_and_three_plans(), LOSS);
}

#[test]
fn nothing_condemned_is_used_after_seen() {
    caught(Change::ReusesCondemnedAfterSeen, scenes::one_writer_and_three_plans(), LOSS);
}

#[test]
fn a_session_that_missed_a_plan_gives_up() {
    caught(Change::GoesOnAfterAMissedPlan, scenes::late_segment(), LOSS);
}

#[test]
fn a_commit_never_overwrites() {
    caught(Change::CommitOverwrites, scenes::one_writer_and_three_plans(), &[COMMITS_ONCE]);
}

#[test]
fn a_new_attempt_does_not_resume_what_was_fenced() {
    caught(Change::ResumesAcrossAFence, scenes::attempts().prunes(1, 2), LOSS);
}

#[test]
fn a_session_that_ended_is_not_resumed() {
    caught(Change::ResumesFromEnded, scenes::siblings(), LOSS);
}

#[test]
fn segments_of_early_plans_do_not_count() {
    caught(Change::EverySegmentCounts, scenes::late_segment(), LOSS);
}

#[test]
fn level_1_counts_only_by_a_result() {
    caught(Change::Level1CountsWithoutResult, scenes::late_index(), LOSS);
}

// P2, P3

#[test]
fn packs_of_living_sessions_are_spared() {
    caught(Change::PlansWithoutSessions, scenes::one_writer_and_three_plans(), LOSS);
}

#[test]
fn packs_are_listed_before_sessions() {
    caught(Change::ListsSessionsBeforePacks, scenes::one_writer_and_three_plans(), LOSS);
}

// P4, P5

#[test]
fn prune_waits() {
    caught(Change::DoesNotWait, scenes::one_writer_and_three_plans(), LOSS);
}

#[test]
fn the_silent_are_fenced() {
    caught(Change::PassesOverTheSilent, scenes::one_writer_and_three_plans(), LOSS);
}

#[test]
fn a_sibling_does_not_settle_for_the_silent() {
    caught(Change::PassesOverTheSilentWithASibling, scenes::siblings(), LOSS);
}

#[test]
fn prune_looks_again() {
    caught(Change::DoesNotLookAgain, scenes::two_prunes_and_a_snapshot(), LOSS);
}

#[test]
fn what_prune_looks_at_has_settled() {
    caught(Change::LooksAgainWithoutSettling, scenes::target_is_forgotten(), LOSS);
}

#[test]
fn tombstones_are_listed_before_sessions() {
    caught(Change::ListsSessionsBeforeTombstones, scenes::target_is_forgotten(), LOSS);
}

#[test]
fn sessions_are_listed_before_snapshots() {
    caught(Change::ListsSnapshotsBeforeSessions, scenes::two_runs(), LOSS);
}

#[test]
fn a_parent_is_a_root() {
    caught(Change::ParentIsNoRoot, scenes::parent_is_forgotten(), &[ROOT_IS_THERE]);
}

#[test]
fn progress_is_a_root() {
    caught(Change::ProgressIsNoRoot, scenes::siblings(), LOSS);
}

#[test]
fn sessions_of_one_key_are_over_together() {
    caught(Change::SessionIsOverAlone, scenes::siblings(), LOSS);
}

// P6, P7

#[test]
fn nothing_condemned_is_reprieved() {
    caught(Change::Reprieves, scenes::two_prunes().prunes(2, 2), LOSS);
}

#[test]
fn a_copy_that_the_index_does_not_name_is_no_copy() {
    caught(Change::TrustsOrphanCopies, scenes::two_prunes_and_a_snapshot(), LOSS);
}

#[test]
fn what_a_session_listed_is_held_for_it() {
    caught(Change::HoldsNothingForSessions, scenes::one_writer_and_three_plans(), LOSS);
}

#[test]
fn the_index_comes_from_the_index() {
    caught(Change::PutsOrphansIntoTheIndex, scenes::late_deletion(), LOSS);
}

// P8

#[test]
fn nothing_is_deleted_before_the_result() {
    caught(Change::DeletesBeforeResult, scenes::parent_is_forgotten(), &[INDEX_IS_RIGHT]);
}

#[test]
fn only_the_highest_plan_counts() {
    caught(Change::ActsBelowTheHighestPlan, scenes::late_plan(), LOSS);
}

#[test]
fn tombstones_stay() {
    caught(Change::DeletesTombstones, scenes::siblings(), LOSS);
}

#[test]
fn records_of_roots_stay() {
    caught(Change::DeletesAnyForgottenRecord, scenes::parent_is_forgotten(), &[ROOT_IS_THERE]);
}
