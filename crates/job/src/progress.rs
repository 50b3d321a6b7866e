//! What a mover says while it works.

use serde::{Deserialize, Serialize};

/// What a mover is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Stage {
    /// Opening the repository and checking credentials; no byte of the volume has been read.
    Opening,
    /// Listing a tree or looking at what the target already holds.
    Scanning,
    /// Moving data.
    Transferring,
    /// Making everything durable.
    Finishing,
}

/// How far a mover has come. Counters never go back within one mover process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Bytes of the volume handled so far, skipped and unchanged ones included.
    pub bytes_done: u64,
    /// Bytes to handle in all, as far as known; 0 while unknown.
    pub bytes_total: u64,
    /// Bytes sent to (backup) or fetched from (restore) the repository.
    pub bytes_transferred: u64,
    /// Files handled; 0 for a Block volume.
    #[serde(default)]
    pub files_done: u64,
}

/// One line of a mover's stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressLine {
    /// The progress; the key tells the line apart from anything else on stdout.
    pub progress: Progress,
}

impl ProgressLine {
    /// Reads a line of a mover's output; anything that is no progress line is `None`.
    pub fn parse(line: &str) -> Option<Progress> {
        serde_json::from_str::<Self>(line).ok().map(|line| line.progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_lines_are_not_progress() {
        let progress = Progress {
            stage: Stage::Transferring,
            bytes_done: 1,
            bytes_total: 2,
            bytes_transferred: 1,
            files_done: 0,
        };
        let line = serde_json::to_string(&ProgressLine { progress }).unwrap();
        assert_eq!(ProgressLine::parse(&line), Some(progress));
        for other in ["", "{}", "starting", "{\"level\":\"INFO\"}"] {
            assert_eq!(ProgressLine::parse(other), None, "{other}");
        }
    }
}
