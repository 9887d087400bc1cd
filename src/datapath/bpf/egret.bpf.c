// The programs of a node: both directions of the tunnel device, both of every uplink, and both of every other link
// to the outside, which carries nothing and is guarded alone.
// Their rules are decisions 2 to 5 of docs/design.md, the facts of the kernel behind them
// docs/datapath.md. Each returns PASS for what is none of Egret's business.

#include "bypass.h"
#include "rewrite.h"
#include "too_big.h"
#include "tunnel_probe.h"

char LICENSE[] SEC("license") = "GPL"; // bpf_ktime_get_boot_ns is for GPL programs

// Marks with which the programs speak to each other within one frame's way through the host. The
// tunnel device's own programs see what was redirected to it; the mark is gone before the frame
// is encapsulated (the outer packet would inherit it and meet policy rules) or goes up.
#define HAS_ITS_KEY 0x65677201
#define FOR_THIS_NODE 0x65677202

// Says, to the program at the uplink's egress, which packets the other programs send to the world. In
// tc_index, since nobody's rule reads it and the neighbour's queue keeps it; a mark would meet policy rules.
#define TO_WORLD_INDEX 0x6567

// What every kernel since 5.11 knows of struct bpf_tunnel_key; the local address came with 6.0.
#define KEY_WITHOUT_LOCAL offsetof(struct bpf_tunnel_key, local_ipv4)

// Addresses the frame, which is about to enter the tunnel device, to a node. 0, or the reason to
// drop.
static __noinline int address_to(struct __sk_buff *skb, struct addr *node, __u32 vni)
{
	struct config *c = configuration();
	struct bpf_tunnel_key key = { .tunnel_id = vni, .tunnel_ttl = 64 };
	__u64 flags;

	if (!c)
		return KERNEL_REFUSED;
	if (is_v4(node)) {
		key.remote_ipv4 = bpf_ntohl(node->w[3]);
		key.local_ipv4 = bpf_ntohl(c->self4.w[3]);
		flags = BPF_F_ZERO_CSUM_TX;
	} else {
		// No zero checksum here: the device drops such frames over IPv6.
		__builtin_memcpy(key.remote_ipv6, node, sizeof(*node));
		__builtin_memcpy(key.local_ipv6, &c->self6, sizeof(c->self6));
		flags = BPF_F_TUNINFO_IPV6;
	}
	if (bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags) &&
	    bpf_skb_set_tunnel_key(skb, &key, KEY_WITHOUT_LOCAL, flags))
		return KERNEL_REFUSED;
	return 0;
}

// Whether the destination is an address of this node's uplinks, or an egress address that it has on an
// interface or answers for itself: nobody out there would answer for it. In a cloud the router does, which
// maps its wire address.
static __always_inline int is_here(struct packet *p, __u32 uplink)
{
	struct address *entry = bpf_map_lookup_elem(&addresses, &p->destination);

	if (!entry || entry->state == ALIAS || !none(&entry->wire))
		return 0;
	return entry->flags & (SHARED | LOCAL) || may_speak(entry, uplink);
}

// Out of the uplink, past the host's stack. What the kernel does not find a neighbour or route for
// it drops by itself.
static __always_inline int to_world(struct __sk_buff *skb, struct packet *p, struct address *entry)
{
	struct addr next_hop = entry->next_hop;
	struct addr wire = entry->wire;
	struct bpf_redir_neigh hop = {};
	__u32 on_link_bits = entry->on_link_bits;
	__u32 uplink = entry->uplink;
	int reason;

	if (entry->state != HELD && entry->state != COMING)
		return drop(NOT_HELD);
	if (!in_time(entry))
		return drop(LEASE_EXPIRED);
	if (!uplink)
		return drop(NO_UPLINK);
	if (is_here(p, uplink))
		return drop(DESTINATION_IS_HERE);
	if (!none(&wire)) {
		reason = rewrite(skb, p, &p->source, &wire, LEAVES);
		if (reason)
			return drop(reason);
	}
	// The route is looked up with the mark: with our mark it would meet our `unreachable`.
	skb->mark = 0;
	skb->tc_index = TO_WORLD_INDEX;
	count(TO_WORLD);
	if (none(&next_hop) ||
	    is_on_link(on_link_bits, none(&wire) ? &p->source : &wire, &p->destination))
		return bpf_redirect_neigh(uplink, NULL, 0, 0);
	if (is_v4(&next_hop)) {
		hop.nh_family = AF_INET;
		hop.ipv4_nh = next_hop.w[3];
	} else {
		hop.nh_family = AF_INET6;
		__builtin_memcpy(hop.ipv6_nh, &next_hop, sizeof(next_hop));
	}
	return bpf_redirect_neigh(uplink, &hop, sizeof(hop), 0);
}

