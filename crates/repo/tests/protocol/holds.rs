//! Where the protocol keeps its promises.

use crate::{change::Change, play, scene::Scene, scenes};

fn holds(scene: Scene) {
    if let Some(found) = play(scene, false) {
        panic!("{}", found.tell());
    }
}

#[test]
fn one_writer_and_three_plans() {
    holds(scenes::one_writer_and_three_plans().cleans_up());
}

#[test]
fn parent_is_forgotten() {
    holds(scenes::parent_is_forgotten().cleans_up());
}

#[test]
fn two_runs() {
    holds(scenes::two_runs());
}

#[test]
fn late_segment() {
    holds(scenes::late_segment());
}

#[test]
fn siblings() {
    holds(scenes::siblings());
}

#[test]
fn attempts() {
    holds(scenes::attempts());
}

#[test]
fn target_is_forgotten() {
    holds(scenes::target_is_forgotten().cleans_up());
}

#[test]
fn two_prunes() {
    holds(scenes::two_prunes());
}

#[test]
fn two_prunes_and_a_snapshot() {
    holds(scenes::two_prunes_and_a_snapshot());
}

#[test]
fn late_plan() {
    holds(scenes::late_plan());
}

#[test]
fn late_index() {
    holds(scenes::late_index());
}

#[test]
fn late_deletion() {
    holds(scenes::late_deletion());
}

/// W1 does not need its order of plan and parent: only that both come after `open`.
#[test]
fn a_parent_may_be_chosen_before_the_plan_is_read() {
    holds(scenes::parent_is_forgotten().changed(Change::ChoosesParentBeforePlan));
}

#[test]
fn wide() {
    if std::env::var_os("LONGSHORE_PROTOCOL_WIDE").is_none() {
        return;
    }
    for scene in scenes::wide() {
        if let Some(found) = play(scene, true) {
            panic!("{}", found.tell());
        }
    }
}
