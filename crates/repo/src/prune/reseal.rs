//! Which packs are sealed with secrets from before the last rotation of keys.

use super::inventory::Inventory;
use crate::{
    RepoError, Repository,
    check::says_damage,
    error::chain,
    pack,
    parallel::{self, AT_ONCE},
};
use longshore_format::{PackId, names, pack::PackFooter};
use std::collections::HashSet;

impl Repository {
    /// Asks the footer of every pack. One that cannot be read is no news to prune: it is left out.
    pub(super) fn packs_of_old_epochs(&self, inventory: &Inventory) -> Result<HashSet<PackId>, RepoError> {
        let newest = self.keys.newest_epoch();
        let packs: Vec<_> = inventory.packs.keys().copied().collect();
        let old = parallel::map(&packs, AT_ONCE, |(kind, id)| {
            let name = names::pack(*kind, *id);
            let footer = self
                .io
                .get_tail(&name, pack::FOOTER)
                .and_then(|tail| PackFooter::decode(&tail).map_err(RepoError::format(&name)));
            match footer {
                Ok(footer) => Ok((footer.epoch < newest).then_some(*id)),
                Err(error) if says_damage(&error) => {
                    tracing::warn!(pack = name, error = %chain(&error), "the pack's epoch is not known");
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        })?;
        Ok(old.into_iter().flatten().collect())
    }
}
