// A packet from outside that does not fit the tunnel: its sender is told the size that does, from
// the egress address (RFC 1191, RFC 8201). A tunnel that swallowed it would stall every connection
// with a larger packet.
#pragma once

#include "neighbour.h"

// Of the packet that did not fit: below what RFC 1812 section 4.3.2.3 and RFC 4443 section 2.4
// allow in all, and the most that bpf_csum_diff takes.
#define QUOTE 512
#define TELL_EVERY_NS 100000000ull

struct too_big4 {
	struct iphdr ip;
	struct icmp_header icmp;
};

struct too_big6 {
	struct ipv6hdr ip;
	struct icmp6hdr icmp;
};

// Length of the IP packet, or of the segments that the network would see of a GSO packet.
static __always_inline __u32 segment_length(struct __sk_buff *skb, const struct packet *p)
{
	__u8 tcp_offset = 0;

	if (!skb->gso_size)
		return skb->len - L3;
	if (p->protocol != IPPROTO_TCP)
		return p->l4 - L3 + 8 + skb->gso_size;
	bpf_skb_load_bytes(skb, p->l4 + 12, &tcp_offset, 1);
	return p->l4 - L3 + (tcp_offset >> 4) * 4 + skb->gso_size;
}

static __always_inline int told_lately(const struct addr *sender)
{
	__u64 now = bpf_ktime_get_boot_ns();
	__u64 *last = bpf_map_lookup_elem(&told_too_big, sender);

	if (last && now - *last < TELL_EVERY_NS)
		return 1;
	bpf_map_update_elem(&told_too_big, sender, &now, BPF_ANY);
	return 0;
}

// Keeps the frame's beginning and makes room for `room` bytes of headers before it, with the MACs
// exchanged.
static __always_inline int quote(struct __sk_buff *skb, __u32 room)
{
	__u8 macs[12], swapped[12];

	if (skb->len < L3 + QUOTE || bpf_skb_change_tail(skb, L3 + QUOTE, 0) ||
	    bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0) ||
	    bpf_skb_load_bytes(skb, 0, macs, sizeof(macs)))
		return -1;
	__builtin_memcpy(swapped, macs + 6, 6);
	__builtin_memcpy(swapped + 6, macs, 6);
	if (bpf_skb_store_bytes(skb, 0, swapped, sizeof(swapped), 0))
		return -1;
	return bpf_skb_pull_data(skb, L3 + room + QUOTE);
}

// Sum of the ICMP header and the quoted bytes, which begin at `offset`.
static __always_inline __s64 sum_quote(struct __sk_buff *skb, __u32 offset, __be32 *icmp,
				       __s64 sum)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	if (data + offset + QUOTE > end)
		return -1;
	sum = bpf_csum_diff(NULL, 0, icmp, 8, sum);
	return bpf_csum_diff(NULL, 0, data + offset, QUOTE, sum);
}

static __noinline int tell_v4(struct __sk_buff *skb, struct packet *p, __u32 mtu)
{
	struct too_big4 headers = {
		.ip = {
			.version = 4,
			.ihl = 5,
			.tos = 0xc0,
			.tot_len = bpf_htons(sizeof(headers) + QUOTE),
			.ttl = 64,
			.protocol = IPPROTO_ICMP,
			.saddr = p->destination.w[3],
			.daddr = p->source.w[3],
		},
		.icmp = {
			.type = ICMP_DEST_UNREACH,
			.code = ICMP_FRAG_NEEDED,
			.mtu = bpf_htons(mtu),
		},
	};
	__s64 sum;

	if (quote(skb, sizeof(headers)))
		return drop(KERNEL_REFUSED);
	sum = sum_quote(skb, L3 + sizeof(headers), (__be32 *)&headers.icmp, 0);
	if (sum < 0)
		return drop(KERNEL_REFUSED);
	headers.icmp.checksum = fold(sum);
	headers.ip.check = fold(bpf_csum_diff(NULL, 0, (__be32 *)&headers.ip, 20, 0));
	if (bpf_skb_store_bytes(skb, L3, &headers, sizeof(headers), 0))
		return drop(KERNEL_REFUSED);
	count(TOO_BIG_ANSWERED);
	return bpf_redirect(skb->ifindex, 0);
}

static __noinline int tell_v6(struct __sk_buff *skb, struct packet *p, __u32 mtu)
{
	struct too_big6 headers = {
		.ip = {
			.version = 6,
			.payload_len = bpf_htons(sizeof(headers.icmp) + QUOTE),
			.nexthdr = IPPROTO_ICMPV6,
			.hop_limit = 64,
		},
		.icmp = {
			.icmp6_type = ICMPV6_PKT_TOOBIG,
			.icmp6_mtu = bpf_htonl(mtu),
		},
	};
	__s64 sum = sum_pseudo(&p->destination, &p->source, sizeof(headers.icmp) + QUOTE);

	__builtin_memcpy(&headers.ip.saddr, &p->destination, sizeof(headers.ip.saddr));
	__builtin_memcpy(&headers.ip.daddr, &p->source, sizeof(headers.ip.daddr));
	if (quote(skb, sizeof(headers)))
		return drop(KERNEL_REFUSED);
	sum = sum_quote(skb, L3 + sizeof(headers), (__be32 *)&headers.icmp, sum);
	if (sum < 0)
		return drop(KERNEL_REFUSED);
	headers.icmp.icmp6_cksum = fold(sum);
	if (bpf_skb_store_bytes(skb, L3, &headers, sizeof(headers), 0))
		return drop(KERNEL_REFUSED);
	count(TOO_BIG_ANSWERED);
	return bpf_redirect(skb->ifindex, 0);
}

// Never an error about an error or about an IPv4 fragment after the first (RFC 1122 section
// 3.2.2).
static __always_inline int tell_too_big(struct __sk_buff *skb, struct packet *p, __u32 mtu)
{
	if (p->quoted || (p->part == LATER && !p->v6) || none(&p->source) ||
	    told_lately(&p->source))
		return drop(TOO_BIG);
	return p->v6 ? tell_v6(skb, p, mtu) : tell_v4(skb, p, mtu);
}
