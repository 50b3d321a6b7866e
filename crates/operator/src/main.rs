//! Entry point of the operator.

use std::io::Write;

use clap::Parser;
use longshore_operator::options::{Options, Page, Print};
use longshore_operator::reference;
use longshore_telemetry::{LogFormat, LogLevel, LogOptions, init_logs};

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(print) = options.print {
        let text = match print {
            Print::Crds => reference::crds()?,
            Print::Reference { page: Page::Resources } => reference::resources(),
            Print::Reference { page: Page::Reasons } => reference::reasons(),
        };
        std::io::stdout().write_all(text.as_bytes())?;
        return Ok(());
    }
    let level = match options.log_level.as_str() {
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "debug" => LogLevel::Debug,
        "trace" => LogLevel::Trace,
        _ => LogLevel::Info,
    };
    let format = if options.log_format == "text" { LogFormat::Text } else { LogFormat::Json };
    init_logs(LogOptions { format, level });
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(longshore_operator::program::run(options))
}
