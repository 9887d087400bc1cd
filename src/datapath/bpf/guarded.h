// The programs of links that carry nothing, and by which packets of pods may leave all the same.
#pragma once

// Of a link that carries no egress address: its neighbours, and what arrives there, are the host's own business.
SEC("classifier") int egret_guard_in(struct __sk_buff *skb)
{
	struct packet p = {};

	if (skb->pkt_type == PACKET_OTHERHOST || (skb->vlan_present && skb->vlan_tci & VLAN_ID) ||
	    read_ip(skb, &p))
		return PASS;
	if (p.protocol != IPPROTO_TCP)
		listen(skb, &p);
	return PASS;
}

SEC("classifier") int egret_guard_out(struct __sk_buff *skb)
{
	if (skb->tc_index == TO_WORLD_INDEX) {
		skb->tc_index = PASSED_INDEX;
		return check_lease(skb);
	}
	return check_bypass(skb);
}
