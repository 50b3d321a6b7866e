//! Keys: every derived value is pinned, whichever library computes it; nothing opens with anything wrong.
//!
//! The same golden values hold with feature `portable` and without it, so each opens what the other sealed.

// Helpers of tests fail by panicking, like tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod golden;
mod keysets;
mod slots;

use longshore_crypto::{Keyset, RepositoryKeys};
use longshore_format::RepositoryId;

/// Keys of chosen secrets.
pub fn keys() -> RepositoryKeys {
    RepositoryKeys::new(RepositoryId([1; 16]), Keyset::for_tests([2; 32], [3; 32])).unwrap()
}
