//! A bar for a transfer in a cluster.

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// Shows the progress that a VSB or VSR reports; silent when the output is no terminal.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar of unknown length.
    pub fn start(name: &str) -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) =
            ProgressStyle::with_template("{msg:30} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
        {
            bar.set_style(style);
        }
        bar.set_message(name.to_owned());
        Self(bar)
    }

    /// Takes over a `status.progress`.
    pub fn show(&mut self, progress: &Value) {
        if let Some(total) = progress["bytesTotal"].as_u64() {
            self.0.set_length(total);
        }
        if let Some(done) = progress["bytesDone"].as_u64() {
            self.0.set_position(done);
        }
    }

    /// Removes the bar.
    pub fn finish(self) {
        self.0.finish_and_clear();
    }
}
