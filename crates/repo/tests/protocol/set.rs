//! A set of small numbers: packs, chunks, sessions, keys or runs.

use std::fmt;

/// The numbers below 64 that it holds, one bit each, so that a state is small and quickly compared.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Set(u64);

impl Set {
    pub const EMPTY: Self = Self(0);

    pub fn of(items: impl IntoIterator<Item = usize>) -> Self {
        items.into_iter().fold(Self::EMPTY, Self::with)
    }

    /// The eight lowest, for sets that are known to be small.
    pub fn low(self) -> u8 {
        self.0 as u8
    }

    pub fn with(self, item: usize) -> Self {
        Self(self.0 | 1 << item)
    }

    pub fn without(self, item: usize) -> Self {
        Self(self.0 & !(1 << item))
    }

    pub fn has(self, item: usize) -> bool {
        self.0 & 1 << item != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn first(self) -> Option<usize> {
        self.iter().next()
    }

    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let item = rest.trailing_zeros() as usize;
            rest &= rest.checked_sub(1)?;
            Some(item)
        })
    }
}

impl From<u8> for Set {
    fn from(low: u8) -> Self {
        Self(low.into())
    }
}

impl std::ops::BitOr for Set {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitAnd for Set {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl std::ops::Sub for Set {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.iter()).finish()
    }
}
