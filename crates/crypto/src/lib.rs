//! Key hierarchy, AEAD, KDF, keyed ids and secret types of a repository
