// Egress address ↔ wire address (clouds that map 1:1), without state.
#pragma once

#include "parse.h"

static __always_inline __u32 address_offset(int v6, int direction)
{
	if (v6)
		return direction == LEAVES ? offsetof(struct ipv6hdr, saddr) :
					     offsetof(struct ipv6hdr, daddr);
	return direction == LEAVES ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr);
}

// Stores one address and, for IPv4, mends the header's checksum. IPv6 has none: there the frame's
// own sum (CHECKSUM_COMPLETE) has to be told, which for IPv4 the two changes cancel out in.
static __always_inline int store_address(struct __sk_buff *skb, int v6, __u32 header, __u32 offset,
					 const struct addr *from, const struct addr *to)
{
	if (v6)
		return bpf_skb_store_bytes(skb, header + offset, to, sizeof(*to),
					   BPF_F_RECOMPUTE_CSUM);
	if (bpf_l3_csum_replace(skb, header + offsetof(struct iphdr, check), from->w[3], to->w[3],
				4))
		return -1;
	return bpf_skb_store_bytes(skb, header + offset, &to->w[3], 4, 0);
}

// Replaces the packet's own source (it leaves) or destination (it arrives), and in the packet that
// an ICMP error quotes the same address on the other side. 0, or the reason to drop.
static __noinline int rewrite(struct __sk_buff *skb, struct packet *p, struct addr *from,
			      struct addr *to, int direction)
{
	__u32 whole[8];
	__s64 difference;
	__u32 check = 0;
	__u64 flags = BPF_F_PSEUDO_HDR;

	__builtin_memcpy(whole, from, sizeof(*from));
	__builtin_memcpy(whole + 4, to, sizeof(*to));
	if (p->v6)
		difference = bpf_csum_diff(whole, 16, whole + 4, 16, 0);
	else
		difference = bpf_csum_diff(whole + 3, 4, whole + 7, 4, 0);
	if (p->protocol == IPPROTO_TCP) {
		check = 16;
	} else if (p->protocol == IPPROTO_UDP) {
		check = 6;
		flags |= BPF_F_MARK_MANGLED_0; // 0 stays "no checksum"
	} else if (p->protocol == IPPROTO_ICMPV6) {
		check = offsetof(struct icmp6hdr, icmp6_cksum);
	}
	if (check && p->part != LATER &&
	    bpf_l4_csum_replace(skb, p->l4 + check, 0, difference, flags))
		return KERNEL_REFUSED;
	if (store_address(skb, p->v6, L3, address_offset(p->v6, direction), from, to))
		return KERNEL_REFUSED;
	if (!p->quoted)
		return 0;
	// The quoted address is covered by the ICMP checksum: for IPv4 its own header's checksum,
	// covered too, cancels it out.
	if (p->v6 && bpf_l4_csum_replace(skb, p->l4 + check, 0, difference, 0))
		return KERNEL_REFUSED;
	if (store_address(skb, p->v6, p->quoted,
			  address_offset(p->v6, direction == LEAVES ? ARRIVES : LEAVES), from, to))
		return KERNEL_REFUSED;
	return 0;
}
