use super::{DiffTotals, Difference, EachDifference, RangeContent, RangeDifference};
use crate::{
    RepoError, Repository,
    parallel::{self, AT_ONCE},
};
use longshore_format::{
    ChunkRef, NodeRef, Run,
    map::{RADIX, SPAN_BYTES, height, span_length_bytes},
    node::Node,
    snapshot::Content,
};
use std::{collections::BTreeMap, ops::ControlFlow};

/// Walks the maps of two volumes side by side.
pub(super) fn diff(
    repository: &Repository,
    before: &Content,
    after: &Content,
    each: &mut EachDifference<'_>,
) -> Result<DiffTotals, RepoError> {
    let sizes_bytes = [before.size_bytes(), after.size_bytes()];
    let mut walk = Walk {
        repository,
        sizes_bytes,
        leaves: Vec::new(),
        ranges: Ranges { each, totals: DiffTotals::default(), last: None },
    };
    let side = |content: &Content| Side { node: content.root(), height: height(content.size_bytes()) };
    let sides = [side(before), side(after)];
    let top = sides[0].height.max(sides[1].height);
    // Whether the receiver stopped the walk or it came to its end: what was handed out has been counted.
    if walk.pair(top, 0, sides)?.is_continue() && walk.flush()?.is_continue() {
        let _ = walk.ranges.hand_out();
    }
    Ok(walk.ranges.totals)
}

/// A node of one map, and the height at which it stands. A lower map is the first child of what is above it.
#[derive(Debug, Clone, Copy)]
struct Side {
    node: Option<NodeRef>,
    height: u8,
}

struct Walk<'a, 'e> {
    repository: &'a Repository,
    sizes_bytes: [u64; 2],
    /// Leaves that differ and wait to be read.
    leaves: Vec<(u64, [Option<NodeRef>; 2])>,
    ranges: Ranges<'a, 'e>,
}

