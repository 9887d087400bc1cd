//! The BPF programs on real packets: a world, gateways and directors in network namespaces of
//! their own. Needs root, iproute2 and nftables.

#[path = "bpf_programs/announcing.rs"]
mod announcing;
#[path = "bpf_programs/connections.rs"]
mod connections;
#[path = "bpf_programs/errors.rs"]
mod errors;
#[path = "bpf_programs/forwarding.rs"]
mod forwarding;
#[path = "bpf_programs/net.rs"]
mod net;
#[path = "bpf_programs/packets.rs"]
mod packets;
#[path = "bpf_programs/pins.rs"]
mod pins;
#[path = "bpf_programs/relaying.rs"]
mod relaying;
#[path = "bpf_programs/resolving.rs"]
mod resolving;
