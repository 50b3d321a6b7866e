//! What Longshore's programs say about themselves: logs, metrics, health.
//!
//! Owns the set-up of `tracing`: where lines go, in which form, and which of them. With feature `serve` (servers only) also
//! metrics and health over HTTP. Knows neither Kubernetes nor the repository. Read [`LogOptions`] first.

#[cfg(feature = "serve")]
pub mod health;
mod logs;
#[cfg(feature = "serve")]
pub mod metrics;

pub use logs::{LogFormat, LogLevel, LogOptions, init_logs};
