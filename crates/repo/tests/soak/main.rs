//! Random histories of several writers, readers, forget, prune and repair, with crashes, pauses and damaged packs, against a model of what must be
//! there. The protocol alone is played exhaustively in `tests/protocol`; here the real code runs.
//!
//! `cargo xtask soak --minutes N` runs it for longer. A seed and a commit repeat a history: everything happens in one thread, as long as
//! the store answers at once.

// Helpers of tests fail by panicking, like tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod damage;
mod history;
mod sim_store;
mod writer;

use history::History;
use std::time::{Duration, Instant};

const SECONDS: &str = "LONGSHORE_SOAK_SECONDS";
const SEED: &str = "LONGSHORE_SOAK_SEED";

#[test]
fn random_histories_lose_nothing_and_leak_nothing() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seconds = number(SECONDS).unwrap_or(5);
    let begun = Instant::now();
    let (mut histories, mut steps) = (0, 0);
    let first = number(SEED).unwrap_or_else(|| jiff::Timestamp::now().as_millisecond() as u64);
    let only = std::env::var(SEED).is_ok() && std::env::var(SECONDS).is_err();
    while begun.elapsed() < Duration::from_secs(seconds) && (histories == 0 || !only) {
        let seed = first.wrapping_add(histories);
        steps += std::panic::catch_unwind(|| History::play(seed)).unwrap_or_else(|panic| {
            eprintln!("seed {seed}: run again with {SEED}={seed}");
            std::panic::resume_unwind(panic)
        });
        histories += 1;
    }
    println!("{histories} histories of {steps} steps from seed {first} in {:?}", begun.elapsed());
}
