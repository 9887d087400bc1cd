// Flows without a first packet that says so: UDP, ICMP echo, SCTP, and what has no ports. What a pod sends past
// netfilter belongs to a flow that may go on where its other end has spoken lately, or where it passed netfilter
// before.
#pragma once

#include "parse.h"

// From when on such packets may be dropped, CLOCK_BOOTTIME in ns: by then whoever speaks was heard. 0 until the
// agent's rules give evidence; nobody is listened to until then.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} acts_from SEC(".maps");

// What a program does not hear: frames that are another host's, or a VLAN device's above.
#define PACKET_OTHERHOST 3
#define VLAN_ID 0xfff

struct flow_end {
	struct addr remote;
	__be16 remote_port;
	__be16 port; // here, or the identifier of an echo; 0 for any
	__u32 protocol;
};

// Who was heard, and when. In LRU order: who is looked up stays.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct flow_end);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} heard SEC(".maps");

// As long as conntrack keeps a stream (nf_conntrack_udp_timeout_stream). The same is in src/bpf/uplink_guard.rs.
#define HEARD_NS 120000000000ull
#define WRITTEN_AGAIN_NS 1000000000ull

// Linux gives sockets without a port of their own one from here on, and the CNIs that translate in BPF keep to that
// too: what arrives below is for a service, whose pod may have another port.
#define FIRST_EPHEMERAL_PORT 32768

static __always_inline __u64 listens_from(void)
{
	__u32 key = 0;
	__u64 *from = bpf_map_lookup_elem(&acts_from, &key);

	return from ? *from : 0;
}

// 0 where the packet begins no flow (LEAVES), or answers none (ARRIVES): errors, an answer to an echo.
static __always_inline int read_flow_end(struct __sk_buff *skb, const struct packet *p, int direction,
					 struct flow_end *end)
{
	__be16 ports[2];
	__u8 echo[8];
	__u8 expected;

	end->remote = direction == LEAVES ? p->destination : p->source;
	end->protocol = p->protocol;
	if (is_port_protocol(p->protocol)) {
		if (bpf_skb_load_bytes(skb, p->l4, ports, sizeof(ports)))
			return 0;
		end->remote_port = direction == LEAVES ? ports[1] : ports[0];
		end->port = direction == LEAVES ? ports[0] : ports[1];
		return 1;
	}
	if (p->protocol != (p->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return 1;
	if (bpf_skb_load_bytes(skb, p->l4, echo, sizeof(echo)))
		return 0;
	if (p->v6)
		expected = direction == LEAVES ? ICMPV6_ECHO_REQUEST : ICMPV6_ECHO_REPLY;
	else
		expected = direction == LEAVES ? ICMP_ECHO : ICMP_ECHOREPLY;
	__builtin_memcpy(&end->port, echo + 4, sizeof(end->port));
	return echo[0] == expected;
}

static __always_inline void note_flow(const struct flow_end *end)
{
	__u64 *at = bpf_map_lookup_elem(&heard, end);
	__u64 now = bpf_ktime_get_boot_ns();

	if (!at)
		bpf_map_update_elem(&heard, end, &now, BPF_ANY);
	else if (now - *at > WRITTEN_AGAIN_NS)
		*at = now;
}

static __always_inline int goes_on(const struct flow_end *end)
{
	__u64 *at = bpf_map_lookup_elem(&heard, end);
	__u64 now = bpf_ktime_get_boot_ns();

	if (!at || now - *at > HEARD_NS)
		return 0;
	if (now - *at > WRITTEN_AGAIN_NS)
		*at = now;
	return 1;
}

// The kernel's own end of a tunnel: VXLAN (Linux's older port too), Geneve, WireGuard, IPsec, Egret. Their source ports
// are many, and would push everybody else out of the map.
static __always_inline int ends_in_kernel(__be16 port)
{
	switch (bpf_ntohs(port)) {
	case 4789:
	case 8472:
	case 6081:
	case 51820:
	case 51871: // Cilium's WireGuard
	case 4500:
	case 5480:
		return 1;
	default:
		return 0;
	}
}

// What comes in by an uplink and is no gateway's business: a pod may answer it, or has asked.
static __noinline int listen(struct __sk_buff *skb, const struct packet *arrived)
{
	struct packet p = *arrived;
	struct flow_end end = {};

	if (!listens_from() || read_protocol(skb, &p) || p.part == LATER ||
	    p.protocol == IPPROTO_TCP || !read_flow_end(skb, &p, ARRIVES, &end))
		return 0;
	if (p.protocol == IPPROTO_UDP && ends_in_kernel(end.port))
		return 0;
	if (is_port_protocol(p.protocol) && bpf_ntohs(end.port) < FIRST_EPHEMERAL_PORT)
		end.port = 0;
	note_flow(&end);
	return 0;
}

// The rest of a datagram whose first fragment was dropped.
#define DROPPED_DIRECTOR (~0u)

static __always_inline struct fragment fragment_of(const struct packet *p)
{
	struct fragment key = {
		.source = p->source,
		.destination = p->destination,
		.id = p->fragment_id,
		.protocol = p->fragment_protocol,
	};

	return key;
}

static __always_inline int is_rest_of_dropped(const struct packet *p)
{
	struct fragment key = fragment_of(p);
	struct fragment_owner *owner = bpf_map_lookup_elem(&fragments, &key);

	return owner && owner->director == DROPPED_DIRECTOR && owner->until >= bpf_ktime_get_boot_ns();
}

static __always_inline void note_dropped(const struct packet *p)
{
	struct fragment_owner owner = {
		.until = bpf_ktime_get_boot_ns() + REMEMBERED_NS,
		.director = DROPPED_DIRECTOR,
	};
	struct fragment key = fragment_of(p);

	bpf_map_update_elem(&fragments, &key, &owner, BPF_ANY);
}
