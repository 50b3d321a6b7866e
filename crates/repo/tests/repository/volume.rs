//! Volumes come back as they were; equal content is stored once.

use crate::support::{
    back_up, back_up_with, draft, new_repository, noise, open, pvc, restore, run_id, small_packs,
};
use longshore_repo::{BackupOptions, CheckOptions, Class, Content, Run, SPAN_BYTES};

/// A volume with noise, text that compresses, a hole, and an odd end.
fn volume() -> Vec<u8> {
    let mut out = noise(1, 3 << 20);
    out.extend(b"all work and no play makes jack a dull boy. ".repeat(50_000));
    out.extend(vec![0; 5 << 20]);
    out.extend(noise(2, (1 << 20) + 777));
    out
}

#[test]
fn a_volume_comes_back_from_a_reopened_repository() {
    let (store, repository) = new_repository();
    let volume = volume();
    let committed = back_up(&repository, "db", run_id(1), &volume, None).unwrap();
    drop(repository);
    let repository = open(&store).unwrap();
    let snapshot = repository.resolve("latest").unwrap();
    assert_eq!(&snapshot, committed.snapshot());
    assert!(restore(&repository, &snapshot).unwrap() == volume);
    let stats = snapshot.record.stats;
    assert!(stats.stored_bytes < 4_500_000, "text is compressed and the hole is not stored: {stats:?}");
    let report = repository.check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!((report.snapshots, report.unindexed_packs), (1, 0));
    assert_eq!(report.read_bytes, report.pack_bytes);
}

#[test]
fn volumes_of_every_odd_size_come_back() {
    let (_, repository) = new_repository();
    let sizes = [0, 1, 4095, 4096, 4097, 65536, (64 << 10) + 1, SPAN_BYTES as usize, SPAN_BYTES as usize + 1];
    for (number, size) in sizes.into_iter().enumerate() {
        for volume in [noise(number as u64, size), vec![0; size]] {
            let run = run_id(1 + number as u128 * 2 + u128::from(volume.iter().all(|byte| *byte == 0)));
            let committed = back_up(&repository, "odd", run, &volume, None).unwrap();
            assert!(restore(&repository, committed.snapshot()).unwrap() == volume, "{size}");
        }
    }
}

