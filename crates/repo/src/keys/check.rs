use crate::{
    Class, RepoError, Repository,
    error::chain,
    keys::{
        Loaded, load,
        load::{read_revisions, revisions},
    },
    open::read_config_at,
};
use longshore_format::{
    keyset::KeysetRevision,
    names,
    slot::{SLOT_BYTES, SlotKind},
};
use longshore_store::Class as StoreClass;

impl Repository {
    /// Tells of every keyset revision and every slot object that is not as it was written, also those that this key does not
    /// need: somebody else's may depend on it.
    pub(crate) fn check_keys(&self, problem: &mut dyn FnMut(&str, &str)) -> Result<(), RepoError> {
        let loaded = load(&self.io, self.id(), &self.slot)?;
        self.check_revisions(&loaded, problem)?;
        self.check_configurations(problem)?;
        for slot in loaded.keyset.slots().iter().filter(|slot| slot.kind != SlotKind::Recipient) {
            let name = names::key_slot(self.id(), slot.id);
            match self.io.get(&name, SLOT_BYTES as u64) {
                Ok(bytes) if *blake3::hash(&bytes).as_bytes() == slot.object => {}
                Ok(_) => problem(&name, "the key slot is damaged: its owner cannot open the repository"),
                Err(RepoError::Store { source })
                    if matches!(source.class(), StoreClass::NotFound | StoreClass::Corrupt) =>
                {
                    problem(
                        &name,
                        "the key slot is missing or damaged: its owner cannot open the repository",
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Older configurations are not in force, but count again if a newer one is lost.
    fn check_configurations(&self, problem: &mut dyn FnMut(&str, &str)) -> Result<(), RepoError> {
        for object in self.io.list(&names::config_revisions(self.id()))? {
            match read_config_at(&self.io, &self.keys, &object.name) {
                Ok(_) => {}
                Err(error) if matches!(error.class(), Class::Store(class) if class != StoreClass::Corrupt) => {
                    return Err(error);
                }
                Err(error) => problem(&object.name, &chain(&error)),
            }
        }
        Ok(())
    }

    /// Goes back from the revision in force by the hashes that each has of the one before.
    fn check_revisions(&self, loaded: &Loaded, problem: &mut dyn FnMut(&str, &str)) -> Result<(), RepoError> {
        let mut expected = loaded.hash;
        for number in revisions(&self.io, self.id())?.into_iter().rev() {
            let name = names::keyset(self.id(), number);
            let bytes = read_revisions(&self.io, self.id(), &[number])?.pop().unwrap_or_default().1;
            if number > loaded.revision || *blake3::hash(&bytes).as_bytes() != expected {
                problem(&name, "this is no keyset revision of this repository, or it is damaged");
            } else if let Ok(revision) = KeysetRevision::decode(&bytes) {
                expected = revision.previous;
            }
        }
        if expected != [0; 32] {
            problem(
                &names::keyset_revisions(self.id()),
                "a keyset revision is missing or damaged: keys older than it may not open",
            );
        }
        Ok(())
    }
}
