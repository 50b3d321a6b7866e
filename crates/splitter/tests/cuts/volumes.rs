use crate::{noise, shaped, splitter};
use longshore_splitter::{BLOCK_BYTES, ChunkSizes, HOLE_BYTES_MIN, Piece, PieceKind};
use proptest::prelude::*;

fn pieces_text(pieces: &[Piece]) -> String {
    let text = |piece: &Piece| {
        let kind = if piece.kind == PieceKind::Hole { "hole" } else { "data" };
        format!("{kind} {}", piece.length_bytes / BLOCK_BYTES)
    };
    pieces.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[test]
fn golden_cut_points_never_move() {
    let span = shaped(&[(false, 300), (true, 15), (false, 20), (true, 16), (false, 100), (true, 90)], 7);
    let pieces = splitter(ChunkSizes::STANDARD).split_span(&span);
    assert_eq!(pieces_text(&pieces), GOLDEN);
}
const GOLDEN: &str = "data 8, data 29, data 45, data 60, data 22, data 44, data 20, data 13, data 32, data 57, data 5, hole 16, \
                      data 79, data 21, hole 90";

#[test]
fn sizes_lie_around_the_average() {
    let span = noise(3, 32 << 20);
    let pieces = splitter(ChunkSizes::STANDARD).split_span(&span);
    let average = span.len() / pieces.len();
    assert!((100 << 10..190 << 10).contains(&average), "{average}");
    let (last, others) = pieces.split_last().unwrap();
    assert!(others.iter().all(|piece| (32 << 10..=512 << 10).contains(&piece.length_bytes)));
    assert!(last.length_bytes <= 512 << 10);
}

#[test]
fn runs_of_zeros_are_holes_from_64_kib() {
    let hole = HOLE_BYTES_MIN / BLOCK_BYTES;
    let split =
        |shape: &[(bool, usize)]| pieces_text(&splitter(ChunkSizes::STANDARD).split_span(&shaped(shape, 1)));
    assert_eq!(split(&[(true, hole)]), "hole 16");
    assert_eq!(split(&[(true, hole - 1)]), "data 15");
    assert_eq!(split(&[(false, 3), (true, hole), (false, 2)]), "data 3, hole 16, data 2");
    assert_eq!(split(&[(false, 3), (true, hole - 1), (false, 2)]).matches("hole").count(), 0);
    assert_eq!(split(&[]), "");
}

#[test]
fn a_changed_block_moves_no_cut_beyond_the_next() {
    let mut span = noise(9, 8 << 20);
    let old = splitter(ChunkSizes::STANDARD).split_span(&span);
    span[4 << 20] ^= 1;
    let new = splitter(ChunkSizes::STANDARD).split_span(&span);
    let differing = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    assert!(old.len() - differing < old.len() * 3 / 4, "the second half is cut as before");
}

proptest! {
    /// However a span is fed in, its cuts are the same.
    #[test]
    fn portions_do_not_matter(
        shape in prop::collection::vec((any::<bool>(), 1usize..60), 1..16),
        portion_blocks in 1usize..200,
        seed in 0u64..1000,
    ) {
        let sizes = ChunkSizes { least: 16 << 10, average: 64 << 10, most: 256 << 10 };
        let splitter = splitter(sizes);
        let span = shaped(&shape, seed);
        let whole = splitter.split_span(&span);
        let (mut pieces, mut at, mut seen, mut after_hole): (Vec<Piece>, _, _, _) = (Vec::new(), 0, 0usize, false);
        while at < span.len() {
            match splitter.next_piece(&span[at..seen.max(at)], after_hole, seen == span.len()) {
                Some(piece) => {
                    at += piece.length_bytes;
                    let joins = after_hole && piece.kind == PieceKind::Hole;
                    after_hole = piece.kind == PieceKind::Hole;
                    if joins { pieces.last_mut().unwrap().length_bytes += piece.length_bytes } else { pieces.push(piece) }
                }
                None => {
                    prop_assert!(seen < span.len(), "at the end there is always an answer");
                    prop_assert!(seen.saturating_sub(at) < splitter.window_bytes(), "a full window is always enough");
                    seen = (seen + portion_blocks * BLOCK_BYTES).min(span.len());
                }
            }
        }
        prop_assert_eq!(&pieces, &whole);
        prop_assert_eq!(pieces.iter().map(|piece| piece.length_bytes).sum::<usize>(), span.len());
    }
}
