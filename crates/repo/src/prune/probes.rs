//! What a killed `init` left of its trying the store out.

use super::settle::store_clock;
use crate::{
    RepoError, Repository,
    parallel::{self, AT_ONCE},
    plans,
};
use jiff::SignedDuration;
use longshore_store::PROBE_PREFIX;

/// A probe takes seconds. What is younger may belong to an `init` that is about to find out that it came too late.
const PROBE_AGE_MIN: SignedDuration = SignedDuration::from_hours(1);

impl Repository {
    /// Deletes old probes, and returns how many objects that were.
    pub(super) fn sweep_probes(&self) -> Result<u64, RepoError> {
        let mut probes = self.io.list(PROBE_PREFIX)?;
        if probes.is_empty() {
            return Ok(0);
        }
        let (newest, _) = plans::newest_numbers(&self.io)?;
        let now = store_clock(self, newest)?;
        probes.retain(|probe| now.duration_since(probe.modified_at) > PROBE_AGE_MIN);
        parallel::map(&probes, AT_ONCE, |probe| self.io.delete(&probe.name))?;
        Ok(probes.len() as u64)
    }
}
