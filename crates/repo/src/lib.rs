//! The repository on top of an object store
