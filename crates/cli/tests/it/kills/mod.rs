//! SIGKILL at random moments of backup, restore and prune, alone and beside each other, on a folder and on MinIO.
//!
//! `cargo xtask kill-test` runs it for longer. The seed decides what is done and when it is killed; how far a process has come by then
//! is the machine's doing, so a seed repeats the plan and not the run.

mod campaign;
mod large;
mod leaks;
mod process;
mod scene;
mod sources;

use std::time::Instant;

use campaign::Campaign;
use scene::{Place, Scene};
pub use sources::remove;

const KILLS: &str = "LONGSHORE_KILLS";
const SEED: &str = "LONGSHORE_KILLS_SEED";
/// Kills of the short form, both places together.
const KILLS_SHORT: usize = 20;

#[test]
fn kills_at_random_moments_lose_nothing_and_leave_nothing() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let kills = number(KILLS).map_or(KILLS_SHORT, |kills| kills as usize);
    let seed = number(SEED).unwrap_or_else(|| jiff::Timestamp::now().as_millisecond() as u64);
    println!("seed {seed}: run again with {SEED}={seed} {KILLS}={kills}");
    let begun = Instant::now();
    // A server ends with the thread that started it, so each place has a thread that lives as long as its campaign.
    let reports: Vec<String> = std::thread::scope(|scope| {
        let campaign = |place: Place, seed: u64| {
            move || {
                let scene = Scene::new(place);
                let mut campaign = Campaign::new(&scene, seed);
                campaign.run(kills / 2);
                campaign.finish()
            }
        };
        let threads =
            [scope.spawn(campaign(Place::Folder, seed)), scope.spawn(campaign(Place::Minio, seed ^ 1))];
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    println!("{}", reports.join("\n"));
    println!("{kills} kills of running processes, and nothing lost or left, in {:.0?}", begun.elapsed());
}

/// The long form's own: it writes more than a gigabyte.
#[test]
fn a_backup_killed_after_a_gigabyte_repeats_little_of_it() {
    if std::env::var_os(KILLS).is_some() {
        println!("{}", large::play());
    }
}
