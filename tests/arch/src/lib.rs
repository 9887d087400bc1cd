//! Layer rules and other invariants of the repository, as tests.
