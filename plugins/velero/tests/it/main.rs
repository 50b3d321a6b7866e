//! The program as a Velero server meets it: started with its environment and arguments, spoken to over its socket.

// Helpers of tests are tests: what is not as expected ends them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod flow;
mod process;
mod server;
