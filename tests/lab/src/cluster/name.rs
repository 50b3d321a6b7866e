//! The names of the lab's clusters.

use std::fmt;
use std::str::FromStr;

/// Which of the two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClusterName {
    /// Where volumes are backed up.
    Origin,
    /// Where they are restored.
    Fresh,
}

impl ClusterName {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::Origin, Self::Fresh];

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Origin => 1,
            Self::Fresh => 2,
        }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Origin => "origin",
            Self::Fresh => "fresh",
        })
    }
}

impl FromStr for ClusterName {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|name| name.to_string() == text);
        found.ok_or_else(|| anyhow::anyhow!("{text} is no cluster of the lab: origin or fresh"))
    }
}
