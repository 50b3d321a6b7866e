//! Where the lab keeps things: state in one folder, caches in another, both outside the checkout.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The two roots, and the checkout that the lab builds from.
#[derive(Clone, Debug)]
pub struct Paths {
    state: PathBuf,
    cache: PathBuf,
}

impl Paths {
    /// State is `LONGSHORE_LAB_STATE` or `/var/lib/longshore-lab`; the cache is `LONGSHORE_CACHE` or
    /// `$XDG_CACHE_HOME/longshore` or `~/.cache/longshore`.
    pub fn from_environment() -> Result<Self> {
        let state =
            variable("LONGSHORE_LAB_STATE").unwrap_or_else(|| PathBuf::from("/var/lib/longshore-lab"));
        let cache = match (variable("LONGSHORE_CACHE"), variable("XDG_CACHE_HOME")) {
            (Some(cache), _) => cache,
            (None, Some(caches)) => caches.join("longshore"),
            (None, None) => variable("HOME").context("HOME is not set")?.join(".cache/longshore"),
        };
        Ok(Self { state, cache })
    }

    /// Everything that belongs to a running lab.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// What can be made again, at the cost of time.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The folder of this repository's checkout.
    pub fn checkout() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").components().collect()
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
