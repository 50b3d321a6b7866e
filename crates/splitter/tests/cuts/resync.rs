//! Invariant 7: splitting around changes gives the cuts of a full pass.

use crate::{noise, shaped, splitter};
use longshore_splitter::{BLOCK_BYTES, ChunkSizes, Piece, PieceKind, Step};
use proptest::prelude::*;
use std::{convert::Infallible, ops::Range};

const SIZES: ChunkSizes = ChunkSizes { least: 16 << 10, average: 64 << 10, most: 256 << 10 };

/// What a change writes.
#[derive(Debug, Clone, Copy)]
enum Write {
    Noise,
    Zeros,
    /// The bytes that were there: a driver may report more than changed.
    Nothing,
}

fn rechunk(old: &[Piece], changed: &[Range<usize>], new: &[u8]) -> (Vec<Piece>, usize) {
    let mut read_bytes = 0;
    let mut read = |at: usize, buffer: &mut [u8]| -> Result<(), Infallible> {
        read_bytes += buffer.len();
        buffer.copy_from_slice(&new[at..at + buffer.len()]);
        Ok(())
    };
    let steps = splitter(SIZES).rechunk_span(old, changed, &mut read).unwrap_or_else(|never| match never {});
    let mut pieces: Vec<Piece> = Vec::new();
    for step in steps {
        let piece = match step {
            Step::Keep(kept) => old[kept.index],
            Step::New(piece) => piece,
        };
        match pieces.last_mut() {
            Some(last) if last.kind == PieceKind::Hole && piece.kind == PieceKind::Hole => {
                last.length_bytes += piece.length_bytes;
            }
            _ => pieces.push(piece),
        }
    }
    (pieces, read_bytes)
}

fn apply(span: &mut [u8], writes: &[(usize, usize, Write)], seed: u64) -> Vec<Range<usize>> {
    let mut changed: Vec<Range<usize>> = Vec::new();
    for (number, (start, length, write)) in writes.iter().enumerate() {
        let start = start % span.len();
        let range = start..(start + length).min(span.len());
        match write {
            Write::Noise => {
                span[range.clone()].copy_from_slice(&noise(seed + 77 + number as u64, range.len()))
            }
            Write::Zeros => span[range.clone()].fill(0),
            Write::Nothing => {}
        }
        changed.push(range);
    }
    changed.sort_by_key(|range| (range.start, range.end));
    changed
}

/// Changes of blocks and of whole holes, at and around edges of holes as often as elsewhere.
fn writes() -> impl Strategy<Value = Vec<(usize, usize, Write)>> {
    let kind = prop_oneof![Just(Write::Noise), Just(Write::Zeros), Just(Write::Nothing)];
    let blocks =
        (0usize..400, 1usize..40).prop_map(|(start, length)| (start * BLOCK_BYTES, length * BLOCK_BYTES));
    let bytes = (0usize..400 * BLOCK_BYTES, 1usize..20_000);
    prop::collection::vec(
        (prop_oneof![blocks, bytes], kind).prop_map(|((start, length), kind)| (start, length, kind)),
        1..6,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn splitting_around_changes_equals_splitting_all(
        shape in prop::collection::vec((any::<bool>(), 1usize..40), 1..16),
        writes in writes(),
        seed in 0u64..100_000,
    ) {
        let mut span = shaped(&shape, seed);
        let old = splitter(SIZES).split_span(&span);
        let changed = apply(&mut span, &writes, seed);
        let (pieces, _) = rechunk(&old, &changed, &span);
        prop_assert_eq!(pieces, splitter(SIZES).split_span(&span));
    }

    /// Decision 4: every edge of every hole, overwritten or extended by single blocks.
    #[test]
    fn edges_of_holes_are_no_exception(
        shape in prop::collection::vec((1usize..30, 16usize..24), 1..6),
        edge in 0usize..12,
        offset in -3i64..3,
        length in 1usize..20,
        write in prop_oneof![Just(Write::Noise), Just(Write::Zeros)],
        seed in 0u64..100_000,
    ) {
        let shape: Vec<(bool, usize)> = shape.iter().flat_map(|(data, hole)| [(false, *data), (true, *hole)]).collect();
        let mut span = shaped(&shape, seed);
        let old = splitter(SIZES).split_span(&span);
        let blocks: usize = shape.iter().take(edge % shape.len() + 1).map(|(_, blocks)| blocks).sum();
        let start = (blocks as i64 + offset).max(0) as usize * BLOCK_BYTES;
        let changed = apply(&mut span, &[(start, length * BLOCK_BYTES, write)], seed);
        let (pieces, _) = rechunk(&old, &changed, &span);
        prop_assert_eq!(pieces, splitter(SIZES).split_span(&span));
    }
}

#[test]
fn only_the_neighbourhood_of_a_change_is_read() {
    let mut span = noise(5, 16 << 20);
    let old = splitter(SIZES).split_span(&span);
    span[9 << 20] ^= 1;
    let changed = 9 << 20..(9 << 20) + 1;
    let (pieces, read_bytes) = rechunk(&old, std::slice::from_ref(&changed), &span);
    assert_eq!(pieces, splitter(SIZES).split_span(&span));
    assert!(read_bytes < 2 << 20, "{read_bytes} bytes were read for one changed byte");
    let (pieces, read_bytes) = rechunk(&old, &[], &span);
    assert_eq!((pieces, read_bytes), (old, 0));
}
