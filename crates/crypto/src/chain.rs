use crate::{
    Anchor, CryptoError,
    maintenance::{keyset_message, verify},
};
use longshore_format::{RepositoryId, keyset::KeysetRevision};

/// Follows keyset revisions from one that is trusted to the newest valid one.
///
/// A revision is valid if the maintenance key of the last valid revision signed it. So a store cannot make one, nor can
/// somebody who once held a maintenance key that was replaced since.
#[derive(Debug, Clone)]
pub struct KeysetChain {
    repository: RepositoryId,
    anchor: Anchor,
    /// BLAKE3 of the last valid revision; not known of the anchor's.
    last: Option<[u8; 32]>,
}

impl KeysetChain {
    /// Begins at what a slot trusts.
    pub fn new(repository: RepositoryId, anchor: Anchor) -> Self {
        Self { repository, anchor, last: None }
    }

    /// The last valid revision, as an anchor for a slot that is made now.
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// BLAKE3 of the last valid revision; zeros before the first.
    pub fn last(&self) -> [u8; 32] {
        self.last.unwrap_or_default()
    }

    /// Takes the object that stands at a number, in ascending order of numbers. What is refused is passed over: the chain
    /// stays where it was. A number that is missing or refused breaks only the link by hash, which then says nothing.
    pub fn follow(&mut self, number: u32, bytes: &[u8]) -> Result<KeysetRevision, CryptoError> {
        const WHAT: &str = "keyset revision";
        let revision = KeysetRevision::decode(bytes).map_err(|source| CryptoError::Keyset { source })?;
        let stands_where_it_says = revision.repository == self.repository
            && revision.revision == number
            && number > self.anchor.revision;
        if !stands_where_it_says {
            return Err(CryptoError::NotAuthentic { what: WHAT });
        }
        verify(WHAT, &self.anchor.authority, &keyset_message(&revision), &revision.signature)?;
        let is_next = number == self.anchor.revision + 1;
        let links = match self.last {
            Some(last) => revision.previous == last,
            // The first is signed by its own key and has nothing before it.
            None if number == 1 => {
                revision.previous == [0; 32] && revision.authority == self.anchor.authority
            }
            None => true,
        };
        if is_next && !links {
            return Err(CryptoError::NotAuthentic { what: WHAT });
        }
        self.anchor = Anchor { revision: number, authority: revision.authority };
        self.last = Some(*blake3::hash(bytes).as_bytes());
        Ok(revision)
    }
}