impl Walk<'_, '_> {
    /// Compares what two nodes map, from span `first` on.
    fn pair(&mut self, level: u8, first: u64, sides: [Side; 2]) -> Result<ControlFlow<()>, RepoError> {
        let [before, after] = sides;
        let same = before.node.map(|node| node.id) == after.node.map(|node| node.id);
        if same || first.saturating_mul(SPAN_BYTES) >= self.sizes_bytes[1] {
            return Ok(ControlFlow::Continue(()));
        }
        if level == 0 {
            self.leaves.push((first, [before.node, after.node]));
            return if self.leaves.len() < AT_ONCE { Ok(ControlFlow::Continue(())) } else { self.flush() };
        }
        let covers = RADIX.pow(u32::from(level) - 1);
        let nothing = Side { node: None, height: level - 1 };
        let mut children: BTreeMap<u8, [Side; 2]> = BTreeMap::new();
        for (number, side) in sides.iter().enumerate() {
            for (slot, child) in self.children(level, side)? {
                children.entry(slot).or_insert([nothing; 2])[number] = child;
            }
        }
        for (slot, pair) in children {
            if self.pair(level - 1, first + u64::from(slot) * covers, pair)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn children(&self, level: u8, side: &Side) -> Result<Vec<(u8, Side)>, RepoError> {
        let Some(node) = side.node else { return Ok(Vec::new()) };
        if side.height < level {
            return Ok(vec![(0, *side)]);
        }
        match self.repository.read_node(&node)? {
            Node::VolumeInterior(interior) if interior.level == level => {
                let child = |node| Side { node: Some(node), height: level - 1 };
                Ok(interior.children.iter().map(|found| (found.slot, child(found.node))).collect())
            }
            _ => Err(wrong(&node)),
        }
    }

    /// Reads the leaves that wait and compares them.
    fn flush(&mut self) -> Result<ControlFlow<()>, RepoError> {
        let leaves = std::mem::take(&mut self.leaves);
        let (repository, sizes_bytes) = (self.repository, self.sizes_bytes);
        let pairs = parallel::map(&leaves, AT_ONCE, |(span, nodes)| {
            let before = leaf(repository, nodes[0], sizes_bytes[0], *span)?;
            Ok((*span, [before, leaf(repository, nodes[1], sizes_bytes[1], *span)?]))
        })?;
        for (span, pieces) in pairs {
            let start = span * SPAN_BYTES;
            let end = (start + SPAN_BYTES).min(sizes_bytes[1]);
            if self.ranges.compare(start, end, &pieces).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// A run with its address.
#[derive(Debug, Clone, Copy)]
struct Piece {
    start: u64,
    end: u64,
    chunk: Option<ChunkRef>,
}

/// The pieces of a span. They cover all of its 64 MiB: what is beyond the end of the volume is a hole.
fn leaf(
    repository: &Repository,
    node: Option<NodeRef>,
    size_bytes: u64,
    span: u64,
) -> Result<Vec<Piece>, RepoError> {
    let runs = match node {
        None => Vec::new(),
        Some(node) => match repository.read_node(&node)? {
            Node::VolumeLeaf(leaf) => {
                let length: u64 = leaf.runs.iter().map(Run::length_bytes).sum();
                if length != span_length_bytes(size_bytes, span) {
                    return Err(wrong(&node));
                }
                leaf.runs
            }
            _ => return Err(wrong(&node)),
        },
    };
    let (mut at, end) = (span * SPAN_BYTES, (span + 1) * SPAN_BYTES);
    let mut pieces = Vec::with_capacity(runs.len() + 1);
    for run in runs {
        let start = at;
        at += run.length_bytes();
        let chunk = match run {
            Run::Chunk(chunk) => Some(chunk),
            Run::Hole { .. } => None,
        };
        pieces.push(Piece { start, end: at, chunk });
    }
    if at < end {
        pieces.push(Piece { start: at, end, chunk: None });
    }
    Ok(pieces)
}

/// Joins differences that touch and hands them out.
struct Ranges<'a, 'e> {
    each: &'a mut EachDifference<'e>,
    totals: DiffTotals,
    last: Option<RangeDifference>,
}

impl Ranges<'_, '_> {
    /// Compares two spans from `start` to `end`.
    fn compare(&mut self, start: u64, end: u64, [before, after]: &[Vec<Piece>; 2]) -> ControlFlow<()> {
        let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
        let mut at = start;
        while at < end
            && let (Some(old), Some(new)) = (before.peek(), after.peek())
        {
            let stop = old.end.min(new.end).min(end);
            let same = match (old.chunk, new.chunk) {
                (None, None) => true,
                (Some(a), Some(b)) => (a.id, a.length_bytes, old.start) == (b.id, b.length_bytes, new.start),
                _ => false,
            };
            if !same {
                let content = |chunk: Option<ChunkRef>| match chunk {
                    Some(_) => RangeContent::Data,
                    None => RangeContent::Hole,
                };
                self.push(RangeDifference {
                    offset_bytes: at,
                    length_bytes: stop - at,
                    before: content(old.chunk),
                    after: content(new.chunk),
                })?;
            }
            at = stop;
            before.next_if(|piece| piece.end <= at);
            after.next_if(|piece| piece.end <= at);
        }
        ControlFlow::Continue(())
    }

    fn push(&mut self, range: RangeDifference) -> ControlFlow<()> {
        if let Some(last) = &mut self.last
            && last.offset_bytes + last.length_bytes == range.offset_bytes
            && (last.before, last.after) == (range.before, range.after)
        {
            last.length_bytes += range.length_bytes;
            return ControlFlow::Continue(());
        }
        let result = self.hand_out();
        self.last = Some(range);
        result
    }

    fn hand_out(&mut self) -> ControlFlow<()> {
        let Some(range) = self.last.take() else { return ControlFlow::Continue(()) };
        self.totals.ranges += 1;
        self.totals.range_bytes += range.length_bytes;
        if range.before == RangeContent::Data {
            self.totals.removed_bytes += range.length_bytes;
        }
        if range.after == RangeContent::Data {
            self.totals.added_bytes += range.length_bytes;
        }
        (self.each)(Difference::Range(range))
    }
}

fn wrong(node: &NodeRef) -> RepoError {
    RepoError::WrongContent { object: format!("node {}", node.id) }
}
