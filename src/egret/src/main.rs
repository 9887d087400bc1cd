//! Static egress IPs for Kubernetes that survive node failure.
fn main() {}