// From this host's stack, already SNATed: to the holder of the source. Frames that the other
// programs redirect to the device come by here too.
SEC("classifier") int egret_tun_out(struct __sk_buff *skb)
{
	struct config *c = configuration();
	struct director director = {};
	struct packet p = {};
	struct address *entry;
	struct addr holder;
	int reason;

	if (!c)
		return drop(KERNEL_REFUSED);
	if (skb->mark == HAS_ITS_KEY) {
		skb->mark = 0;
		return PASS;
	}
	reason = read_ip(skb, &p);
	if (reason)
		return drop(reason);
	if (is_multicast(&p.destination))
		return drop(DEVICE_CHATTER);
	entry = bpf_map_lookup_elem(&addresses, &p.source);
	if (!entry || entry->state >= ALIAS)
		return drop(NOT_EGRESS_ADDRESS);
	if (!asks_standby(skb, &p, &holder))
		holder = entry->holder;
	if (none(&holder))
		return drop(NO_HOLDER);
	if (!is_self(c, &holder)) {
		skb->mark = 0;
		reason = address_to(skb, &holder, c->vni);
		if (reason)
			return drop(reason);
		count(TO_HOLDER);
		return PASS;
	}
	reason = read_transport(skb, &p, LEAVES);
	if (!reason)
		reason = find_director(&p, &p.source, &director);
	if (reason)
		return drop(reason);
	if (!is_own_block(c, &director))
		return drop(FOREIGN_BLOCK);
	return to_world(skb, &p, entry);
}

// Whether the frame came through the tunnel, and from which node on which VNI.
static __always_inline int read_key(struct __sk_buff *skb, struct addr *node, __u32 *vni)
{
	struct bpf_tunnel_key key = {};

	if (!bpf_skb_get_tunnel_key(skb, &key, KEY_WITHOUT_LOCAL, 0)) {
		set_v4(node, bpf_htonl(key.remote_ipv4));
	} else if (!bpf_skb_get_tunnel_key(skb, &key, KEY_WITHOUT_LOCAL, BPF_F_TUNINFO_IPV6)) {
		__builtin_memcpy(node, key.remote_ipv6, sizeof(*node));
	} else {
		return 0;
	}
	*vni = key.tunnel_id;
	return 1;
}

// 0 where the port is in a block of the `director` that sent the frame; else the reason to drop.
static __always_inline int check_sender(const struct packet *p, const struct addr *node, struct director *director)
{
	int reason = find_director(p, &p->source, director);

	if (!reason && !same(&director->target, node) && !same(&director->other, node))
		reason = FOREIGN_BLOCK;
	return reason;
}

// A pod's packet at the gateway: to the world where the source is held; else once to the holder.
static __always_inline int from_director(struct __sk_buff *skb, struct config *c, struct packet *p,
					 struct address *entry, struct addr *node, int relayed)
{
	struct director director = {};
	struct addr holder = entry->holder;
	int reason = read_transport(skb, p, LEAVES);

