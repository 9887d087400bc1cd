// A director asks the holder of an address through the tunnel, and the holder's program answers by it: so the agents
// know whether the way between the nodes carries packets, and how long ones.
//
// From an egress address to itself, of a protocol without ports: no pod can send that, its node drops it. Segments
// are of TCP, since cards segment that: with port 0 at both ends, which NAT gives to nobody and no block has.
#pragma once

#include "parse.h"

#define PROBE_PROTOCOL 253 // "for experimentation and testing" (RFC 3692)
#define PROBE_MAGIC bpf_htonl(0x45675072)

// PROBE_ASKS_STANDBY goes to the node that the question names behind the probe, and is answered there whoever holds
// the address: would that node be reached? A node before this kind takes it for PROBE_ASKS, and does not hold it.
enum probe_kind { PROBE_ASKS = 1, PROBE_ANSWERS = 2, PROBE_ASKS_STANDBY = 3 };

// The same layout is in src/tunnel_probe.rs.
struct probe {
	__be32 magic;
	__u8 kind;
	__u8 size; // which of the questions of one moment
	__be16 port; // in a block of the node that asks
	__u64 number; // as the asking node wrote it
};

// Behind the probe in an answer: its holder answers segments too.
#define PROBE_SEGMENTS_TOO 1
#define SIZE_SEGMENTS_TOO 2

// Segments of one long packet. In a question: which one this is. In an answer, in the upper half: how many there were
// in one frame, which a card or the kernel had joined again; 0 where the answer is as long as the question, and what
// arrives says so itself.
#define SIZE_FIRST_SEGMENT 16
#define SEGMENTS 4
#define TCP_HEADER 20

// Behind the probe in a segment that asks: whoever asks takes such an answer, which has to be cut on its way too.
#define PROBE_TAKES_LONG_ANSWERS 1

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

static __always_inline int read_segment(struct __sk_buff *skb, const struct packet *p, struct probe *probe)
{
	__u32 ports;

	return p->protocol == IPPROTO_TCP && p->part == WHOLE && same(&p->source, &p->destination) &&
	       !bpf_skb_load_bytes(skb, p->l4, &ports, sizeof(ports)) && !ports &&
	       !bpf_skb_load_bytes(skb, p->l4 + TCP_HEADER, probe, sizeof(*probe)) &&
	       probe->magic == PROBE_MAGIC;
}

// Whether a question leaves for a standby, and for which node.
static __always_inline int asks_standby(struct __sk_buff *skb, const struct packet *p, struct addr *standby)
{
	struct probe probe = {};

	return read_probe(skb, p, &probe) && probe.kind == PROBE_ASKS_STANDBY &&
	       !bpf_skb_load_bytes(skb, p->l4 + sizeof(probe), standby, sizeof(*standby));
}

static __always_inline void note_answered(const struct packet *p, __u32 size, __u64 number)
{
	struct probe_key key = { .egress = p->source, .size = size };

	bpf_map_update_elem(&probe_answers, &key, &number, BPF_ANY);
}

static __always_inline int note_probe_answer(struct __sk_buff *skb, const struct packet *p,
					     const struct probe *probe)
{
	__u8 too = 0;

	note_answered(p, probe->size, probe->number);
	// A standby's answer says nothing of the holder's segments.
	if (probe->size < SIZE_SEGMENTS_TOO &&
	    !bpf_skb_load_bytes(skb, p->l4 + sizeof(*probe), &too, sizeof(too)) && too == PROBE_SEGMENTS_TOO)
		note_answered(p, SIZE_SEGMENTS_TOO, probe->number);
	return TC_ACT_SHOT;
}

// How many segments a frame has whose payload begins at `at`.
static __always_inline __u32 count_segments(struct __sk_buff *skb, __u32 at)
{
	__u32 each = skb->gso_size;

	return each ? (skb->len - at + each - 1) / each : 1;
}

static __always_inline int note_segments(struct __sk_buff *skb, const struct packet *p,
					 const struct probe *probe)
{
	__u32 first = probe->size & 0xf, count = probe->size >> 4;

	if (!count)
		count = count_segments(skb, p->l4 + TCP_HEADER);

	for (__u32 i = 0; i < SEGMENTS; i++) {
		if (i >= first && i < first + count)
			note_answered(p, SIZE_FIRST_SEGMENT + i, probe->number);
	}
	return TC_ACT_SHOT;
}

// 0 where this node has the address, or is asked whether it could have it; else the reason to drop.
static __always_inline int check_probe(const struct address *entry, const struct probe *probe)
{
	if (!entry || entry->state >= ALIAS)
		return NOT_HELD;
	if (probe->kind == PROBE_ASKS_STANDBY)
		return 0;
	if (entry->state != HELD && entry->state != COMING)
		return NOT_HELD;
	return in_time(entry) ? 0 : LEASE_EXPIRED;
}

// Makes each segment that asks one that answers, and leaves all as long as they are.
static __always_inline int answer_at_length(struct __sk_buff *skb, __u32 at, __u32 each)
{
	__u8 kind = PROBE_ANSWERS;

	for (__u32 i = 0; i < SEGMENTS; i++) {
		__u32 place = at + i * each + offsetof(struct probe, kind);

		if (place >= skb->len)
			break;
		if (bpf_skb_store_bytes(skb, place, &kind, sizeof(kind), 0))
			return 1;
	}
	return 0;
}

static __always_inline int takes_long_answers(struct __sk_buff *skb, __u32 at)
{
	__u8 takes = 0;

	return !bpf_skb_load_bytes(skb, at + sizeof(struct probe), &takes, sizeof(takes)) &&
	       takes == PROBE_TAKES_LONG_ANSWERS;
}

// Makes the question in `skb`, which begins at `at`, its answer. 0 where the kernel has done it.
static __always_inline int make_answer(struct __sk_buff *skb, __u32 at, int is_segment, struct probe *probe)
{
	__u32 payload = skb->len - at, each = skb->gso_size;
	__u8 too = PROBE_SEGMENTS_TOO;

	probe->kind = PROBE_ANSWERS;
	if (is_segment && takes_long_answers(skb, at))
		return answer_at_length(skb, at, each ? each : payload);
	if (is_segment) {
		probe->size |= count_segments(skb, at) << 4;
		if (bpf_skb_change_tail(skb, at + sizeof(*probe), 0))
			return 1;
	} else if (payload > sizeof(*probe) &&
		   bpf_skb_store_bytes(skb, at + sizeof(*probe), &too, sizeof(too), 0)) {
		return 1;
	}
	return !!bpf_skb_store_bytes(skb, at, probe, sizeof(*probe), 0);
}
