// What leaves an uplink past netfilter: a CNI that forwards in eBPF shows none of it to the rules. The last
// place that sees it is here, with the pod's own address as source.
#pragma once

#include "parse.h"

struct source_range {
	__u32 prefix_length;
	struct addr address;
};

// Whose sources: 0 the node's pods that no claim selects, NODE_ITSELF its own addresses, else the number
// of the set of destinations in `selected_destinations`.
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct source_range);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} pod_sources SEC(".maps");

#define UNSELECTED 0
#define NODE_ITSELF 0xffffffff

struct destination_range {
	__u32 prefix_length; // with the set's 32 bits
	__u32 set;
	struct addr address;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, struct destination_range);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} selected_destinations SEC(".maps");

// Flows without TCP's SYN between a pod and the world, and when a packet of them was seen last: those that
// the world began, and those that began before a claim selected them.
struct flow {
	struct addr pod;
	struct addr world;
	__be16 pod_port;
	__be16 world_port;
	__u8 protocol;
	__u8 unused[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct flow);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} flows SEC(".maps");

// As long as conntrack keeps a UDP flow that was answered (nf_conntrack_udp_timeout_stream: 120 s), and a
// minute: what it has forgotten is a new flow, which the rules steer.
#define FLOW_ENDS_NS 180000000000ull

#define TCP_FLAGS 13
#define SYN 0x02
#define ACK 0x10

static __always_inline __u32 *set_of(const struct addr *pod)
{
	struct source_range key = { .prefix_length = 128, .address = *pod };

	return bpf_map_lookup_elem(&pod_sources, &key);
}

static __always_inline int is_selected(__u32 set, const struct addr *destination)
{
	struct destination_range key = {
		.prefix_length = 32 + 128,
		.set = set,
		.address = *destination,
	};

	return set != UNSELECTED && bpf_map_lookup_elem(&selected_destinations, &key);
}

// Both ports, the pod's first, or the identifier of an echo request. 0 where there is a flow to remember;
// an answer to an echo request is none, nor is an error.
static __always_inline int read_flow(struct __sk_buff *skb, const struct packet *p, int direction,
				     struct flow *flow)
{
	__be16 ports[2];
	__u8 icmp[8];

	flow->pod = direction == LEAVES ? p->source : p->destination;
	flow->world = direction == LEAVES ? p->destination : p->source;
	flow->protocol = p->protocol;
	if (is_port_protocol(p->protocol)) {
		if (bpf_skb_load_bytes(skb, p->l4, ports, sizeof(ports)))
			return -1;
		flow->pod_port = direction == LEAVES ? ports[0] : ports[1];
		flow->world_port = direction == LEAVES ? ports[1] : ports[0];
	} else if (p->protocol == (p->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
		if (direction == ARRIVES || bpf_skb_load_bytes(skb, p->l4, icmp, sizeof(icmp)))
			return -1;
		if (icmp[0] != (p->v6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO))
			return -1;
		__builtin_memcpy(&flow->pod_port, icmp + 4, sizeof(flow->pod_port));
	}
	return 0;
}

// From the world to a pod's own address: the pod's answers pass.
static __noinline int note_inbound(struct __sk_buff *skb, struct packet *p)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct flow flow = {};
	__u32 *set = set_of(&p->destination);

	if (set && *set != NODE_ITSELF && !read_protocol(skb, p) && p->part != LATER &&
	    p->protocol != IPPROTO_TCP && !read_flow(skb, p, ARRIVES, &flow))
		bpf_map_update_elem(&flows, &flow, &now, BPF_ANY);
	return PASS;
}

static __always_inline int is_first_segment(struct __sk_buff *skb, const struct packet *p)
{
	__u8 flags = 0;

	return !bpf_skb_load_bytes(skb, p->l4 + TCP_FLAGS, &flags, sizeof(flags)) &&
	       (flags & (SYN | ACK)) == SYN;
}

// A pod's packet about to leave with the pod's own address. Dropped where it begins a flow that a claim
// selects; until the node has learnt its flows, those without TCP's SYN are noted only.
static __noinline int check_bypass(struct __sk_buff *skb, struct config *c)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct packet p = {};
	struct flow flow = {};
	__u64 *seen;
	__u32 *set;

	if (!c || read_ip(skb, &p))
		return PASS;
	set = set_of(&p.source);
	if (!set || *set == NODE_ITSELF || read_protocol(skb, &p) || p.part == LATER)
		return PASS;
	if (p.protocol == IPPROTO_TCP) {
		if (*set == UNSELECTED || !is_first_segment(skb, &p))
			return PASS;
		return is_selected(*set, &p.destination) ? drop(BYPASSED) : PASS;
	}
	if (read_flow(skb, &p, LEAVES, &flow))
		return PASS;
	seen = bpf_map_lookup_elem(&flows, &flow);
	if (seen && now - *seen < FLOW_ENDS_NS) {
		*seen = now;
		return PASS;
	}
	if (now >= c->learns_until * 1000000000ull && is_selected(*set, &p.destination))
		return drop(BYPASSED);
	bpf_map_update_elem(&flows, &flow, &now, BPF_ANY);
	return PASS;
}