	if (reason)
		return drop(reason);
	if (relayed) {
		if (!bpf_map_lookup_elem(&gateways, node))
			return drop(RELAY_FROM_STRANGER);
	} else {
		reason = check_sender(p, node, &director);
		if (reason)
			return drop(reason);
	}
	if (entry->state == HELD || entry->state == COMING)
		return to_world(skb, p, entry);
	if (relayed)
		return drop(RELAYED_TWICE);
	if (none(&holder))
		return drop(NO_HOLDER);
	if (is_self(c, &holder))
		return drop(NOT_HELD);
	reason = address_to(skb, &holder, c->relay_vni);
	if (reason)
		return drop(reason);
	skb->mark = HAS_ITS_KEY;
	count(RELAYED);
	return bpf_redirect(c->tunnel, 0);
}

// A packet from outside at its director: up into the stack, where conntrack has to know it.
static __always_inline int to_pod(struct __sk_buff *skb, struct config *c, struct packet *p)
{
	struct director director = {};
	int reason = read_transport(skb, p, ARRIVES);

	if (!reason)
		reason = find_director(p, &p->destination, &director);
	if (reason == NO_BLOCK || (!reason && !is_own_block(c, &director)))
		return drop(NOT_DIRECTOR);
	if (reason)
		return drop(reason);
	// The frame carries the MAC of another node's device.
	bpf_skb_change_type(skb, 0);
	count(TO_POD);
	if (p->v6)
		count(TO_POD_IPV6);
	return PASS;
}

// Back to the node that asked.
static __always_inline int answer_probe(struct __sk_buff *skb, struct config *c, struct packet *p,
					struct address *entry, struct addr *node, struct probe *probe)
{
	int is_segment = p->protocol == IPPROTO_TCP;
	struct director director = {};
	int reason = check_probe(entry, probe);

	p->port = bpf_ntohs(probe->port);
	if (!reason)
		reason = check_sender(p, node, &director);
	if (reason)
		return drop(reason);
	if (make_answer(skb, p->l4 + (is_segment ? TCP_HEADER : 0), is_segment, probe))
		return drop(KERNEL_REFUSED);
	reason = address_to(skb, &director.target, c->vni);
	if (reason)
		return drop(reason);
	skb->mark = HAS_ITS_KEY;
	count(PROBE_ANSWERED);
	return bpf_redirect(c->tunnel, 0);
}

SEC("classifier") int egret_tun_in(struct __sk_buff *skb)
{
	struct config *c = configuration();
	struct packet p = {};
	struct probe probe = {};
	struct addr node = {};
	struct address *entry;
	__u32 vni = 0;
	int reason;

	if (!c)
		return drop(KERNEL_REFUSED);
	reason = read_ip(skb, &p);
	if (reason)
		return drop(reason);
	if (!read_key(skb, &node, &vni)) {
		// Only egret_up_in redirects here; nothing from the network carries a mark.
		if (skb->mark != FOR_THIS_NODE)
			return drop(NOT_FROM_TUNNEL);
		skb->mark = 0;
		return to_pod(skb, c, &p);
	}
	if (vni != c->vni && vni != c->relay_vni)
		return drop(UNKNOWN_VNI);
	// Which of this node's two roles is meant, the source says: pods' packets carry an egress
	// address, the world's do not.
	entry = bpf_map_lookup_elem(&addresses, &p.source);
	if (vni == c->vni && read_probe(skb, &p, &probe))
		return probe.kind == PROBE_ANSWERS ? note_probe_answer(skb, &p, &probe) :
						     answer_probe(skb, c, &p, entry, &node, &probe);
	if (vni == c->vni && read_segment(skb, &p, &probe))
		return probe.kind == PROBE_ANSWERS ? note_segments(skb, &p, &probe) :
						     answer_probe(skb, c, &p, entry, &node, &probe);
	if (entry && entry->state < ALIAS)
		return from_director(skb, c, &p, entry, &node, vni == c->relay_vni);
	if (vni == c->relay_vni)
		return drop(NOT_EGRESS_ADDRESS);
	return to_pod(skb, c, &p);
}

