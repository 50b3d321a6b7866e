//! Logs, metrics and health of the Longshore programs
