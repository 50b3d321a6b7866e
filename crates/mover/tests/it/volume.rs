//! Volumes with holes in all places.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use longshore_mover::{Control, backup_volume, restore_volume};
use longshore_repo::{ChunkId, Repository, Run, Snapshot, VolumeReader};
use longshore_volume::{BlockReader, BlockWriter};
use proptest::prelude::*;

use crate::{commit, repository};

const SPAN: u64 = 64 << 20;

/// One write: where, how long, and with what; zeros among it.
#[derive(Clone, Debug)]
struct Write {
    at: u64,
    length: usize,
    seed: u8,
}

/// Writes cluster at the start, around the border of two spans, and at the end; lengths cluster around the least hole, 64 KiB.
fn writes(most: usize) -> impl Strategy<Value = Vec<Write>> {
    let place =
        prop_oneof![0_u64..900_000, SPAN - 600_000..SPAN + 600_000, SPAN + 2_000_000..SPAN + 3_000_000];
    let place = (place, any::<bool>()).prop_map(|(at, aligned)| if aligned { at / 4096 * 4096 } else { at });
    let length = prop_oneof![1_usize..5_000, 60_000_usize..70_000, Just(65_536), 65_536_usize..700_000];
    let write = (place, length, prop_oneof![Just(0_u8), any::<u8>()]).prop_map(|(at, length, seed)| Write {
        at,
        length,
        seed,
    });
    proptest::collection::vec(write, 1..most)
}

fn apply(path: &Path, size: u64, writes: &[Write]) {
    let file = File::options().create(true).truncate(false).write(true).open(path).unwrap();
    for write in writes {
        let mut state = u64::from(write.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bytes: Vec<u8> = (0..write.length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(u64::from(write.seed));
                (state >> 56) as u8
            })
            .collect();
        file.write_all_at(&bytes, write.at).unwrap();
    }
    file.set_len(size).unwrap();
}

fn backup(repository: &Repository, path: &Path, parent: Option<&Snapshot>) -> Snapshot {
    let reader = BlockReader::open(path).unwrap();
    let parent = parent.map(|snapshot| repository.open_volume(snapshot).unwrap());
    commit(repository, |session| {
        backup_volume(session, &reader, parent.as_ref(), false, &Control::default()).unwrap().0
    })
}

/// The map without hints.
fn map(reader: &VolumeReader<'_>) -> Vec<Vec<(Option<ChunkId>, u64)>> {
    let plain = |run: &Run| match run {
        Run::Hole { length_bytes } => (None, *length_bytes),
        Run::Chunk(chunk) => (Some(chunk.id), chunk.length_bytes.into()),
    };
    (0..reader.span_count())
        .map(|span| reader.span(span).unwrap().iter().flatten().map(plain).collect())
        .collect()
}

fn same(left: &Path, right: &Path) -> bool {
    fs::read(left).unwrap() == fs::read(right).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_backup_with_a_parent_makes_the_map_of_one_without_and_restores_over_anything(
        first in writes(8),
        second in writes(4),
        size in SPAN + 2_500_000..SPAN + 3_000_000,
        grown in 0_u64..100_000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (image, target) = (folder.path().join("image"), folder.path().join("target"));
        let repository = repository();
        apply(&image, size, &first);
        let parent = backup(&repository, &image, None);
        fs::copy(&image, &target).unwrap();
        apply(&image, size + grown, &second);

        let after = backup(&repository, &image, Some(&parent));
        let fresh = backup(&repository, &image, None);
        let (after_reader, fresh_reader) = (repository.open_volume(&after).unwrap(), repository.open_volume(&fresh).unwrap());
        prop_assert_eq!(map(&after_reader), map(&fresh_reader));

        let writer = BlockWriter::open(&target, size + grown).unwrap();
        let totals = restore_volume(&repository, &after_reader, &writer, &Control::default()).unwrap();
        prop_assert!(same(&image, &target));
        prop_assert_eq!(totals.size_bytes, size + grown);
        let old = folder.path().join("old");
        let parent_reader = repository.open_volume(&parent).unwrap();
        let writer = BlockWriter::open(&old, size).unwrap();
        restore_volume(&repository, &parent_reader, &writer, &Control::default()).unwrap();
        fs::remove_file(&image).unwrap();
        apply(&image, size, &first);
        prop_assert!(same(&image, &old));
    }
}

#[test]
fn an_empty_volume_and_one_of_nothing_but_holes_have_no_map() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository();
    for size in [0, SPAN, 3 * SPAN + 65_536] {
        let (image, target) = (folder.path().join("image"), folder.path().join("target"));
        File::create(&image).unwrap().set_len(size).unwrap();
        let snapshot = backup(&repository, &image, None);
        fs::write(&target, vec![1; 5000]).unwrap();
        let reader = repository.open_volume(&snapshot).unwrap();
        let writer = BlockWriter::open(&target, size).unwrap();
        let totals = restore_volume(&repository, &reader, &writer, &Control::default()).unwrap();
        assert_eq!(totals.fetched_bytes, 0);
        assert!(same(&image, &target), "{size}");
    }
}

#[test]
fn a_stopped_pipeline_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    apply(&image, SPAN, &[Write { at: 0, length: 1 << 20, seed: 1 }]);
    let repository = repository();
    let reader = BlockReader::open(&image).unwrap();
    commit(&repository, |session| {
        let control = Control::default();
        control.cancel();
        let stopped = backup_volume(session, &reader, None, false, &control);
        assert!(matches!(stopped, Err(longshore_mover::MoverError::Cancelled)));
        backup_volume(session, &reader, None, false, &Control::default()).unwrap().0
    });
}
