//! The Kubernetes API as a store, on a real API server.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "kubernetes/fixture.rs"]
mod fixture;

#[path = "kubernetes/api_servers.rs"]
mod api_servers;
#[path = "kubernetes/contract.rs"]
mod contract;
#[path = "kubernetes/endpoint.rs"]
mod endpoint;
#[path = "kubernetes/nirmata.rs"]
mod nirmata;
#[path = "kubernetes/objects.rs"]
mod objects;
#[path = "kubernetes/odd.rs"]
mod odd;
#[path = "kubernetes/outage.rs"]
mod outage;
#[path = "kubernetes/scale.rs"]
mod scale;
#[path = "kubernetes/watching.rs"]
mod watching;
