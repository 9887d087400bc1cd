//! What people write: every sentence about a fault, the examples, and bytes that are no manifest.

#[path = "manifests/clouds.rs"]
mod clouds;
#[path = "manifests/examples.rs"]
mod examples;
#[path = "manifests/fuzz.rs"]
mod fuzz;
#[path = "manifests/mutated.rs"]
mod mutated;
#[path = "manifests/nirmata.rs"]
mod nirmata;
#[path = "manifests/refused.rs"]
mod refused;
#[path = "manifests/roundtrip.rs"]
mod roundtrip;
