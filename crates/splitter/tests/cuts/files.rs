use crate::noise;
use longshore_splitter::{ChunkSizes, FileSplitter, GearTable};

fn splitter(key: u64) -> FileSplitter {
    FileSplitter::new(GearTable::from_bytes(&noise(key, 2048).try_into().unwrap()), ChunkSizes::STANDARD)
}

/// Cuts a file fed in portions of `portion` bytes.
fn cuts(splitter: &FileSplitter, file: &[u8], portion: usize) -> Vec<usize> {
    let (mut out, mut at, mut seen) = (Vec::new(), 0, 0usize);
    while at < file.len() {
        match splitter.next_chunk(&file[at..seen.max(at)], at == 0, seen == file.len()) {
            Some(length) => {
                out.push(length);
                at += length;
            }
            None => seen = (seen + portion).min(file.len()),
        }
    }
    out
}

#[test]
fn golden_cut_points_never_move() {
    assert_eq!(cuts(&splitter(1), &noise(2, 1 << 20), 1 << 20), GOLDEN);
}
const GOLDEN: &[usize] = &[137_579, 290_566, 132_789, 192_149, 132_606, 162_887];

#[test]
fn portions_do_not_matter_and_keys_do() {
    let file = noise(2, 3 << 20);
    let whole = cuts(&splitter(1), &file, file.len());
    assert_eq!(whole.iter().sum::<usize>(), file.len());
    for portion in [1000, 4096, 600_000] {
        assert_eq!(cuts(&splitter(1), &file, portion), whole);
    }
    assert_ne!(cuts(&splitter(2), &file, file.len()), whole);
}

#[test]
fn files_up_to_the_average_are_one_chunk() {
    let file = noise(2, 128 << 10);
    assert_eq!(cuts(&splitter(1), &file, 1000), [128 << 10]);
    assert_eq!(cuts(&splitter(1), &file[..1], 1000), [1]);
    assert_eq!(cuts(&splitter(1), &[], 1000), [0; 0]);
}

#[test]
fn an_insertion_moves_cuts_only_until_they_meet_again() {
    let mut file = noise(2, 4 << 20);
    let old = cuts(&splitter(1), &file, file.len());
    file.splice(100..100, *b"inserted");
    let new = cuts(&splitter(1), &file, file.len());
    let same = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    assert!(same * 2 > old.len(), "{same} of {} chunks are the same", old.len());
}
