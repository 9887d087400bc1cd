//! The BPF programs on real packets: a world, gateways and directors in network namespaces of
//! their own. Needs root, iproute2 and nftables.

#[cfg(test)]
#[path = "bpf_programs/announcing.rs"]
mod announcing;
#[cfg(test)]
#[path = "bpf_programs/bypass.rs"]
mod bypass;
#[cfg(test)]
#[path = "bpf_programs/connections.rs"]
mod connections;
#[cfg(test)]
#[path = "bpf_programs/errors.rs"]
mod errors;
#[cfg(test)]
#[path = "bpf_programs/flows.rs"]
mod flows;
#[cfg(test)]
#[path = "bpf_programs/forwarding.rs"]
mod forwarding;
#[cfg(test)]
#[path = "bpf_programs/host_part.rs"]
mod host_part;
#[cfg(test)]
#[path = "bpf_programs/net.rs"]
mod net;
#[cfg(test)]
#[path = "bpf_programs/packets.rs"]
mod packets;
#[cfg(test)]
#[path = "bpf_programs/pins.rs"]
mod pins;
#[cfg(test)]
#[path = "bpf_programs/probing.rs"]
mod probing;
#[cfg(test)]
#[path = "bpf_programs/proving.rs"]
mod proving;
#[cfg(test)]
#[path = "bpf_programs/relaying.rs"]
mod relaying;
#[cfg(test)]
#[path = "bpf_programs/resolving.rs"]
mod resolving;
#[cfg(test)]
#[path = "bpf_programs/second_uplink.rs"]
mod second_uplink;
