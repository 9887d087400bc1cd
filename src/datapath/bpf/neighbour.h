// ARP and NDP: answers for what is held, made from the question in place; no claim to what is not.
#pragma once

#include "parse.h"

#define ARP_REQUEST 1
#define ARP_REPLY 2

// The ends of a link, for each protocol that a filter of another may be for alone: ARP, IPv6 and IPv4. The same is
// in src/link_proof.rs.
#define INGRESS_ARP 0
#define EGRESS_ARP 1
#define INGRESS_NDP 2
#define EGRESS_NDP 3
#define INGRESS_ICMP 4
#define EGRESS_ICMP 5

struct link_end {
	__u32 link; // its index
	__u32 end;
};

// Frames of ARP and neighbour discovery, and of ICMP for IPv4, that a program has seen at an end of a link: what the
// agent proves by that the programs run, since a filter of another may end the chain before them.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct link_end);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} neighbour_frames SEC(".maps");

static __always_inline void note_neighbour_frame(struct __sk_buff *skb, __u32 at)
{
	struct link_end end = { .link = skb->ifindex, .end = at };
	__u64 *seen = bpf_map_lookup_elem(&neighbour_frames, &end);
	__u64 first = 1;

	if (seen)
		__sync_fetch_and_add(seen, 1);
	else
		bpf_map_update_elem(&neighbour_frames, &end, &first, BPF_ANY);
}

static __always_inline void note_icmp(struct __sk_buff *skb, const struct packet *p, __u32 at)
{
	if (!p->v6 && p->protocol == IPPROTO_ICMP)
		note_neighbour_frame(skb, at);
}

struct arp_frame {
	__u8 to[6];
	__u8 from[6];
	__be16 type;
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender[4];
	__u8 target_mac[6];
	__u8 target[4];
} __attribute__((packed));

static __always_inline int read_arp(struct __sk_buff *skb, struct arp_frame *arp)
{
	return bpf_skb_load_bytes(skb, 0, arp, sizeof(*arp)) ||
	       arp->protocol != bpf_htons(ETH_P_IP) || arp->hardware_length != 6 ||
	       arp->protocol_length != 4;
}

static __always_inline void arp_address(struct addr *to, const __u8 *from)
{
	__u32 v4;

	__builtin_memcpy(&v4, from, sizeof(v4));
	set_v4(to, v4);
}

// An ARP packet from the link. A request for a known address that is not held is dropped, not
// passed: proxy_arp on this host would answer it.
static __always_inline int answer_arp(struct __sk_buff *skb)
{
	struct arp_frame arp;
	struct addr asked, canonical;
	struct address *entry;
	__u8 sender[4];
	__u8 flags;

	if (read_arp(skb, &arp) || arp.operation != bpf_htons(ARP_REQUEST))
		return PASS;
	if (!__builtin_memcmp(arp.sender, arp.target, 4))
		return PASS; // gratuitous: an announcement, not a question
	arp_address(&asked, arp.target);
	entry = resolve(&asked, &canonical, &flags);
	if (!entry || flags & SHARED)
		return PASS;
	if (!may_speak(entry, skb->ifindex))
		return drop(ASKED_NOT_HELD);
	__builtin_memcpy(arp.to, arp.from, 6);
	__builtin_memcpy(arp.from, entry->mac, 6);
	arp.operation = bpf_htons(ARP_REPLY);
	__builtin_memcpy(sender, arp.sender, 4);
	__builtin_memcpy(arp.target_mac, arp.sender_mac, 6);
	__builtin_memcpy(arp.sender_mac, entry->mac, 6);
	__builtin_memcpy(arp.sender, arp.target, 4);
	__builtin_memcpy(arp.target, sender, 4);
	if (bpf_skb_store_bytes(skb, 0, &arp, sizeof(arp), 0))
		return drop(KERNEL_REFUSED);
	count(ARP_ANSWERED);
	return bpf_redirect(skb->ifindex, 0);
}

#define ROUTER_ADVERTISEMENT 134
#define NEIGHBOUR_SOLICITATION 135
#define NEIGHBOUR_ADVERTISEMENT 136
#define TARGET_LINK_ADDRESS 2
#define SOLICITED 0x40
#define OVERRIDE 0x20