#[test]
fn equal_volumes_are_stored_once_and_an_unchanged_one_costs_nothing() {
    let (store, repository) = new_repository();
    let volume = volume();
    let first = back_up(&repository, "one", run_id(1), &volume, None).unwrap();
    drop(repository);
    let repository = open(&store).unwrap();
    let second = back_up(&repository, "two", run_id(2), &volume, None).unwrap();
    assert_eq!(second.snapshot().record.stats.new_bytes, 0);
    assert_eq!(second.snapshot().record.stats.stored_bytes, 0, "not even a map");
    let third = back_up(&repository, "one", run_id(3), &volume, Some(first.snapshot())).unwrap();
    assert_eq!(third.snapshot().record.stats.stored_bytes, 0);
    let roots: Vec<_> =
        [&first, &second, &third].map(|committed| committed.snapshot().record.content.clone()).into();
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_changed_volume_stores_little_and_both_points_come_back() {
    let (_, repository) = new_repository();
    let old = volume();
    let mut new = old.clone();
    new[2 << 20] ^= 1;
    let first = back_up(&repository, "db", run_id(1), &old, None).unwrap();
    let second = back_up(&repository, "db", run_id(2), &new, Some(first.snapshot())).unwrap();
    assert!(second.snapshot().record.stats.new_bytes <= 512 << 10);
    assert!(restore(&repository, first.snapshot()).unwrap() == old);
    assert!(restore(&repository, second.snapshot()).unwrap() == new);
}

#[test]
fn repeated_content_is_stored_once_however_many_threads_meet_it() {
    let (_, repository) = new_repository();
    let part = noise(5, 2 << 20);
    let mut volume = Vec::new();
    for _ in 0..4 {
        volume.extend_from_slice(&part);
        volume.resize(volume.len().next_multiple_of(SPAN_BYTES as usize), 0);
    }
    let committed =
        back_up_with(&repository, "db", run_id(1), &volume, None, BackupOptions::default(), 4).unwrap();
    assert_eq!(committed.snapshot().record.stats.new_bytes, 2 << 20);
    assert!(restore(&repository, committed.snapshot()).unwrap() == volume);
}

#[test]
fn any_number_of_threads_makes_the_same_map() {
    let mut volume = noise(6, 5 * SPAN_BYTES as usize / 2);
    volume[100_000..3_000_000].fill(0);
    let (_, repository) = new_repository();
    let root = |content: &Content| content.root().map(|node| node.id);
    let ids: Vec<_> = [1, 2, 7]
        .into_iter()
        .map(|threads| {
            let run = run_id(threads as u128);
            let options = BackupOptions::default();
            let committed = back_up_with(&repository, "db", run, &volume, None, options, threads).unwrap();
            root(&committed.snapshot().record.content)
        })
        .collect();
    assert!(ids[0].is_some() && ids.iter().all(|id| *id == ids[0]));
}

#[test]
fn many_packs_and_index_segments_come_back() {
    let (store, repository) = small_packs();
    let volume = noise(8, 12 << 20);
    let options = BackupOptions { index_after_bytes: 1 << 20, ..BackupOptions::default() };
    back_up_with(&repository, "db", run_id(1), &volume, None, options, 3).unwrap();
    drop(repository);
    let repository = open(&store).unwrap();
    assert!(restore(&repository, &repository.resolve("latest").unwrap()).unwrap() == volume);
    let report = repository.check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap();
    assert_eq!(report.problems, []);
    assert!(report.packs > 12);
}

/// Invariant 5's shape: a volume of 10 TiB with little in it has a small map and is read in few requests.
#[test]
fn a_sparse_volume_of_ten_tebibytes_has_a_small_map() {
    let (_, repository) = new_repository();
    let size = 10u64 << 40;
    let identity = pvc("huge");
    let session = repository
        .begin_backup(repository.source_id(&identity), run_id(1), BackupOptions::default())
        .unwrap();
    let writer = session.volume_writer(size, None);
    let spans = [0, 1, 255, 256, 65_536, 163_839];
    for span in spans {
        let chunk = session.put_chunk(&noise(span, 128 << 10), None).unwrap();
        let hole = Run::Hole { length_bytes: SPAN_BYTES - (128 << 10) };
        writer.put_span(span, &[hole, Run::Chunk(chunk)]).unwrap();
    }
    let content = writer.finish().unwrap();
    let committed = session.commit(draft(identity, content)).unwrap();
    let reader = repository.open_volume(committed.snapshot()).unwrap();
    assert_eq!(reader.span_count(), 163_840);
    for span in spans {
        let runs = reader.span(span).unwrap().unwrap();
        let Run::Chunk(chunk) = runs[1] else { panic!("{runs:?}") };
        assert!(repository.read_chunk(&chunk).unwrap() == noise(span, 128 << 10));
    }
    for span in [2, 254, 257, 65_535, 163_838, 163_840, u64::MAX] {
        assert_eq!(reader.span(span).unwrap(), None, "{span}");
    }
    assert!(committed.snapshot().record.stats.stored_bytes < 900 << 10);
}

#[test]
fn runs_that_do_not_cover_their_span_are_refused() {
    let (_, repository) = new_repository();
    let source = repository.source_id(&pvc("db"));
    let session = repository.begin_backup(source, run_id(1), BackupOptions::default()).unwrap();
    let writer = session.volume_writer(1 << 20, None);
    for bad in
        [vec![], vec![Run::Hole { length_bytes: 4096 }], vec![Run::Hole { length_bytes: (1 << 20) + 4096 }]]
    {
        assert_eq!(writer.put_span(0, &bad).unwrap_err().class(), Class::Misuse);
    }
    assert_eq!(writer.put_span(1, &[Run::Hole { length_bytes: 4096 }]).unwrap_err().class(), Class::Misuse);
}

#[test]
fn spans_kept_from_the_parent_need_no_reading() {
    let (_, repository) = new_repository();
    let volume = noise(3, 2 * SPAN_BYTES as usize);
    let first = back_up(&repository, "db", run_id(1), &volume, None).unwrap();
    let parent = repository.open_volume(first.snapshot()).unwrap();
    let source = repository.source_id(&pvc("db"));
    let session = repository.begin_backup(source, run_id(2), BackupOptions::default()).unwrap();
    let writer = session.volume_writer(volume.len() as u64, Some(&parent));
    writer.keep_span(0).unwrap();
    writer.keep_span(1).unwrap();
    let content = writer.finish().unwrap();
    let second = session.commit(draft(pvc("db"), content)).unwrap();
    assert_eq!(second.snapshot().record.content, first.snapshot().record.content);
    assert_eq!(second.snapshot().record.stats.chunks, 0);
}

/// Finding known chunks costs requests by the pack, not by the chunk.
#[test]
fn known_content_is_found_in_few_requests() {
    let (store, repository) = small_packs();
    let volume = noise(11, 24 << 20);
    back_up(&repository, "one", run_id(1), &volume, None).unwrap();
    let repository = open(&store).unwrap();
    let identity = pvc("two");
    let session = repository
        .begin_backup(repository.source_id(&identity), run_id(2), BackupOptions::default())
        .unwrap();
    let splitter = repository.volume_splitter();
    let mut at = 0;
    for piece in splitter.split_span(&volume) {
        session.put_chunk(&volume[at..at + piece.length_bytes], None).unwrap();
        at += piece.length_bytes;
    }
    let stats = session.stats();
    assert_eq!(stats.new_chunks, 0);
    assert!(stats.chunks > 130 && stats.index_requests < 20, "{stats:?}");
}
