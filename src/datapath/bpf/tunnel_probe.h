// A director asks the holder of an address through the tunnel, and the holder's program answers by it: so the agents
// know whether the way between the nodes carries packets, and how long ones.
//
// From an egress address to itself, of a protocol without ports: no pod can send that, its node drops it.
#pragma once

#include "parse.h"

#define PROBE_PROTOCOL 253 // "for experimentation and testing" (RFC 3692)
#define PROBE_MAGIC bpf_htonl(0x45675072)

enum probe_kind { PROBE_ASKS = 1, PROBE_ANSWERS = 2 };

// The same layout is in src/tunnel_probe.rs.
struct probe {
	__be32 magic;
	__u8 kind;
	__u8 size; // which of the questions of one moment
	__be16 port; // in a block of the node that asks
	__u64 number; // as the asking node wrote it
};

struct probe_key {
	struct addr egress;
	__u32 size;
};

// The number of the last answer to each question.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct probe_key);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} probe_answers SEC(".maps");

static __always_inline int read_probe(struct __sk_buff *skb, const struct packet *p, struct probe *probe)
{
	return p->protocol == PROBE_PROTOCOL && p->part == WHOLE && same(&p->source, &p->destination) &&
	       !bpf_skb_load_bytes(skb, p->l4, probe, sizeof(*probe)) && probe->magic == PROBE_MAGIC;
}

static __always_inline int note_probe_answer(const struct packet *p, const struct probe *probe)
{
	struct probe_key key = { .egress = p->source, .size = probe->size };
	__u64 number = probe->number;

	bpf_map_update_elem(&probe_answers, &key, &number, BPF_ANY);
	return TC_ACT_SHOT;
}
