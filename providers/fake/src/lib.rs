//! An in-memory cloud with capacity, latency and a fault script.
