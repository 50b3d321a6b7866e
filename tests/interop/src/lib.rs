//! Nothing but tests: `reader/` holds a reader of repositories in Python, written from `docs/format.md` alone, and `tests/it` lets
//! it open, prove and restore what the real engine wrote. Where the reader had to guess, the document is wrong.
