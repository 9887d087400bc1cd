// Headers → struct packet. bpf_skb_load_bytes throughout: frames may be in pages (GRO).
#pragma once

#include <linux/icmpv6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "icmp.h"
#include "maps.h"

#define L3 ETH_HLEN
// No UAPI header has them: programs of user space get them from the C library.
#define AF_INET 2
#define AF_INET6 10
#define EXTENSIONS 6

// Seen from the egress address: does the packet leave it or go to it?
enum direction { LEAVES, ARRIVES };

enum part { WHOLE, FIRST, LATER };

struct packet {
	struct addr source;
	struct addr destination;
	__u32 fragment_id;
	__u16 l4; // offset of the transport header
	__u16 quoted; // offset of the IP header that an ICMP error quotes; 0 for none
	__u16 port; // on the egress address's side
	__u8 protocol;
	__u8 fragment_protocol;
	__u8 v6;
	__u8 part;
	__u8 keep_whole; // IPv6, or DF is set
};

static __always_inline int read_v4(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr ip;
	__u16 offset;

	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return MALFORMED;
	set_v4(&p->source, ip.saddr);
	set_v4(&p->destination, ip.daddr);
	offset = bpf_ntohs(ip.frag_off);
	p->part = offset & 0x1fff ? LATER : offset & 0x2000 ? FIRST : WHOLE;
	p->keep_whole = !!(offset & 0x4000);
	p->fragment_id = ip.id;
	p->protocol = ip.protocol;
	p->fragment_protocol = ip.protocol;
	p->l4 = L3 + ip.ihl * 4;
	return 0;
}

static __always_inline int read_v6(struct __sk_buff *skb, struct packet *p)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)) || ip.version != 6)
		return MALFORMED;
	__builtin_memcpy(&p->source, &ip.saddr, sizeof(p->source));
	__builtin_memcpy(&p->destination, &ip.daddr, sizeof(p->destination));
	p->v6 = 1;
	p->keep_whole = 1;
	p->protocol = ip.nexthdr;
	p->l4 = L3 + sizeof(ip);
	return 0;
}

// Addresses and first protocol. 0, or the reason to drop.
static __always_inline int read_ip(struct __sk_buff *skb, struct packet *p)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return read_v4(skb, p);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return read_v6(skb, p);
	return NOT_IP;
}

struct extension {
	__u8 next;
	__u8 length;
	__u16 fragment; // of a fragment header: offset in units of 8, 2 bits, more
	__u32 id;
};

struct walk {
	__u32 fragment_id;
	__u16 offset;
	__u8 protocol;
	__u8 fragment_protocol;
	__u8 part;
};

// Steps over IPv6 extension headers (RFC 8200 section 4).
static __noinline int step_over(struct __sk_buff *skb, struct walk *w)
{
	struct extension e;

	for (int i = 0; i < EXTENSIONS; i++) {
		__u8 at = w->protocol;

		if (at != IPPROTO_HOPOPTS && at != IPPROTO_ROUTING && at != IPPROTO_DSTOPTS &&
		    at != IPPROTO_FRAGMENT && at != IPPROTO_AH)
			return 0;
		if (bpf_skb_load_bytes(skb, w->offset, &e, sizeof(e)))
			return MALFORMED;
		w->protocol = e.next;
		if (at == IPPROTO_FRAGMENT) {
			__u16 where = bpf_ntohs(e.fragment);

			w->offset += sizeof(e);
			w->fragment_id = e.id;
			w->fragment_protocol = e.next;
			w->part = where & 0xfff8 ? LATER : where & 1 ? FIRST : WHOLE;
			if (w->part == LATER)
				return 0;
		} else if (at == IPPROTO_AH) {
			w->offset += (e.length + 2) * 4;
		} else {
			w->offset += (e.length + 1) * 8;
		}
	}
	return UNSUPPORTED_PROTOCOL;
}

static __always_inline int is_port_protocol(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

// The port, or echo identifier, on the egress address's side of the packet that an ICMP error
// quotes: that packet went the other way. The quoted address has to be the egress address.
static __noinline int read_quoted(struct __sk_buff *skb, struct packet *p, int direction)
{
	struct addr quoted = {};
	struct walk w = {};
	__u16 ports[2];
	__u8 echo[8];

	if (p->v6) {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, p->quoted, &ip, sizeof(ip)) || ip.version != 6)
			return MALFORMED;
		w.protocol = ip.nexthdr;
		w.offset = p->quoted + sizeof(ip);
		if (step_over(skb, &w))
			return MALFORMED;
		if (direction == ARRIVES)
			__builtin_memcpy(&quoted, &ip.saddr, sizeof(quoted));
		else
			__builtin_memcpy(&quoted, &ip.daddr, sizeof(quoted));
	} else {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, p->quoted, &ip, sizeof(ip)) || ip.version != 4 ||
		    ip.ihl < 5)
			return MALFORMED;
		w.protocol = ip.protocol;
		w.offset = p->quoted + ip.ihl * 4;
		w.part = ip.frag_off & bpf_htons(0x1fff) ? LATER : WHOLE;
		set_v4(&quoted, direction == ARRIVES ? ip.saddr : ip.daddr);
	}
	if (!same(&quoted, direction == ARRIVES ? &p->destination : &p->source) || w.part == LATER)
		return MALFORMED;
	if (is_port_protocol(w.protocol)) {
		if (bpf_skb_load_bytes(skb, w.offset, ports, sizeof(ports)))
			return MALFORMED;
		p->port = bpf_ntohs(direction == ARRIVES ? ports[0] : ports[1]);
		return 0;
	}
	if (w.protocol != IPPROTO_ICMP && w.protocol != IPPROTO_ICMPV6)
		return UNSUPPORTED_PROTOCOL;
	if (bpf_skb_load_bytes(skb, w.offset, echo, sizeof(echo)))
		return MALFORMED;
	if (echo[0] != ICMP_ECHO && echo[0] != ICMP_ECHOREPLY && echo[0] != ICMPV6_ECHO_REQUEST &&
	    echo[0] != ICMPV6_ECHO_REPLY)
		return UNSUPPORTED_PROTOCOL;
	p->port = (__u16)echo[4] << 8 | echo[5];
	return 0;
}

