//! Invariant 5 for the index: its memory is a setting. Measured in processes of their own, since a peak never falls.

use crate::support::{COST, noise, open, password, pvc, run_id};
use longshore_repo::{
    BackupOptions, PackId, Repository,
    store::{Store, StoreSettings, open as open_store},
};
use std::{collections::BTreeMap, path::Path, process::Command, sync::Arc};

const CHUNKS_PER_PACK: u64 = 200;
const FOLDER: &str = "LONGSHORE_TEST_SCALE_FOLDER";

fn store_at(folder: &Path) -> Arc<dyn Store> {
    open_store(folder.to_str().unwrap(), &StoreSettings::new(BTreeMap::new())).unwrap().0
}

/// A repository whose index lists chunks that are the numbers from 0, in packs that do not exist.
fn generate(folder: &Path, chunks: u64) {
    let repository = Repository::init(store_at(folder), &password(), COST).unwrap();
    let packs = (0..chunks / CHUNKS_PER_PACK).map(|pack| {
        let numbers = pack * CHUNKS_PER_PACK..(pack + 1) * CHUNKS_PER_PACK;
        let chunks = numbers.map(|number| repository.chunk_id(&number.to_le_bytes())).collect();
        (PackId(*blake3::hash(&pack.to_le_bytes()).as_bytes()), chunks)
    });
    repository.list_made_up_packs(packs).unwrap();
}

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Not a test by itself: the process that `memory_is_linear…` starts and measures.
#[test]
fn measured_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let chunks: u64 = std::env::var("LONGSHORE_TEST_SCALE_CHUNKS").unwrap().parse().unwrap();
    let repository = open(&store_at(Path::new(&folder))).unwrap();
    let source = repository.source_id(&pvc("huge"));
    let session = repository.begin_backup(source, run_id(1), None, BackupOptions::default()).unwrap();
    session.put_chunk(&noise(1, 50), None).unwrap();
    let opened = session.stats().index_requests;
    // Known content in runs, as backups meet it, and new content between.
    for run in 0..50 {
        let start = run * 7_919_777 % (chunks - 2000);
        for number in start..start + 2000 {
            session.put_chunk(&number.to_le_bytes(), None).unwrap();
        }
        for number in 0..2000u64 {
            session.put_chunk(&noise(1 << 40 | run << 20 | number, 20), None).unwrap();
        }
    }
    let stats = session.stats();
    assert_eq!(
        stats.new_chunks,
        1 + 50 * 2000,
        "all of the index is in memory, so all that is known is recognised"
    );
    println!("MEASURED {} {} {}", peak_bytes(), opened, stats.index_requests - opened);
}

fn measure(folder: &Path, chunks: u64) -> [u64; 3] {
    generate(folder, chunks);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "scale::measured_process", "--nocapture", "--test-threads", "1"])
        .env(FOLDER, folder)
        .env("LONGSHORE_TEST_SCALE_CHUNKS", chunks.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // The test harness writes its own words before it, on the same line.
    let line = text.lines().find_map(|line| Some(line.split_once("MEASURED ")?.1));
    let line = line.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)));
    let figures: Vec<u64> = line.split(' ').map(|figure| figure.parse().unwrap()).collect();
    figures.try_into().unwrap()
}

/// 8 bytes a chunk, requests by the segment and by the megabyte to open it, none for what is new, few for what is known.
#[test]
fn memory_is_linear_up_to_its_limit_and_work_follows_segments() {
    let folder = tempfile::tempdir().unwrap();
    let small = measure(&folder.path().join("small"), 1_000_000);
    let large = measure(&folder.path().join("large"), 5_000_000);
    let [peak, opened, hits] = large;
    assert!(peak < 192 << 20, "{} MiB", peak >> 20);
    let grown = peak.saturating_sub(small[0]);
    assert!(grown < 4_000_000 * 8 + (24 << 20), "{} MiB more for 4 million chunks more", grown >> 20);
    // A listing; for each of five segments a head and ten megabytes of fingerprints.
    assert!(opened <= 1 + 5 * 12, "{opened} requests to open 5 segments");
    // 50 runs of 10 packs: a table page and sections, read ahead by some eight packs.
    assert!(hits <= 50 * 5, "{hits} requests for 500 packs met in runs");
}
