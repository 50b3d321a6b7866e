//! `longshore backup`

use longshore_job::Progress;
use longshore_mover::{BackupRequest, Control, run_backup};
use longshore_repo::SourceIdentity;
use longshore_repo::{RunId, Snapshot};
use serde::Serialize;

use crate::arguments::{BackupArguments, GlobalArguments};
use crate::failure::{EXIT_INCOMPLETE, EXIT_INTERRUPTED};
use crate::output::bytes;
use crate::progress::{Sink, Watcher};
use crate::settings::Access;
use crate::signal::stop_on_signal;
use crate::{Failure, output};

use super::SnapshotView;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    snapshot: SnapshotView,
    /// The first few files that could not be read.
    unreadable: Vec<String>,
}

pub fn run(global: &GlobalArguments, verb: &BackupArguments) -> Result<u8, Failure> {
    let access = Access::from(global)?;
    let path = verb.path.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::not_found(format!("{} does not exist", verb.path.display())),
        _ => Failure::internal(
            &anyhow::Error::new(error).context(format!("cannot open {}", verb.path.display())),
        ),
    })?;
    let host = match &verb.host {
        Some(host) => host.clone(),
        None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    let repository = if verb.init { access.open_or_init()? } else { access.open()? };
    let request = BackupRequest {
        path: &path,
        run: RunId(uuid::Uuid::now_v7()),
        source: SourceIdentity::Path { host, path: path.to_string_lossy().into_owned() },
        kubernetes: None,
        data_at: None,
        labels: verb.labels.iter().cloned().collect(),
        allow_incomplete: true,
        force: verb.force,
        one_file_system: verb.one_file_system,
        is_immutable: false,
    };
    let control = watch()?;
    let outcome = {
        let _watcher = Watcher::start(global.progress, Sink::Stderr, control.clone());
        run_backup(&repository, &request, &jiff::Timestamp::now, &control)?
    };
    for line in &outcome.failures.first {
        eprintln!("longshore: not in the snapshot: {line}");
    }
    let more = outcome.failures.count.saturating_sub(outcome.failures.first.len() as u64);
    if more > 0 {
        eprintln!("longshore: and {more} more");
    }
    say(&outcome.snapshot, &control.progress());
    let done = Done { snapshot: SnapshotView::from(&outcome.snapshot), unreadable: outcome.failures.first };
    output::print(global.output, "Backup", &done, |out| writeln!(out, "{}", outcome.snapshot.record.run))?;
    Ok(if outcome.failures.count > 0 { EXIT_INCOMPLETE } else { 0 })
}

/// A control that Ctrl-C stops.
pub(super) fn watch() -> Result<Control, Failure> {
    let control = Control::default();
    stop_on_signal(&control, EXIT_INTERRUPTED, || eprintln!("longshore: interrupted"))
        .map_err(|error| Failure::internal(&anyhow::Error::new(error).context("cannot wait for signals")))?;
    Ok(control)
}

fn say(snapshot: &Snapshot, progress: &Progress) {
    let stats = &snapshot.record.stats;
    let files = if progress.files_done > 0 {
        format!(", {} files, {} of them unchanged", stats.files, stats.unchanged_files)
    } else {
        String::new()
    };
    eprintln!(
        "{} in all, {} read, {} new, {} stored{files}",
        bytes(snapshot.record.content.size_bytes()),
        bytes(stats.read_bytes),
        bytes(stats.new_bytes),
        bytes(stats.stored_bytes),
    );
}