// An egress address asks (echo request) and is answered (echo reply), never the other way round:
// nothing answers on it.
static __always_inline int read_icmp(struct __sk_buff *skb, struct packet *p, int direction)
{
	__u8 icmp[8];
	__u8 echo;
	int is_error;

	if (bpf_skb_load_bytes(skb, p->l4, icmp, sizeof(icmp)))
		return MALFORMED;
	if (p->v6) {
		echo = direction == LEAVES ? ICMPV6_ECHO_REQUEST : ICMPV6_ECHO_REPLY;
		is_error = icmp[0] < 128;
	} else {
		echo = direction == LEAVES ? ICMP_ECHO : ICMP_ECHOREPLY;
		is_error = icmp[0] == ICMP_DEST_UNREACH || icmp[0] == ICMP_TIME_EXCEEDED ||
			   icmp[0] == ICMP_PARAMETERPROB;
	}
	if (icmp[0] == echo) {
		p->port = (__u16)icmp[4] << 8 | icmp[5];
		return 0;
	}
	if (!is_error)
		return UNSUPPORTED_PROTOCOL;
	p->quoted = p->l4 + 8;
	return read_quoted(skb, p, direction);
}

// Transport protocol and where its header is. 0, or the reason to drop.
static __always_inline int read_protocol(struct __sk_buff *skb, struct packet *p)
{
	struct walk w = { .offset = p->l4, .protocol = p->protocol };
	int reason;

	if (!p->v6)
		return 0;
	reason = step_over(skb, &w);
	if (reason)
		return reason;
	p->l4 = w.offset;
	p->protocol = w.protocol;
	p->part = w.part;
	p->fragment_id = w.fragment_id;
	p->fragment_protocol = w.fragment_protocol;
	return 0;
}

// Transport protocol and port; a fragment after the first has none. 0, or the reason to drop.
static __always_inline int read_transport(struct __sk_buff *skb, struct packet *p, int direction)
{
	__u16 ports[2];
	int reason = read_protocol(skb, p);

	if (reason)
		return reason;
	if (p->part == LATER)
		return 0;
	if (is_port_protocol(p->protocol)) {
		if (bpf_skb_load_bytes(skb, p->l4, ports, sizeof(ports)))
			return MALFORMED;
		p->port = bpf_ntohs(direction == LEAVES ? ports[0] : ports[1]);
		return 0;
	}
	if (p->protocol == (p->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return read_icmp(skb, p, direction);
	return UNSUPPORTED_PROTOCOL;
}

#define REMEMBERED_NS 30000000000ull // RFC 791 and 8200 reassemble for less than 60 s

// The director whose block the packet's port, or its first fragment's, is in. 0, or the reason to
// drop.
static __always_inline int find_director(const struct packet *p, const struct addr *egress,
					 struct director *found)
{
	struct fragment key = {
		.source = p->source,
		.destination = p->destination,
		.id = p->fragment_id,
		.protocol = p->fragment_protocol,
	};
	struct director *director;
	__u32 number = 0;

	if (p->part == LATER) {
		struct fragment_owner *owner = bpf_map_lookup_elem(&fragments, &key);

		if (!owner || owner->until < bpf_ktime_get_boot_ns())
			return FRAGMENT_WITHOUT_FIRST;
		number = owner->director;
	} else {
		struct slots *slots = bpf_map_lookup_elem(&blocks, egress);

		if (slots)
			number = slots->director[(p->port >> SMALLEST_BLOCK_BITS) & (SLOTS - 1)];
	}
	director = bpf_map_lookup_elem(&directors, &number);
	if (!number || !director || none(&director->target))
		return NO_BLOCK;
	*found = *director;
	if (p->part == FIRST) {
		struct fragment_owner owner = {
			.until = bpf_ktime_get_boot_ns() + REMEMBERED_NS,
			.director = number,
		};

		bpf_map_update_elem(&fragments, &key, &owner, BPF_ANY);
	}
	return 0;
}
