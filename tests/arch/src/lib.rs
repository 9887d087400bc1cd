//! Rules of the repository as functions: what they read is passed in, what breaks them comes out
//! as sentences. `tests/repository.rs` runs them over the repository itself.
//!
//! State: none. Always: every rule has a unit test that shows it refusing something, so that a
//! rule which cannot fail is noticed.
#![forbid(unsafe_code)]

pub mod circles;
pub mod citations;
pub mod layers;
pub mod manifests;
pub mod names;
pub mod repository;
pub mod rust;
pub mod sources;
pub mod unused;
