//! The repository as its users see it, on real stores.

mod support;
mod volume;
