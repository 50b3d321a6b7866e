use crate::{BLOCK_BYTES, ChunkSizes, CutPrf, HOLE_BYTES_MIN};
use std::sync::Arc;

/// What a piece of a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PieceKind {
    /// Zeros that need not be stored.
    Hole,
    /// A chunk.
    Data,
}

/// A piece of a volume; a multiple of [`BLOCK_BYTES`] long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Piece {
    /// What it is.
    pub kind: PieceKind,
    /// How long it is.
    pub length_bytes: usize,
}

/// Cuts the spans of a volume (profile A4K).
#[derive(Clone)]
pub struct VolumeSplitter {
    prf: Arc<dyn CutPrf>,
    sizes: ChunkSizes,
    mask_before_average: u64,
    mask_after_average: u64,
}

impl std::fmt::Debug for VolumeSplitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VolumeSplitter").field("sizes", &self.sizes).finish_non_exhaustive()
    }
}

impl VolumeSplitter {
    /// A splitter with the cuts of `prf`. Sizes must be multiples of [`BLOCK_BYTES`].
    pub fn new(prf: Arc<dyn CutPrf>, sizes: ChunkSizes) -> Self {
        // One candidate per block, so the number of bits is that of blocks in an average chunk; one bit more before the
        // average and one less after it pull sizes towards it (FastCDC's normalisation).
        let bits = (sizes.average / BLOCK_BYTES).max(2).ilog2();
        Self {
            prf,
            sizes,
            mask_before_average: (1 << (bits + 1)) - 1,
            mask_after_average: (1 << (bits - 1)) - 1,
        }
    }

    /// The sizes of chunks.
    pub fn sizes(&self) -> ChunkSizes {
        self.sizes
    }

    /// The most bytes that [`Self::next_piece`] needs to see to decide.
    pub fn window_bytes(&self) -> usize {
        self.sizes.most + HOLE_BYTES_MIN
    }

    /// The first piece of `window`, which begins at a cut.
    ///
    /// `after_hole`: the piece before was a hole, so leading zeros are its continuation however few they are.
    /// `at_end`: the window reaches the end of the span. Returns `None` if more bytes must be seen first; it never does
    /// so at the end of the span, nor for a window of [`Self::window_bytes`]. A long hole may come in several pieces.
    /// A window must be a multiple of [`BLOCK_BYTES`]; a shorter tail of an odd volume is to be filled with zeros.
    pub fn next_piece(&self, window: &[u8], after_hole: bool, at_end: bool) -> Option<Piece> {
        if window.is_empty() {
            return None;
        }
        let zeros = leading_zero_bytes(window);
        if zeros > 0 && (after_hole || zeros >= HOLE_BYTES_MIN) {
            return Some(Piece { kind: PieceKind::Hole, length_bytes: zeros });
        }
        if !at_end && window.len() < self.window_bytes() {
            return None;
        }
        let cut = self.next_cut(window);
        let length_bytes = hole_start_before(window, zeros, cut).unwrap_or(cut);
        Some(Piece { kind: PieceKind::Data, length_bytes })
    }

    /// Splits a whole span that is in memory. Neighbouring holes come as one.
    pub fn split_span(&self, span: &[u8]) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let (mut at, mut after_hole) = (0, false);
        while let Some(piece) = self.next_piece(&span[at..], after_hole, true) {
            after_hole = piece.kind == PieceKind::Hole;
            at += piece.length_bytes;
            push_piece(&mut pieces, piece);
        }
        pieces
    }

    fn next_cut(&self, data: &[u8]) -> usize {
        let end = data.len().min(self.sizes.most);
        let mut at = self.sizes.least;
        while at < end {
            let mask =
                if at < self.sizes.average { self.mask_before_average } else { self.mask_after_average };
            if self.prf.value(&data[at - BLOCK_BYTES..at]) & mask == 0 {
                return at;
            }
            at += BLOCK_BYTES;
        }
        end
    }
}

/// Appends a piece, joining holes.
fn push_piece(pieces: &mut Vec<Piece>, piece: Piece) {
    match pieces.last_mut() {
        Some(last) if last.kind == PieceKind::Hole && piece.kind == PieceKind::Hole => {
            last.length_bytes += piece.length_bytes;
        }
        _ => pieces.push(piece),
    }
}

/// Where the first hole within `..cut` begins, if one does. The bytes up to `zeros` are known to be no hole.
fn hole_start_before(window: &[u8], zeros: usize, cut: usize) -> Option<usize> {
    let mut at = zeros;
    while at < cut {
        if is_zero(&window[at..at + BLOCK_BYTES]) {
            let run = leading_zero_bytes(&window[at..(at + HOLE_BYTES_MIN).min(window.len())]);
            if run >= HOLE_BYTES_MIN {
                return Some(at);
            }
            at += run;
        } else {
            at += BLOCK_BYTES;
        }
    }
    None
}

fn leading_zero_bytes(window: &[u8]) -> usize {
    window.chunks_exact(BLOCK_BYTES).take_while(|block| is_zero(block)).count() * BLOCK_BYTES
}

pub(crate) fn is_zero(block: &[u8]) -> bool {
    // Most blocks differ from zero in their first bytes; the rest is compared in words that the compiler vectorises.
    let (words, rest) = block.as_chunks::<64>();
    words.iter().all(|word| *word == [0; 64]) && rest.iter().all(|byte| *byte == 0)
}
