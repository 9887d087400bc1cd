//! What a directory of manifests does beyond the contract of every store.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "directory/fixture.rs"]
mod fixture;

#[path = "directory/anew.rs"]
mod anew;
#[path = "directory/broken.rs"]
mod broken;
#[path = "directory/odd.rs"]
mod odd;
#[path = "directory/outage.rs"]
mod outage;
#[path = "directory/records.rs"]
mod records;
#[path = "directory/watching.rs"]
mod watching;
