//! The names of the programs' counters: the one list, from which the build also makes the C enum.
//! A new one is appended: the kernel's counters are an array that survives upgrades.

/// One counter of the BPF programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropReason {
    /// Its name in metrics and in `egret explain --live`.
    pub name: &'static str,
    /// Whether the packets counted were dropped; else they were forwarded or answered.
    pub drop: bool,
    /// What it says when it grows.
    pub meaning: &'static str,
    /// What to do; empty where nothing has to be done.
    pub remedy: &'static str,
}

const fn done(name: &'static str, meaning: &'static str) -> DropReason {
    DropReason { name, drop: false, meaning, remedy: "" }
}

const fn drop(name: &'static str, meaning: &'static str, remedy: &'static str) -> DropReason {
    DropReason { name, drop: true, meaning, remedy }
}

/// Every counter, in the order of the kernel's array. The first is never a drop, so that 0 can
/// mean "no reason to drop" in the programs.
pub const REASONS: &[DropReason] = &[
    done("to_world", "A gateway sent a pod's packet out of its uplink."),
    done("to_holder", "A director sent a pod's packet through the tunnel to the holder."),
    done(
        "to_director",
        "A gateway sent a packet from outside through the tunnel to the director of its port.",
    ),
    done(
        "to_local_director",
        "A packet from outside arrived on the gateway that is its own director.",
    ),
    done("to_pod", "A director took a packet from the tunnel and gave it to the host's stack."),
    done(
        "relayed",
        "A gateway that is no longer the holder sent a pod's packet on to the holder, once.",
    ),
    done("arp_answered", "An ARP request for an address held here was answered."),
    done("ndp_answered", "A neighbour solicitation for an address held here was answered."),
    done(
        "too_big_answered",
        "A packet from outside did not fit the tunnel and its sender was told the size that does.",
    ),
    drop(
        "no_holder",
        "Nobody holds the egress address of the packet.",
        "Look at the address's conditions (egret status): is a gateway ready, is a majority of the voters there?",
    ),
    drop(
        "lease_expired",
        "This node's lease on the address has ended, so it sends nothing to the world.",
        "None if it lasts under a second (a takeover follows). Else look at the agent here: is it running, does it reach a majority of the voters?",
    ),
    drop(
        "not_held",
        "This node is named as the holder but does not hold the address.",
        "None if it lasts under a second (a move). Else look at the address's condition Conflict: another host may have it. Else restart the agent of this node and report it.",
    ),
    drop(
        "no_uplink",
        "The address is held here without an uplink to send from.",
        "Check that the uplink of this gateway is up and has an address of the pool's subnet.",
    ),
    drop(
        "no_block",
        "The port of the packet is in no block that is leased to a node: mostly scans from outside.",
        "None for traffic from outside. For a pod's own traffic: has its node's block been granted (egret status)?",
    ),
    drop(
        "foreign_block",
        "A frame's port lies in a block that is not leased to the node that sent it: forged, or the block was taken from that node.",
        "If it goes on: find the sender. A pod that forges frames is dropped in its node's forward hook; is Egret's guard in place there?",
    ),
    drop(
        "relay_from_stranger",
        "A frame on the relay's VNI came from an address that is no gateway's.",
        "None if a gateway has just joined. Else find the sender.",
    ),
    drop(
        "relayed_twice",
        "A relayed frame arrived at a gateway that is not the holder either; it is never sent on again.",
        "None if it lasts under a second (a move). Else two gateways disagree about the holder: compare egret status on both.",
    ),
    drop(
        "unknown_vni",
        "A frame on the tunnel's port has a VNI that is not Egret's.",
        "Another overlay uses the same UDP port: change one of the two.",
    ),
    drop(
        "not_from_tunnel",
        "A packet appeared on the tunnel device that did not come through the tunnel.",
        "Find the program on this host that injects packets there.",
    ),
    drop(
        "not_director",
        "A frame from the tunnel is for no port block of this node.",
        "None if a block has just moved. Else find the sender.",
    ),
    drop(
        "not_egress_address",
        "A packet with a source that is no egress address was about to enter the tunnel.",
        "Another program routes packets to the tunnel device, or SNATs before Egret: look for it with `ip rule` and `nft list ruleset`.",
    ),
    drop(
        "device_chatter",
        "The host's own multicast (MLD, router solicitations) on the tunnel device.",
        "None: it is expected and harmless.",
    ),
    drop(
        "malformed",
        "The packet is shorter than its headers say, or quotes another packet than it answers.",
        "None from outside. From a pod: look at what it sends.",
    ),
    drop("not_ip", "A frame in the tunnel is neither IPv4 nor IPv6.", "Find the sender."),
    drop(
        "unsupported_protocol",
        "The protocol has no port (only TCP, UDP, SCTP, ICMP echo and ICMP errors are carried).",
        "Exclude the destination from the claim if a pod needs that protocol.",
    ),
    drop(
        "fragment_without_first",
        "A fragment arrived whose first fragment has not been seen here, so that its port is unknown.",
        "None if rare (fragments out of order, a move). Else lower the MTU of the sender.",
    ),
    drop(
        "too_big",
        "A packet from outside did not fit the tunnel, and its sender was not told: told just before, or no error may be sent about it.",
        "None if too_big_answered grows too. Else raise the MTU between the nodes by 50 (IPv4) or 70 (IPv6).",
    ),
    drop(
        "asked_not_held",
        "An ARP request or neighbour solicitation for an address that this node does not hold; only the holder answers.",
        "None: every standby sees these.",
    ),
    drop(
        "announcement_not_held",
        "This node was about to announce an address that it does not hold: an agent woke too late, or another program has the address.",
        "Check that no interface of this node carries the egress address (`ip addr`).",
    ),
    drop(
        "kernel_refused",
        "The kernel refused to rewrite or encapsulate the packet.",
        "Report it with the kernel's version; `egret explain --live` shows which other counters grow.",
    ),
    drop(
        "destination_is_here",
        "A pod's packet is for an address of its own gateway: an egress address that it holds or has on an interface, or an address of its uplink. Nobody outside would answer.",
        "Let the pod use the Service, or exclude the destination from the claim. Is an egress address on an interface here (`ip addr`)? Then take it off, or out of the pool.",
    ),
    drop(
        "bypassed",
        "A selected pod's new connection or flow was about to leave an uplink, or another Ethernet link with a route out, with the pod's own address: the CNI forwards past the host's netfilter, or a proxy on the host sends for the pod.",
        "Switch the CNI to the host's stack (DatapathBypassed of the node says more), or exclude from the claim what a proxy on the host sends.",
    ),
    drop(
        "outside_tunnel",
        "A packet with an egress address was about to leave an uplink of its director: a flowtable of another program, or a CNI's own fast path, carries the connection past the host's routing.",
        "Leave steered connections out of it, by their mark, before `flow add` in nftables (DatapathBypassed of the node has the line).",
    ),
    done(
        "probe_answered",
        "A director asked through the tunnel whether the holder here is reached, and was answered.",
    ),
    done("to_pod_ipv6", "Of the packets that to_pod counts those of IPv6."),
];
