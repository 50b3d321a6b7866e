//! An index of any size: what it takes in memory, requests and time to open it and to ask it.
//!
//! The repository is made in a folder first, with an index of packs that do not exist. Then each measurement is a process
//! of its own, because a peak of memory never falls.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use longshore_repo::{
    BackupOptions, ChunkId, KdfCost, PackId, Repository, RunId, Secret, SessionStats, SourceIdentity,
    store::{Store, StoreSettings, open},
};

/// Chunks of a pack of 16 MiB, when they shrink to two thirds.
const CHUNKS_PER_PACK: u64 = 200;
/// Cheap: the cost of a password is no part of this.
const COST: KdfCost = KdfCost { memory_kib: 64, passes: 1, lanes: 1 };

/// How large, and where.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Chunks in the index.
    #[arg(long, default_value_t = 100_000_000)]
    chunks: u64,
    /// Folder for the repository, some 47 bytes a chunk; a temporary one otherwise.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Only this, on a folder that is there: how the program calls itself.
    #[arg(long, value_enum, hide = true)]
    step: Option<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Makes the repository.
    Generate,
    /// A backup: new chunks, then known ones in streams.
    Write,
    /// A reader whose hints are all stale.
    Read,
}

/// Makes an index and measures it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = arguments.folder.clone().unwrap_or_else(|| temporary.path().join("repository"));
    match arguments.step {
        Some(Step::Generate) => generate(&folder, arguments.chunks),
        Some(Step::Write) => write(&folder, arguments.chunks),
        Some(Step::Read) => read(&folder, arguments.chunks),
        None => {
            let generated = folder.join("repo").exists();
            for step in [Step::Generate, Step::Write, Step::Read] {
                if step != Step::Generate || !generated {
                    call(step, &folder, arguments.chunks)?;
                }
            }
            Ok(())
        }
    }
}

fn call(step: Step, folder: &Path, chunks: u64) -> Result<()> {
    let value = step.to_possible_value().context("a step has a name")?;
    let status = Command::new(std::env::current_exe()?)
        .args(["index", "--step", value.get_name(), "--chunks", &chunks.to_string(), "--folder"])
        .arg(folder)
        .status()?;
    if status.success() { Ok(()) } else { bail!("{step:?} failed") }
}

fn generate(folder: &Path, chunks: u64) -> Result<()> {
    let start = Instant::now();
    let repository = Repository::init(store_at(folder)?, &password(), COST)?;
    let packs = (0..chunks / CHUNKS_PER_PACK).map(|pack| {
        let numbers = pack * CHUNKS_PER_PACK..(pack + 1) * CHUNKS_PER_PACK;
        (
            PackId(*blake3::hash(&pack.to_le_bytes()).as_bytes()),
            numbers.map(|at| id(&repository, at)).collect(),
        )
    });
    let segments = repository.list_made_up_packs(packs)?;
    println!("made: {chunks} chunks in {segments} segments, {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn write(folder: &Path, chunks: u64) -> Result<()> {
    let start = Instant::now();
    let repository = Repository::open(store_at(folder)?, &password())?;
    let opened = start.elapsed();
    println!("opened: {:.3} s, no request to the index, {} MiB", opened.as_secs_f64(), peak_mebibytes()?);
    let source = SourceIdentity::Path { host: "bench".into(), path: "/".into() };
    let run: RunId = "00000000-0000-0000-0000-000000000001".parse()?;
    let session =
        repository.begin_backup(repository.source_id(&source), run, None, BackupOptions::default())?;
    let mut before = Measured { at: Instant::now(), stats: SessionStats::default() };
    let mut say = |what: &str, asked: u64| -> Result<SessionStats> {
        let stats = session.stats();
        let requests = stats.index_requests - before.stats.index_requests;
        let known = asked - (stats.new_chunks - before.stats.new_chunks);
        println!(
            "{what}: {asked} chunks, {known} recognised, {requests} requests, {:.2} s, peak {} MiB",
            before.at.elapsed().as_secs_f64(),
            peak_mebibytes()?
        );
        before = Measured { at: Instant::now(), stats };
        Ok(stats)
    };
    session.put_chunk(b"the first look-up loads the fingerprints", None)?;
    say("first look-up", 1)?;
    for number in 0..300_000u64 {
        session.put_chunk(&(chunks + number).to_le_bytes(), None)?;
    }
    say("new", 300_000)?;
    for number in 0..1_000_000 {
        session.put_chunk(&(chunks / 3 + number).to_le_bytes(), None)?;
    }
    say("one known stream", 1_000_000)?;
    for stream in 0..100u64 {
        let start = stream * 7_919_777 % (chunks - 10_000);
        for number in start..start + 10_000 {
            session.put_chunk(&number.to_le_bytes(), None)?;
        }
    }
    say("known streams of 10,000", 1_000_000)?;
    Ok(())
}

struct Measured {
    at: Instant,
    stats: SessionStats,
}

fn read(folder: &Path, chunks: u64) -> Result<()> {
    let repository = Repository::open(store_at(folder)?, &password())?;
    let mut slowest = Duration::ZERO;
    let start = Instant::now();
    for number in 0..300 {
        let asked = Instant::now();
        let wanted = id(&repository, number * 7_919_777 % chunks);
        ensure!(repository.locate_chunk(&wanted)?.is_some(), "a chunk is not found");
        if number > 0 {
            slowest = slowest.max(asked.elapsed());
        }
    }
    let nowhere = repository.locate_chunk(&id(&repository, u64::MAX))?;
    ensure!(nowhere.is_none(), "a chunk is found that was never listed");
    println!(
        "exact look-ups, all over: 301, {:.2} s, the slowest but the first {:.3} s, peak {} MiB",
        start.elapsed().as_secs_f64(),
        slowest.as_secs_f64(),
        peak_mebibytes()?
    );
    Ok(())
}

/// Chunk `number` of the made-up index is the number itself, so that a backup can meet it.
fn id(repository: &Repository, number: u64) -> ChunkId {
    repository.chunk_id(&number.to_le_bytes())
}

fn store_at(folder: &Path) -> Result<Arc<dyn Store>> {
    let location = folder.to_str().context("the folder's name is no text")?;
    Ok(open(location, &StoreSettings::new(BTreeMap::new()))?.0)
}

fn password() -> Secret {
    Secret::from("bench")
}

/// The largest resident set of this process so far.
fn peak_mebibytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kibibytes: u64 = line.split_whitespace().next().context("no figure")?.parse()?;
    Ok(kibibytes >> 10)
}
