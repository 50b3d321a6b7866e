//! Fakes, fault store and conformance suites for tests
