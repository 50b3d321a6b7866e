use longshore_repo::{Run, SPAN_BYTES, Snapshot, VolumeReader, WrittenContent};

use super::{Task, base::Base, chunks::Known, recut};
use crate::MoverError;
use crate::workers::{fetcher_count, for_each_number};

/// Copies the map of a volume span by span. Spans that are in the base are taken over by their leaf, unread.
pub(super) fn copy(
    task: &Task<'_>,
    snapshot: &Snapshot,
    base: Option<&Base>,
) -> Result<WrittenContent, MoverError> {
    let open_source = |snapshot: &Snapshot| task.source.open_volume(snapshot).map_err(MoverError::CopySource);
    let source = open_source(snapshot)?;
    let base = match base {
        Some(base) => Some((open_source(&base.source)?, task.target.open_volume(&base.target)?)),
        None => None,
    };
    let pair = base.as_ref().map(|(source, target)| BasePair { source, target });
    let writer = task.session.volume_writer(source.size_bytes(), pair.as_ref().map(|pair| pair.target));
    for_each_number(
        fetcher_count(),
        source.span_count(),
        task.control,
        || (),
        |(), span| {
            let id = source.span_id(span).map_err(MoverError::CopySource)?;
            if let Some(id) = id {
                let is_kept = match &pair {
                    Some(pair) if pair.source.span_id(span).map_err(MoverError::CopySource)? == Some(id) => {
                        writer.keep_span(span)?
                    }
                    _ => false,
                };
                if !is_kept {
                    writer.put_span(span, &span_runs(task, &source, pair.as_ref(), span)?)?;
                }
            }
            let start = span * SPAN_BYTES;
            task.passed((start + SPAN_BYTES).min(source.size_bytes()) - start);
            Ok(())
        },
    )?;
    Ok(writer.finish()?)
}

/// The maps of the base in both repositories.
struct BasePair<'a> {
    source: &'a VolumeReader<'a>,
    target: &'a VolumeReader<'a>,
}

fn span_runs(
    task: &Task<'_>,
    source: &VolumeReader<'_>,
    base: Option<&BasePair<'_>>,
    span: u64,
) -> Result<Vec<Run>, MoverError> {
    let runs = source.span(span).map_err(MoverError::CopySource)?.unwrap_or_default();
    if !task.keeps_cuts() {
        return recut::span(task, &runs);
    }
    let mut known = Known::default();
    if let Some(base) = base {
        let old = base.source.span(span).map_err(MoverError::CopySource)?.unwrap_or_default();
        known.learn(&old, &base.target.span(span)?.unwrap_or_default());
    }
    let copied = known.copy(task, &[&runs])?;
    known.translate(&copied, &runs)
}
