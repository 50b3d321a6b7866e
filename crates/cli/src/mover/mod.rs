//! The entry point of the mover's pod.
//!
//! A job document in the environment and a Secret mounted as files come in; progress on stdout, a result in the termination message
//! and an exit code go out. The credentials are tried before a byte of the volume is read.

mod abandoned;
mod credentials;
mod maintenance;
mod retention;
mod tasks;

use std::path::Path;
use std::time::Instant;

use longshore_job::{DOCUMENT_ENV, JobDocument, JobResult, Outcome, Reason, Task};
use longshore_mover::{Control, MoverError};

use crate::ProgressForm;
use crate::arguments::{GlobalArguments, MoverArguments};
use crate::failure::chain;
use crate::progress::{Sink, Watcher};
use crate::signal::stop_on_signal;

/// The end of a job that failed.
#[derive(Debug)]
struct Failed {
    reason: Reason,
    message: String,
}

impl Failed {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl From<MoverError> for Failed {
    fn from(error: MoverError) -> Self {
        Self::new(error.reason(), chain(&error))
    }
}

/// Does the job and returns the exit code.
pub fn run(global: &GlobalArguments, arguments: &MoverArguments) -> u8 {
    let control = Control::default();
    let result_file = arguments.result.clone();
    let interrupted = move || leave(&result_file, &JobResult::new(stopped()));
    if let Err(error) = stop_on_signal(&control, Reason::EXIT_TRANSIENT, interrupted) {
        tracing::warn!(%error, "signals are not heard; a stop will be a hard one");
    }
    let form = if global.progress == ProgressForm::Auto { ProgressForm::Json } else { global.progress };
    let outcome = {
        let _watcher = Watcher::start(form, Sink::Stdout, control.clone());
        job(arguments, &control)
            .unwrap_or_else(|failed| Outcome::Failed { reason: failed.reason, message: failed.message })
    };
    let code = match &outcome {
        Outcome::Failed { reason, message } => {
            tracing::error!(reason = reason.as_str(), cause = message, "the job failed");
            reason.exit_code()
        }
        done => {
            tracing::info!(result = ?done, "the job is done");
            0
        }
    };
    leave(&arguments.result, &JobResult::new(outcome));
    code
}

fn stopped() -> Outcome {
    Outcome::Failed {
        reason: Reason::Interrupted,
        message: "told to stop; nothing is lost, the next attempt goes on".into(),
    }
}

fn leave(file: &Path, result: &JobResult) {
    if let Err(error) = std::fs::write(file, result.to_termination_message()) {
        tracing::error!(%error, file = %file.display(), "the result cannot be left");
    }
}

fn job(arguments: &MoverArguments, control: &Control) -> Result<Outcome, Failed> {
    let started = Instant::now();
    let text = std::env::var(DOCUMENT_ENV)
        .map_err(|_| Failed::new(Reason::InvalidJob, format!("{DOCUMENT_ENV} is not set")))?;
    let document =
        JobDocument::from_json(&text).map_err(|error| Failed::new(Reason::InvalidJob, chain(&error)))?;
    let span = tracing::info_span!("job", run = %document.run.uid, namespace = %document.run.namespace, name = %document.run.name);
    let _entered = span.enter();
    credentials::note_ignored_keys(&arguments.credentials);
    match &document.task {
        Task::Backup(task) => tasks::backup(arguments, &document, task, control, started),
        Task::Restore(task) => tasks::restore(arguments, &document, task, control, started),
        Task::Forget(task) => maintenance::forget(arguments, &document, task, started),
        Task::Maintain(task) => maintenance::maintain(arguments, &document, task, control, started),
    }
}
