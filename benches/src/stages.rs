//! How fast one processor can do what a first backup has to do with each byte, one thing after the other: the sum is what no
//! program of this design can go below.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use longshore_repo::{
    KdfCost, Repository, RepositorySettings, SPAN_BYTES, Secret, splitter::PieceKind, store::memory,
};
use rustix::time::{ClockId, clock_gettime};

/// As new repositories compress.
const LEVEL: i32 = 2;

/// CPU seconds of each stage.
#[derive(Debug, Default)]
struct Stages {
    read: f64,
    cut: f64,
    id: f64,
    compress: f64,
    seal: f64,
}

fn processor_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    // Seconds and nanoseconds of a bench are far below what a float holds exactly.
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

fn timed<T>(seconds: &mut f64, work: impl FnOnce() -> T) -> T {
    let begun = processor_seconds();
    let result = black_box(work());
    *seconds += processor_seconds() - begun;
    result
}

/// Puts a file through every stage on one thread and prints what each took.
///
/// # Errors
/// When the file cannot be read.
pub fn print(source: &Path) -> Result<()> {
    let cost = KdfCost { memory_kib: 64, passes: 1, lanes: 1 };
    let repository =
        Repository::init_with(memory(), &Secret::from("bench"), cost, RepositorySettings::default())?;
    let splitter = repository.volume_splitter();
    let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).map_err(|_| anyhow!("the cipher has no key"))?;
    let key = LessSafeKey::new(key);
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    let file = File::open(source).with_context(|| format!("cannot open {}", source.display()))?;
    let total_bytes = file.metadata()?.len();
    let mut stages = Stages::default();
    let mut span = vec![0; SPAN_BYTES as usize];
    let (mut at, mut data_bytes) = (0, 0);
    while at < total_bytes {
        let wanted = span.len().min(usize::try_from(total_bytes - at)?);
        timed(&mut stages.read, || file.read_exact_at(&mut span[..wanted], at))?;
        at += wanted as u64;
        let pieces = timed(&mut stages.cut, || splitter.split_span(&span[..wanted]));
        let mut from = 0;
        for piece in pieces {
            let chunk = &span[from..from + piece.length_bytes];
            from += piece.length_bytes;
            if piece.kind == PieceKind::Hole {
                continue;
            }
            data_bytes += chunk.len() as u64;
            timed(&mut stages.id, || blake3::keyed_hash(&[3; 32], chunk));
            let mut packed = timed(&mut stages.compress, || compressor.compress(chunk))?;
            let nonce = Nonce::assume_unique_for_key([0; 12]);
            timed(&mut stages.seal, || {
                key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut packed).map(drop)
            })
            .map_err(|_| anyhow!("sealing failed"))?;
        }
    }
    let Stages { read, cut, id, compress, seal } = stages;
    println!(
        "stages of {} MiB of data in {}, CPU s on one thread: read {read:.2}, cut {cut:.2}, id {id:.2}, zstd {LEVEL} {compress:.2}, \
         seal {seal:.2}; in all {:.2}",
        data_bytes >> 20,
        source.file_name().unwrap_or_default().to_string_lossy(),
        read + cut + id + compress + seal
    );
    Ok(())
}
