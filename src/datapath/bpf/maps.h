// The maps, and the values in them. The same layouts are in src/bpf/codec.rs: a change of one is a
// new layout version (src/bpf.rs) and a step that copies the old one.
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "reasons.h"

#define SMALLEST_BLOCK_BITS 7
#define SLOTS (65536 >> SMALLEST_BLOCK_BITS)

// An address of either family, in network order; IPv4 as ::ffff:a.b.c.d; all zero for none.
struct addr {
	__u32 w[4];
};

enum state {
	STANDBY = 1,
	COMING = 2,
	HELD = 3,
	LEAVING = 4,
	// The key is a wire address; `wire` is the egress address that it stands for.
	ALIAS = 5,
	// The key is no egress address but one of the node's own, on an uplink.
	HOST = 6,
};

// The wire address is an address of the node itself: what is in no block is the node's own, and so
// are ARP and NDP. Of an egress address that no gateway answers for, all is.
#define SHARED 1
// The egress address is on an interface of the node, and a gateway answers for it: what arrives
// here for no block is the node's own, and no more.
#define LOCAL 2

struct address {
	__u64 valid_until; // CLOCK_BOOTTIME, ns; all ones where no deadline is armed
	struct addr holder;
	struct addr wire;
	struct addr next_hop;
	__u32 uplink;
	__u8 mac[6];
	__u8 state;
	__u8 flags;
	// Destinations that share so many leading bits with the address on the wire are neighbours of the uplink; 0
	// for none.
	__u32 on_link_bits;
};

// Replaced as a whole (the kernel links a new element in), so that no packet meets half an entry.
// Preallocated: a takeover must not fail for want of memory.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, struct addr);
	__type(value, struct address);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} addresses SEC(".maps");

// Egress address → number of the director of each 128 ports; 0 for none.
struct slots {
	__u16 director[SLOTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, struct addr);
	__type(value, struct slots);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} blocks SEC(".maps");

// A number is never given to another director while a slot names it: no reader sees half a value.
struct director {
	struct addr target; // where frames for it go
	struct addr other; // its address of the other family, from which frames may come too
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct director);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} directors SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct addr);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} gateways SEC(".maps");

struct config {
	struct addr self4;
	struct addr self6;
	__u32 tunnel; // index of the tunnel device
	__u32 vni;
	__u32 relay_vni;
	__u32 mtu4; // the longest IP packet that fits the tunnel over IPv4
	__u32 mtu6; // and over IPv6
	// 0: the agent that wrote this leaves `pod_sources` alone, which may be of former pods. 2: its rules say what
	// has passed them.
	__u32 guards;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct config);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} config SEC(".maps");

// What a first fragment's port decided, for those that follow it and carry no port.
struct fragment {
	struct addr source;
	struct addr destination;
	__u32 id;
	__u32 protocol;
};

struct fragment_owner {
	__u64 until;
	__u32 director;
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fragment);
	__type(value, struct fragment_owner);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} fragments SEC(".maps");

// When a sender outside was last told that its packets are too big.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct addr);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} told_too_big SEC(".maps");

// Room for reasons of later versions: the array stays what it is as long as it is pinned.
#define COUNTERS 64

_Static_assert(REASONS <= COUNTERS, "more reasons than counters");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} counters SEC(".maps");

static __always_inline void count(enum reason reason)
{
	__u32 key = reason;
	__u64 *value = bpf_map_lookup_elem(&counters, &key);

	if (value)
		*value += 1;
}

static __always_inline int drop(enum reason reason)
{
	count(reason);
	return TC_ACT_SHOT;
}

// "Not decided here": the next program or the stack goes on, under tcx and under clsact.
#define PASS TC_ACT_UNSPEC

static __always_inline struct config *configuration(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&config, &key);
}

static __always_inline int same(const struct addr *a, const struct addr *b)
{
	return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2] && a->w[3] == b->w[3];
}

static __always_inline int none(const struct addr *a)
{
	return !(a->w[0] | a->w[1] | a->w[2] | a->w[3]);
}

// What differs in the word that begins after `before` of the leading bits.
static __always_inline __u32 differs(__u32 bits, __u32 before, __u32 a, __u32 b)
{
	__u32 here = bits > before ? bits - before : 0;
	__u32 mask = here >= 32 ? ~0u : here ? ~0u << (32 - here) : 0;

	return (a ^ b) & bpf_htonl(mask);
}

static __always_inline int is_on_link(__u32 bits, const struct addr *own, const struct addr *to)
{
	return bits && !(differs(bits, 0, own->w[0], to->w[0]) | differs(bits, 32, own->w[1], to->w[1]) |
			 differs(bits, 64, own->w[2], to->w[2]) | differs(bits, 96, own->w[3], to->w[3]));
}

static __always_inline int is_v4(const struct addr *a)
{
	return a->w[0] == 0 && a->w[1] == 0 && a->w[2] == bpf_htonl(0xffff);
}

static __always_inline int is_multicast(const struct addr *a)
{
	if (is_v4(a))
		return (a->w[3] & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000);
	return (a->w[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
}

static __always_inline void set_v4(struct addr *a, __u32 v4)
{
	a->w[0] = 0;
	a->w[1] = 0;
	a->w[2] = bpf_htonl(0xffff);
	a->w[3] = v4;
}

static __always_inline int is_self(const struct config *c, const struct addr *a)
{
	return !none(a) && (same(a, &c->self4) || same(a, &c->self6));
}

static __always_inline int is_own_block(const struct config *c, const struct director *d)
{
	return is_self(c, &d->target) || is_self(c, &d->other);
}

// The entry of an egress address or, through its alias, of a wire address. `*flags` are those of
// what is on the wire.
static __always_inline struct address *resolve(const struct addr *on_wire, struct addr *canonical,
					       __u8 *flags)
{
	struct address *entry = bpf_map_lookup_elem(&addresses, on_wire);

	*canonical = *on_wire;
	*flags = entry ? entry->flags : 0;
	if (entry && entry->state == HOST)
		return NULL;
	if (entry && entry->state == ALIAS) {
		*canonical = entry->wire;
		entry = bpf_map_lookup_elem(&addresses, canonical);
	}
	return entry;
}

static __always_inline int in_time(const struct address *entry)
{
	return bpf_ktime_get_boot_ns() < entry->valid_until;
}

// Whether this node may answer for, and announce, the address on this link now.
static __always_inline int may_speak(const struct address *entry, __u32 link)
{
	return entry->state == HELD && entry->uplink == link && in_time(entry);
}
