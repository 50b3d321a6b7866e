//! Re-splitting a span around changed ranges, with the same result as splitting all of it anew.

use crate::{BLOCK_BYTES, HOLE_BYTES_MIN, Piece, PieceKind, VolumeSplitter, volume::is_zero};
use std::ops::Range;

/// Fills a buffer from an offset of the span's new content.
pub type ReadSpan<'a, E> = dyn FnMut(usize, &mut [u8]) -> Result<(), E> + 'a;

/// An old piece that stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Its number among the old pieces.
    pub index: usize,
}

/// What stands in the new span, in address order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// An old piece, untouched.
    Keep(Kept),
    /// A piece of new content; data is to be read and stored.
    New(Piece),
}

impl VolumeSplitter {
    /// Splits a span anew around `changed` byte ranges, in O(changed).
    ///
    /// `old` are the pieces of the whole span before the change (holes joined), `changed` every range that may differ,
    /// in ascending order. `read` fills a buffer from the span's *new* content. The result describes the same cuts as
    /// [`Self::split_span`] on the new content; neighbouring holes may come as several steps.
    pub fn rechunk_span<E>(
        &self,
        old: &[Piece],
        changed: &[Range<usize>],
        read: &mut ReadSpan<'_, E>,
    ) -> Result<Vec<Step>, E> {
        let old = OldCuts::new(old);
        let mut window = Window { read, start: 0, bytes: Vec::new(), end: old.end };
        let (mut steps, mut at, mut after_hole) = (Vec::new(), 0, false);
        for range in changed {
            let range = range.start / BLOCK_BYTES * BLOCK_BYTES
                ..range.end.div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES).min(old.end);
            if range.is_empty() {
                continue;
            }
            let wide = widen(&old, &mut window, range)?;
            if wide.end <= at {
                continue;
            }
            let start = old.restart(wide.start).max(at);
            if start > at {
                old.keep(at..start, &mut steps, &mut after_hole);
                at = start;
            }
            while at < old.end && !(at >= wide.end && old.is_cut(at)) {
                let piece = self.emit(&mut window, at, after_hole)?;
                after_hole = piece.kind == PieceKind::Hole;
                at += piece.length_bytes;
                steps.push(Step::New(piece));
            }
        }
        old.keep(at..old.end, &mut steps, &mut after_hole);
        Ok(steps)
    }

    fn emit<E>(&self, window: &mut Window<'_, E>, at: usize, after_hole: bool) -> Result<Piece, E> {
        let mut want = self.sizes().average + HOLE_BYTES_MIN;
        loop {
            let bytes = window.at(at, want)?;
            let at_end = at + bytes.len() == window.end;
            let bytes = window.at(at, want)?;
            if let Some(piece) = self.next_piece(bytes, after_hole, at_end) {
                return Ok(piece);
            }
            want = self.window_bytes();
        }
    }
}

/// Old pieces with their addresses.
struct OldCuts<'a> {
    pieces: &'a [Piece],
    starts: Vec<usize>,
    end: usize,
}

impl<'a> OldCuts<'a> {
    fn new(pieces: &'a [Piece]) -> Self {
        let mut end = 0;
        let starts = pieces
            .iter()
            .map(|piece| {
                let start = end;
                end += piece.length_bytes;
                start
            })
            .collect();
        Self { pieces, starts, end }
    }

    fn index_at(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at).saturating_sub(1)
    }

    fn is_cut(&self, at: usize) -> bool {
        at == self.end || self.starts.binary_search(&at).is_ok()
    }

    fn is_hole(&self, index: usize) -> bool {
        self.pieces[index].kind == PieceKind::Hole
    }

    /// Where to begin splitting for a change at `at`: the cut at or before it. At a hole's start the chunk before it was
    /// cut only because of the hole, so it begins one chunk earlier (decision 4).
    fn restart(&self, at: usize) -> usize {
        let index = self.index_at(at);
        let before_hole = index > 0 && self.is_hole(index) && self.starts[index] == at;
        self.starts[if before_hole { index - 1 } else { index }]
    }

    fn keep(&self, range: Range<usize>, steps: &mut Vec<Step>, after_hole: &mut bool) {
        if range.is_empty() {
            return;
        }
        for index in self.index_at(range.start)..self.pieces.len() {
            if self.starts[index] >= range.end {
                break;
            }
            *after_hole = self.is_hole(index);
            steps.push(Step::Keep(Kept { index }));
        }
    }
}

/// Widens a changed range over all zeros and old holes that touch it: a change can make, move or break a hole that
/// begins before it or ends after it.
fn widen<E>(old: &OldCuts<'_>, window: &mut Window<'_, E>, range: Range<usize>) -> Result<Range<usize>, E> {
    let (mut start, mut end) = (range.start, range.end);
    while start > 0 {
        let before = old.index_at(start - 1);
        if old.is_hole(before) {
            start = old.starts[before];
        } else if is_zero(window.at(start - BLOCK_BYTES, BLOCK_BYTES)?) {
            start -= BLOCK_BYTES;
        } else {
            break;
        }
    }
    let inside = old.index_at(start);
    if old.is_hole(inside) {
        start = old.starts[inside];
    }
    while end < old.end {
        let after = old.index_at(end);
        if old.is_hole(after) {
            end = old.starts[after] + old.pieces[after].length_bytes;
        } else if is_zero(window.at(end, BLOCK_BYTES)?) {
            end += BLOCK_BYTES;
        } else {
            break;
        }
    }
    Ok(start..end)
}

/// The new content, read in portions.
struct Window<'a, E> {
    read: &'a mut ReadSpan<'a, E>,
    start: usize,
    bytes: Vec<u8>,
    end: usize,
}

impl<E> Window<'_, E> {
    /// Up to `length` bytes from `at`, fewer only at the end of the span.
    fn at(&mut self, at: usize, length: usize) -> Result<&[u8], E> {
        let length = length.min(self.end - at);
        let held = self.start..self.start + self.bytes.len();
        if at < held.start || at + length > held.end {
            // What is still wanted moves to the front; the rest is read behind it.
            let keep = if held.contains(&at) { held.end - at } else { 0 };
            self.bytes.drain(..self.bytes.len() - keep);
            self.bytes.resize(length, 0);
            self.start = at;
            (self.read)(at + keep, &mut self.bytes[keep..])?;
        }
        let from = at - self.start;
        Ok(&self.bytes[from..from + length])
    }
}
