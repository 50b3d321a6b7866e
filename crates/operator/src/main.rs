//! Entry point of the operator.

use clap::Parser;
use longshore_operator::options::Options;
use longshore_telemetry::{LogFormat, LogLevel, LogOptions, init_logs};

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
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
