//! Every durable structure: it comes back, its bytes never move, and no bytes of a stranger can do harm.

// Helpers of tests fail by panicking, like tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bookkeeping;
mod golden;
mod index;
mod nodes;
mod records;
mod strangers;
mod structures;
