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

    /// The folder of this repository's checkout. Cargo says at run time which one: the program may have been built from another
    /// checkout, gone since, with the same target folder.
    pub fn checkout() -> PathBuf {
        let package = variable("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = package.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
        root.map_or_else(|| package.join("../.."), Path::to_owned)
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
