//! What a directory of manifests does beyond the contract of every store.

#[path = "directory/fixture.rs"]
mod fixture;

#[path = "directory/broken.rs"]
mod broken;
#[path = "directory/outage.rs"]
mod outage;
#[path = "directory/records.rs"]
mod records;
#[path = "directory/watching.rs"]
mod watching;
