//! Every durable structure: it comes back, its bytes never move, and no bytes of a stranger can do harm.

mod golden;
mod nodes;
mod records;
mod strangers;
mod structures;