struct neighbour_message {
	__u8 type;
	__u8 code;
	__be16 check;
	__u8 flags;
	__u8 unused[3];
	struct addr target;
	__u8 option;
	__u8 option_length;
	__u8 mac[6];
} __attribute__((packed));

struct neighbour_frame {
	__u8 to[6];
	__u8 from[6];
	__be16 type;
	struct ipv6hdr ip;
	struct neighbour_message message;
} __attribute__((packed));

#define WITHOUT_OPTION offsetof(struct neighbour_message, option)

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

struct pseudo_header {
	struct addr source;
	struct addr destination;
	__be32 length;
	__be32 protocol;
};

// Sum of the IPv6 pseudo header of an ICMPv6 message (RFC 8200 section 8.1).
static __always_inline __s64 sum_pseudo(const struct addr *source, const struct addr *destination,
					__u32 length)
{
	struct pseudo_header pseudo = {
		.source = *source,
		.destination = *destination,
		.length = bpf_htonl(length),
		.protocol = bpf_htonl(IPPROTO_ICMPV6),
	};

	return bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
}

// The advertisement that answers `asker` (RFC 4861 section 7.2.4). Override: this is the address's
// one owner. Not a router: no host routes by way of an egress address, and a flag that differed
// between holders would make hosts drop routes.
static __noinline int advertise(struct __sk_buff *skb, struct packet *p, struct addr *target,
				struct address *entry)
{
	struct neighbour_frame frame = {};
	struct addr all_nodes = { .w = { bpf_htonl(0xff020000), 0, 0, bpf_htonl(1) } };
	struct addr to = p->source;
	__u8 message[sizeof(frame.message)] __attribute__((aligned(4)));
	__u8 solicited = SOLICITED;
	__s64 sum;

	if (bpf_skb_load_bytes(skb, 6, frame.to, 6))
		return drop(MALFORMED);
	if (none(&to)) { // duplicate address detection: everybody hears the answer
		to = all_nodes;
		solicited = 0;
		__builtin_memcpy(frame.to, "\x33\x33\0\0\0\1", 6);
	}
	__builtin_memcpy(frame.from, entry->mac, 6);
	frame.type = bpf_htons(ETH_P_IPV6);
	frame.ip.version = 6;
	frame.ip.payload_len = bpf_htons(sizeof(frame.message));
	frame.ip.nexthdr = IPPROTO_ICMPV6;
	frame.ip.hop_limit = 255;
	__builtin_memcpy(&frame.ip.saddr, target, sizeof(*target));
	__builtin_memcpy(&frame.ip.daddr, &to, sizeof(to));
	frame.message.type = NEIGHBOUR_ADVERTISEMENT;
	frame.message.flags = solicited | OVERRIDE;
	frame.message.target = *target;
	frame.message.option = TARGET_LINK_ADDRESS;
	frame.message.option_length = 1;
	__builtin_memcpy(frame.message.mac, entry->mac, 6);
	__builtin_memcpy(message, &frame.message, sizeof(message));
	sum = sum_pseudo(target, &to, sizeof(message));
	sum = bpf_csum_diff(NULL, 0, (__be32 *)message, sizeof(message), sum);
	frame.message.check = fold(sum);
	if (bpf_skb_change_tail(skb, sizeof(frame), 0) ||
	    bpf_skb_store_bytes(skb, 0, &frame, sizeof(frame), 0))
		return drop(KERNEL_REFUSED);
	count(NDP_ANSWERED);
	return bpf_redirect(skb->ifindex, 0);
}

// The type of a message of neighbour discovery (RFC 4861 section 4); 0 for anything else.
static __always_inline __u8 neighbour_type(struct __sk_buff *skb, const struct packet *p)
{
	__u8 type = 0;

	if (!p->v6 || p->protocol != IPPROTO_ICMPV6 || bpf_skb_load_bytes(skb, p->l4, &type, 1))
		return 0;
	return type >= 133 && type <= 137 ? type : 0;
}