// From the world to a known egress address, in whatever state: straight to the port's director.
static __always_inline int to_director(struct __sk_buff *skb, struct config *c, struct packet *p,
				       struct addr *canonical, __u8 flags)
{
	struct director director = {};
	__u32 mtu;
	int reason = read_transport(skb, p, ARRIVES);

	if (!reason)
		reason = find_director(p, canonical, &director);
	if (reason)
		return flags & (SHARED | LOCAL) ? PASS : drop(reason);
	if (!is_own_block(c, &director)) {
		int over_v4 = is_v4(&director.target);

		// Over IPv4 the outer packet may be fragmented; over IPv6 the device drops it.
		mtu = over_v4 ? c->mtu4 : c->mtu6;
		if ((p->keep_whole || !over_v4) && segment_length(skb, p) > mtu)
			return tell_too_big(skb, p, mtu);
	}
	if (!same(&p->destination, canonical)) {
		reason = rewrite(skb, p, &p->destination, canonical, ARRIVES);
		if (reason)
			return drop(reason);
	}
	if (is_own_block(c, &director)) {
		// Up the uplink it would die in rp_filter: the stack sees it come from the tunnel.
		skb->mark = FOR_THIS_NODE;
		count(TO_LOCAL_DIRECTOR);
		return bpf_redirect(c->tunnel, BPF_F_INGRESS);
	}
	reason = address_to(skb, &director.target, c->vni);
	if (reason)
		return drop(reason);
	skb->mark = HAS_ITS_KEY;
	count(TO_DIRECTOR);
	return bpf_redirect(c->tunnel, 0);
}

SEC("classifier") int egret_up_in(struct __sk_buff *skb)
{
	struct config *c = configuration();
	struct addr canonical;
	struct packet p = {};
	struct address *entry;
	__u8 flags, type;
	int verdict = PASS;

	if (skb->protocol == bpf_htons(ETH_P_ARP))
		note_neighbour_frame(skb, INGRESS_ARP);
	// What a bridge floods to all ports, and what is for a VLAN device above, is not for us: two
	// gateways would deliver it twice.
	if (!c || skb->pkt_type == PACKET_OTHERHOST ||
	    (skb->vlan_present && skb->vlan_tci & VLAN_ID))
		return PASS;
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return answer_arp(skb);
	if (read_ip(skb, &p))
		return PASS;
	type = neighbour_type(skb, &p);
	if (type)
		note_neighbour_frame(skb, INGRESS_NDP);
	note_icmp(skb, &p, INGRESS_ICMP);
	if (type == NEIGHBOUR_SOLICITATION)
		return answer_ndp(skb, &p);
	entry = resolve(&p.destination, &canonical, &flags);
	// What no gateway answers for stays the host's own, whatever the port.
	if (entry && !(flags & SHARED && same(&p.destination, &canonical)))
		verdict = to_director(skb, c, &p, &canonical, flags);
	if (verdict == PASS && p.protocol != IPPROTO_TCP)
		listen(skb, &p);
	return verdict;
}

// A packet of `to_world` may have waited in the queue of a neighbour that did not answer, for seconds: the
// lease may be another's by now.
static __always_inline int check_lease(struct __sk_buff *skb)
{
	struct addr canonical;
	struct packet p = {};
	struct address *entry;
	__u8 flags;

	if (read_ip(skb, &p))
		return drop(MALFORMED);
	entry = resolve(&p.source, &canonical, &flags);
	if (!entry || (entry->state != HELD && entry->state != COMING))
		return drop(NOT_HELD);
	return in_time(entry) ? PASS : drop(LEASE_EXPIRED);
}

SEC("classifier") int egret_up_out(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return check_arp_claim(skb);
	if (skb->tc_index == TO_WORLD_INDEX) {
		// A link below, of which this one is a VLAN, may be guarded too.
		skb->tc_index = PASSED_INDEX;
		return check_lease(skb);
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6) && check_ndp_claim(skb) != PASS)
		return TC_ACT_SHOT;
	return check_bypass(skb);
}

#include "guarded.h" // Last: it does with a lease what the program above does.
