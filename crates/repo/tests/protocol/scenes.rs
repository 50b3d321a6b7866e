//! The scenes. Each has its tale; together they have every pair of the document's table that deletion touches.

use crate::{
    prune::{Prune, Step},
    scene::{Scene, Writing},
    set::Set,
};

/// Keys: run and attempt. Run 0 committed before the curtain rose.
pub const OLD: usize = 0;
pub const FIRST: usize = 2;
pub const FIRST_AGAIN: usize = 3;
pub const SECOND: usize = 4;

const A: usize = 0;
const B: usize = 1;

/// Chunk A lies in a pack that nobody needs; a writer takes it from there, uploads B, may give up, and lives through three plans.
pub fn one_writer_and_three_plans() -> Scene {
    Scene::new("one writer and three plans", &[&[A]])
        .writer(Writing::at(FIRST, &[A, B]).keeps_progress().gives_up())
        .prunes(1, 3)
        .forgets(&[1])
}

/// A backup builds on a snapshot that is forgotten, while packs are condemned that hold live chunks.
pub fn parent_is_forgotten() -> Scene {
    Scene::new("parent is forgotten", &[&[A], &[B]])
        .snapshot(OLD, &[(A, 0)])
        .writer(Writing::at(FIRST, &[A, B]).builds_on_parent())
        .prunes(1, 2)
        .repacks()
        .forgets(&[0, 1])
}

/// The second run builds on what the first has just committed, and that is forgotten.
pub fn two_runs() -> Scene {
    Scene::new("two runs", &[&[A]])
        .writer(Writing::at(FIRST, &[A]))
        .writer(Writing::at(SECOND, &[A]).builds_on_parent())
        .prunes(1, 1)
        .forgets(&[1])
}

/// A session has uploaded a pack, was paused before it told the index, and fenced under plan 1. Another run wants the same chunk, early
/// or after plan 3.
pub fn late_segment() -> Scene {
    Scene::new("late segment", &[])
        .writer(Writing::at(FIRST, &[A]))
        .writer(Writing::at(SECOND, &[A]))
        .prunes(1, 3)
        .paused_writer(A)
        .fenced(FIRST)
        .planned(&[])
        .finished(&[])
}

/// Two sessions of one run: the second goes on from the progress of the first, which is not dead, and may give up.
pub fn siblings() -> Scene {
    Scene::new("siblings", &[&[A]])
        .writer(Writing::at(FIRST, &[A, B]).keeps_progress().gives_up())
        .writer(Writing::at(FIRST, &[A, B]).resumes())
        .prunes(1, 1)
        .forgets(&[1])
}

/// A run is fenced and begins again with the next attempt.
pub fn attempts() -> Scene {
    Scene::new("attempts", &[&[A]])
        .writer(Writing::at(FIRST, &[A, B]).keeps_progress())
        .writer(Writing::at(FIRST_AGAIN, &[A, B]).resumes())
        .prunes(1, 1)
        .forgets(&[1])
}

/// A reader's target is forgotten, and its pack condemned.
pub fn target_is_forgotten() -> Scene {
    Scene::new("target is forgotten", &[&[A]])
        .snapshot(OLD, &[(A, 0)])
        .reader()
        .prunes(1, 2)
        .repacks()
        .forgets(&[0])
}

/// Two prunes, of which each may be the zombie.
pub fn two_prunes() -> Scene {
    Scene::new("two prunes", &[&[A]]).writer(Writing::at(FIRST, &[A])).prunes(2, 1)
}

/// Two prunes disagree about a snapshot that is forgotten between their looks.
pub fn two_prunes_and_a_snapshot() -> Scene {
    Scene::new("two prunes and a snapshot", &[&[A]])
        .snapshot(OLD, &[(A, 0)])
        .writer(Writing::at(FIRST, &[A]))
        .prunes(2, 1)
        .repacks()
        .forgets(&[0])
}

/// A prune was paused before it created plan 1, which would condemn pack 0; others make plans 1 and 2 meanwhile.
pub fn late_plan() -> Scene {
    let paused = Prune::paused(Step::CreatePlan, 1, Set::of([0]), Set::of([0]));
    Scene::new("late plan", &[&[A]]).writer(Writing::at(FIRST, &[A])).prunes(2, 2).paused(paused)
}

/// A prune was paused before it wrote its index of plan 1; others make plans up to 3 meanwhile.
pub fn late_index() -> Scene {
    let paused = Prune::paused(Step::WriteLevel1, 1, Set::of([0]), Set::EMPTY);
    Scene::new("late index", &[&[A]])
        .snapshot(OLD, &[(A, 0)])
        .writer(Writing::at(FIRST, &[A]))
        .prunes(2, 3)
        .forgets(&[0])
        .planned(&[])
        .paused(paused)
}

/// A prune was paused before it deleted pack 0, whose chunk it has copied to pack 1; others make plans up to 3 meanwhile.
pub fn late_deletion() -> Scene {
    let paused = Prune::paused(Step::DeletePacks, 1, Set::of([0]), Set::of([0]));
    Scene::new("late deletion", &[&[A], &[A]])
        .snapshot(OLD, &[(A, 0)])
        .writer(Writing::at(FIRST, &[A]))
        .prunes(2, 3)
        .forgets(&[0])
        .planned(&[0])
        .finished(&[1])
        .paused(paused)
}

/// What takes minutes and gigabytes.
pub fn wide() -> Vec<Scene> {
    let named = |name, scene: Scene| Scene { name, ..scene };
    vec![
        named("wide: two runs, two prunes", two_runs()).prunes(2, 1),
        named("wide: two runs, two plans", two_runs()).prunes(1, 2),
        named("wide: parent is forgotten, two prunes", parent_is_forgotten()).prunes(2, 1),
        named("wide: siblings, two prunes", siblings()).prunes(2, 1),
        named("wide: siblings, two plans", siblings()).prunes(1, 2),
        named("wide: attempts, two plans", attempts()).prunes(1, 2),
        named("wide: one takes from the other", one_takes_from_the_other()),
        named("wide: target is forgotten, two prunes", target_is_forgotten()).prunes(2, 2),
        named("wide: reader and writer", parent_is_forgotten()).reader().prunes(1, 1),
        named("wide: two prunes, two plans", two_prunes()).prunes(2, 2),
        named("wide: two prunes and a snapshot, two plans", two_prunes_and_a_snapshot()).prunes(2, 2),
        named("wide: parent is forgotten, two prunes, two plans", parent_is_forgotten()).prunes(2, 2),
        named("wide: two runs, two prunes, two plans", two_runs()).prunes(2, 2),
    ]
}

fn one_takes_from_the_other() -> Scene {
    Scene::new("", &[]).writer(Writing::at(FIRST, &[A])).writer(Writing::at(SECOND, &[A])).prunes(1, 2)
}