// A neighbour solicitation from the link, by multicast or (a probe, RFC 4861 section 7.3.3) by
// unicast; what is not ours to know is passed.
static __always_inline int answer_ndp(struct __sk_buff *skb, struct packet *p)
{
	__u8 message[WITHOUT_OPTION];
	struct addr target, canonical;
	struct address *entry;
	__u8 hop_limit;
	__u8 flags;

	if (bpf_skb_load_bytes(skb, p->l4, message, sizeof(message)) ||
	    bpf_skb_load_bytes(skb, L3 + offsetof(struct ipv6hdr, hop_limit), &hop_limit, 1))
		return PASS;
	if (message[1] || hop_limit != 255)
		return PASS; // came from beyond the link: forged
	__builtin_memcpy(&target, message + offsetof(struct neighbour_message, target),
			 sizeof(target));
	entry = resolve(&target, &canonical, &flags);
	if (!entry || flags & SHARED)
		return PASS;
	if (!may_speak(entry, skb->ifindex))
		return drop(ASKED_NOT_HELD);
	return advertise(skb, p, &target, entry);
}

// Whether a frame about to leave claims, as its sender, an address that this node may not speak
// for: a stopped agent that wakes late, or another program.
static __always_inline int may_claim(struct __sk_buff *skb, const struct addr *claimed)
{
	struct addr canonical;
	__u8 flags;
	struct address *entry = resolve(claimed, &canonical, &flags);

	return !entry || flags & SHARED || may_speak(entry, skb->ifindex);
}

static __always_inline int check_arp_claim(struct __sk_buff *skb)
{
	struct arp_frame arp;
	struct addr sender;

	note_neighbour_frame(skb, EGRESS_ARP);
	if (read_arp(skb, &arp))
		return PASS;
	arp_address(&sender, arp.sender);
	return may_claim(skb, &sender) ? PASS : drop(ANNOUNCEMENT_NOT_HELD);
}

#define PREFIX_INFORMATION 3
// Of an IPv6 forwarding rule; a router's own prefix is a /64.
#define RANGE_LENGTH 96

struct prefix_information {
	__u8 type;
	__u8 length; // in 8 bytes
	__u8 prefix_length;
	__u8 flags;
	__be32 valid;
	__be32 preferred;
	__be32 reserved;
	struct addr prefix;
} __attribute__((packed));

// Type to retransmission timer (RFC 4861 section 4.2); options follow.
#define ROUTER_ADVERTISEMENT_HEAD 16
// Each prefix of a router advertisement moves an address in Google's network. The announcer sends one;
// options behind these are nothing that Egret sends, and pass.
#define CHECKED_OPTIONS 8

static __always_inline int may_claim_prefixes(struct __sk_buff *skb, __u32 l4)
{
	__u32 at = l4 + ROUTER_ADVERTISEMENT_HEAD;
	struct prefix_information option;
	struct addr prefix;
	int i;

	for (i = 0; i < CHECKED_OPTIONS; i++) {
		if (bpf_skb_load_bytes(skb, at, &option, 2) || !option.length)
			return 1;
		if (option.type == PREFIX_INFORMATION) {
			if (bpf_skb_load_bytes(skb, at, &option, sizeof(option)))
				return 1;
			__builtin_memcpy(&prefix, &option.prefix, sizeof(prefix));
			if (option.prefix_length == RANGE_LENGTH && !may_claim(skb, &prefix))
				return 0;
		}
		at += option.length * 8;
	}
	return 1;
}

// Neighbour advertisements claim their target, every other neighbour discovery message its source
// (the receiver takes the link address from an option), and router advertisements their prefixes too.
static __always_inline int check_ndp_claim(struct __sk_buff *skb)
{
	struct packet p = {};
	__u8 message[WITHOUT_OPTION];

	if (read_v6(skb, &p) || !neighbour_type(skb, &p))
		return PASS;
	note_neighbour_frame(skb, EGRESS_NDP);
	if (bpf_skb_load_bytes(skb, p.l4, message, sizeof(message)))
		return PASS;
	if (message[0] == ROUTER_ADVERTISEMENT && !may_claim_prefixes(skb, p.l4))
		return drop(ANNOUNCEMENT_NOT_HELD);
	if (message[0] == NEIGHBOUR_ADVERTISEMENT)
		__builtin_memcpy(&p.source, message + offsetof(struct neighbour_message, target),
				 sizeof(p.source));
	return may_claim(skb, &p.source) ? PASS : drop(ANNOUNCEMENT_NOT_HELD);
}
