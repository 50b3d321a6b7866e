//! Sessions of those who only read: what they read stays until they have ended.

use crate::{RepoError, Repository, Snapshot, registration::Registration};
use longshore_crypto::random_bytes;
use longshore_format::{RunId, session::SessionKind};
use longshore_store::Class as StoreClass;

/// While it lives, prune deletes nothing that its reader needs. Ends when dropped.
#[derive(Debug)]
pub struct Reading {
    /// None if the store does not let this reader write: then it is safe all the same, but may find parts gone.
    registration: Option<Registration>,
}

impl Repository {
    /// Protects a snapshot while it is read.
    ///
    /// # Errors
    /// [`crate::Class::Forgotten`] if it was forgotten.
    pub fn begin_reading(&self, snapshot: &Snapshot) -> Result<Reading, RepoError> {
        let registration = self.register_reader(SessionKind::Restore, snapshot.key.run)?;
        if self.is_forgotten(snapshot.key.source, snapshot.key.run)? {
            return Err(RepoError::Forgotten { run: snapshot.key.run.to_string() });
        }
        if let Some(registration) = &registration {
            registration.ready(Some(snapshot.key), Box::new(|| ()))?;
        }
        Ok(Reading { registration })
    }

    /// Protects everything while it is checked: prune deletes nothing until it has ended.
    pub(crate) fn begin_check(&self) -> Result<Reading, RepoError> {
        let registration = self.register_reader(SessionKind::Check, RunId::random(random_bytes()?))?;
        if let Some(registration) = &registration {
            registration.ready(None, Box::new(|| ()))?;
        }
        Ok(Reading { registration })
    }

    fn register_reader(&self, kind: SessionKind, run: RunId) -> Result<Option<Registration>, RepoError> {
        match self.register(kind, run, None) {
            Ok(registration) => Ok(Some(registration)),
            Err(RepoError::Store { source })
                if matches!(source.class(), StoreClass::AccessDenied | StoreClass::Full) =>
            {
                tracing::warn!(
                    error = %crate::error::chain(&source),
                    "this reader cannot announce itself; if prune runs meanwhile, it may have to be run again"
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(registration) = &self.registration
            && let Err(error) = registration.end(true)
        {
            tracing::debug!(error = %crate::error::chain(&error), "the end of reading could not be noted");
        }
    }
}
