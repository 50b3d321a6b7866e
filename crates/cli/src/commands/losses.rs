//! What of a snapshot is lost, as `check` and `repair` show it.

use std::io::{self, Write};

use longshore_repo::{Loss, Losses};
use serde::Serialize;

use super::SnapshotView;
use crate::output::bytes;

/// Losses of a snapshot that are shown to people; programs get more.
const SHOWN_MAX: usize = 10;

/// What of a snapshot is lost, as `-o json` shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LossView {
    pub(super) snapshot: SnapshotView,
    count: u64,
    lost_bytes: u64,
    first: Vec<String>,
}

impl From<&Losses> for LossView {
    fn from(losses: &Losses) -> Self {
        Self {
            snapshot: SnapshotView::from(&losses.snapshot),
            count: losses.count,
            lost_bytes: losses.lost_bytes,
            first: losses.first.iter().map(loss_text).collect(),
        }
    }
}

/// Shows what snapshots miss.
pub(super) fn write_losses(out: &mut dyn Write, losses: &[LossView]) -> io::Result<()> {
    for loss in losses {
        let snapshot = &loss.snapshot;
        let lost = bytes(loss.lost_bytes);
        writeln!(
            out,
            "snapshot {} of {}: {} parts lost, {lost}",
            snapshot.id(),
            snapshot.time(),
            loss.count
        )?;
        for what in loss.first.iter().take(SHOWN_MAX) {
            writeln!(out, "  {what}")?;
        }
        let more = loss.count.saturating_sub(SHOWN_MAX as u64);
        if more > 0 {
            writeln!(out, "  and {more} more")?;
        }
    }
    Ok(())
}

fn loss_text(loss: &Loss) -> String {
    match loss {
        Loss::Range { offset_bytes, length_bytes } => format!("{length_bytes} bytes from {offset_bytes}"),
        Loss::File(path) => String::from_utf8_lossy(path).into_owned(),
        Loss::Folder(path) => format!("{}/ (some or all of its entries)", String::from_utf8_lossy(path)),
    }
}
