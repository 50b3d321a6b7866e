//! Logs: one line an event, on stderr.

use std::io::IsTerminal;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// What a person should look at.
    #[default]
    Warn,
    /// One line a stage.
    Info,
    /// Decisions.
    Debug,
    /// Every object.
    Trace,
}

/// What to log and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOptions {
    /// Form of a line.
    pub format: LogFormat,
    /// Level for Longshore's own crates.
    pub level: LogLevel,
}

impl LogLevel {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

/// Our own crates speak at `level`. Foreign ones never say more than warnings: at finer levels HTTP clients print headers, and
/// headers carry session tokens.
fn targets(level: LogLevel) -> Targets {
    let ours = level.filter();
    Targets::new().with_default(ours.min(LevelFilter::WARN)).with_target("longshore", ours)
}

/// Sends this process's logs to stderr. False when a subscriber was installed before; that one stays.
pub fn init_logs(options: LogOptions) -> bool {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match options.format {
        LogFormat::Text => lines.with_ansi(colour).with_filter(targets(options.level)).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(targets(options.level)).boxed(),
    };
    tracing_subscriber::registry().with(layer).try_init().is_ok()
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn foreign_crates_stay_quiet_at_every_level() {
        let filter = targets(LogLevel::Trace);
        assert!(filter.would_enable("longshore_repo::pack", &Level::TRACE));
        assert!(!filter.would_enable("hyper::proto", &Level::INFO));
        assert!(!filter.would_enable("object_store::aws", &Level::DEBUG));
        assert!(filter.would_enable("object_store::aws", &Level::WARN));
        let filter = targets(LogLevel::Error);
        assert!(!filter.would_enable("object_store::aws", &Level::WARN));
        assert!(!filter.would_enable("longshore_repo", &Level::WARN));
    }
}
