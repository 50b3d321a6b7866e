//! Everything that decides what may go (P2): packs first, then the index, then who is there. The owner of a listed pack is
//! then either found or long over.

use super::look::Look;
use crate::{RepoError, Repository, plans::PlanView};
use longshore_format::{
    PackId,
    names::{self, PackKind},
};
use std::collections::HashMap;

pub(super) struct Inventory {
    /// All packs, with their sizes in bytes.
    pub(super) packs: HashMap<(PackKind, PackId), u64>,
    /// Plans and the index as they were.
    pub(super) view: PlanView,
    /// Sessions and snapshots.
    pub(super) look: Look,
}

impl Inventory {
    pub(super) fn take(repository: &Repository) -> Result<Self, RepoError> {
        let mut packs = HashMap::new();
        for kind in PackKind::ALL {
            for object in repository.io.list(kind.prefix())? {
                if let Some(key) = names::parse_pack(&object.name) {
                    packs.insert(key, object.size_bytes);
                }
            }
        }
        let view = PlanView::load(&repository.io, &repository.keys)?;
        repository.index.adopt_view(&view.index());
        Ok(Self { packs, view, look: Look::take(repository)? })
    }
}
