// What leaves an uplink past netfilter: a CNI that forwards in eBPF shows none of it to the rules. The last
// place that sees it is here, with the pod's own address as source.
#pragma once

#include "heard.h"
#include "neighbour.h"

struct source_range {
	__u32 prefix_length;
	struct addr address;
};

// Sources that claims select → the number of a set of destinations in `selected_destinations`.
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct source_range);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} pod_sources SEC(".maps");

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

	return !!bpf_map_lookup_elem(&selected_destinations, &key);
}

static __always_inline int is_first_segment(struct __sk_buff *skb, const struct packet *p)
{
	__u8 flags = 0;

	return !bpf_skb_load_bytes(skb, p->l4 + TCP_FLAGS, &flags, sizeof(flags)) &&
	       (flags & (SYN | ACK)) == SYN;
}

// With an egress address and a port of this node, but not by the tunnel: somebody's flowtable takes connections past
// routing and the rules. Where the host has the address itself it may be its own connection.
static __always_inline int has_left_the_tunnel(struct __sk_buff *skb, struct config *c, struct packet *p)
{
	struct address *entry = bpf_map_lookup_elem(&addresses, &p->source);
	struct director director = {};

	if (!entry || entry->state >= ALIAS || entry->flags & (SHARED | LOCAL))
		return 0;
	return !read_transport(skb, p, LEAVES) && !find_director(p, &p->source, &director) &&
	       is_own_block(c, &director);
}

// What the rules' last chain sets on what passes netfilter: a pod's packet of a selected pair that goes the node's
// way all the same. The same is in src/nft/rules.rs.
#define PASSED_PRIORITY 0x40000000

// Takes its place from the first uplink on: nobody's queues meet the bit, and the programs of a link below know
// what the one above has seen.
#define PASSED_INDEX 0x6568

static __always_inline int has_passed(struct __sk_buff *skb)
{
	if (!(skb->priority & PASSED_PRIORITY))
		return skb->tc_index == PASSED_INDEX;
	skb->priority &= ~PASSED_PRIORITY;
	skb->tc_index = PASSED_INDEX;
	return 1;
}

// Of a flow that no packet opens. Of the pod's own: what is no flow's beginning, goes on or passed netfilter.
static __noinline int check_flow(struct __sk_buff *skb, const struct packet *p, __u32 set, int passed)
{
	struct flow_end end = {};
	__u64 from = listens_from();

	if (!from)
		return PASS;
	if (p->part == LATER)
		return !passed && is_rest_of_dropped(p) ? drop(BYPASSED) : PASS;
	if (!read_flow_end(skb, p, LEAVES, &end))
		return PASS;
	if (passed) {
		note_flow(&end);
		return PASS;
	}
	if (!is_selected(set, &p->destination) || goes_on(&end))
		return PASS;
	if (end.port) {
		end.port = 0;
		if (goes_on(&end))
			return PASS;
	}
	if (bpf_ktime_get_boot_ns() < from)
		return PASS;
	if (p->part == FIRST)
		note_dropped(p);
	return drop(BYPASSED);
}

// What is about to leave past netfilter. With a pod's own address: dropped where it begins what a claim selects.
static __noinline int check_bypass(struct __sk_buff *skb)
{
	struct config *c = configuration();
	int passed = has_passed(skb);
	struct packet p = {};
	__u32 *set;

	if (!c || read_ip(skb, &p))
		return PASS;
	note_icmp(skb, &p, EGRESS_ICMP);
	if (!passed && has_left_the_tunnel(skb, c, &p))
		return drop(OUTSIDE_TUNNEL);
	set = set_of(&p.source);
	if (!set || read_protocol(skb, &p))
		return PASS;
	if (p.protocol != IPPROTO_TCP)
		return check_flow(skb, &p, *set, passed);
	if (p.part == LATER || !is_first_segment(skb, &p))
		return PASS;
	return is_selected(*set, &p.destination) ? drop(BYPASSED) : PASS;
}
