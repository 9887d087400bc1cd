//! Cluster state: objects in, snapshot out; writes by compare-and-swap.
