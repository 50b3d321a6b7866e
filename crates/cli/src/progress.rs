//! Showing how far a command is.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use longshore_job::{Progress, ProgressLine, Stage};
use longshore_mover::Control;
use longshore_repo::{CheckProgress, PruneStage};

use crate::ProgressForm;
use crate::output::bytes;

/// Where lines of progress go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Commands: stdout belongs to results.
    Stderr,
    /// The mover: its parent reads stdout.
    Stdout,
}

/// A thread that shows a pipeline's progress until it is dropped.
pub struct Watcher {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts to show `control`'s progress in the wanted form.
    pub fn start(form: ProgressForm, sink: Sink, control: Control) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let form = match form {
            ProgressForm::Auto if terminal => ProgressForm::Auto,
            ProgressForm::Auto => ProgressForm::Plain,
            other => other,
        };
        if form == ProgressForm::None {
            return Self { stop: None, thread: None };
        }
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let mut view = View::new(form, sink);
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(view.interval()) {
                view.show(&control.progress());
            }
            view.finish(&control.progress());
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _a_broken_view_must_not_break_the_work = thread.join();
        }
    }
}

enum View {
    Bar(ProgressBar),
    Lines { json: bool, sink: Sink, started: Instant, last: Option<Progress> },
}

impl View {
    fn new(form: ProgressForm, sink: Sink) -> Self {
        if form != ProgressForm::Auto {
            return Self::Lines {
                json: form == ProgressForm::Json,
                sink,
                started: Instant::now(),
                last: None,
            };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let template = "{msg:12} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} ETA {eta} {prefix}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self::Bar(bar)
    }

    fn interval(&self) -> Duration {
        match self {
            Self::Bar(_) => Duration::from_millis(100),
            Self::Lines { json: true, .. } => Duration::from_secs(1),
            Self::Lines { .. } => Duration::from_secs(5),
        }
    }

    fn show(&mut self, progress: &Progress) {
        match self {
            Self::Bar(bar) => {
                bar.set_length(progress.bytes_total.max(progress.bytes_done));
                bar.set_position(progress.bytes_done);
                bar.set_message(format!("{:?}", progress.stage));
                if progress.files_done > 0 {
                    bar.set_prefix(format!("{} files", progress.files_done));
                }
            }
            Self::Lines { last, .. } if last.as_ref() == Some(progress) => {}
            Self::Lines { json, sink, started, last } => {
                *last = Some(*progress);
                let line = if *json {
                    serde_json::to_string(&ProgressLine { progress: *progress }).unwrap_or_default()
                } else {
                    plain_line(progress, started.elapsed())
                };
                say(*sink, &line);
            }
        }
    }

    fn finish(&mut self, progress: &Progress) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        } else {
            self.show(progress);
        }
    }
}

/// `Transferring 1.00 GiB of 4.00 GiB, 512.00 MiB/s, 12 files, 6s left`
fn plain_line(progress: &Progress, elapsed: Duration) -> String {
    let mut line = format!("{:?} {}", progress.stage, bytes(progress.bytes_done));
    if progress.bytes_total > 0 {
        line.push_str(&format!(" of {}", bytes(progress.bytes_total)));
    }
    let rate = progress.bytes_done as f64 / elapsed.as_secs_f64().max(0.001);
    line.push_str(&format!(", {}/s", bytes(rate as u64)));
    if progress.files_done > 0 {
        line.push_str(&format!(", {} files", progress.files_done));
    }
    if rate > 1.0 && progress.bytes_total > progress.bytes_done {
        let left = (progress.bytes_total - progress.bytes_done) as f64 / rate;
        line.push_str(&format!(", {:#} left", HumanDuration(Duration::from_secs_f64(left))));
    }
    line
}

fn say(sink: Sink, line: &str) {
    // Whoever listened may be gone; the work goes on.
    let _nobody_listens = match sink {
        Sink::Stderr => writeln!(std::io::stderr().lock(), "{line}"),
        Sink::Stdout => writeln!(std::io::stdout().lock(), "{line}"),
    };
}

/// Tells how far a prune is.
pub(crate) fn show_prune(control: &Control, stage: PruneStage) {
    control.set_stage(match stage {
        PruneStage::Marking | PruneStage::Planned(_) | PruneStage::Settling => Stage::Scanning,
        PruneStage::Copying(..) => Stage::Transferring,
        PruneStage::Indexing | PruneStage::Sweeping => Stage::Finishing,
    });
}

/// Takes over how far a check has come.
pub fn show_check(control: &Control, progress: CheckProgress) {
    control.set_stage(match progress {
        CheckProgress::Snapshots { .. } => Stage::Scanning,
        CheckProgress::Data { .. } => Stage::Transferring,
    });
    if let CheckProgress::Data { done_bytes, total_bytes } = progress {
        control.set_total(total_bytes);
        control.raise_done(done_bytes);
    }
}
