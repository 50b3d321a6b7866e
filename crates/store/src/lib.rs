//! The only door to object storage
