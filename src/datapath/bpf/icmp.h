// ICMP for IPv4 (RFC 792). <linux/icmp.h> has it too, but pulls in <sys/socket.h> of the C library,
// which these programs do without.
#pragma once

#include <linux/types.h>

#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12

// Code of ICMP_DEST_UNREACH.
#define ICMP_FRAG_NEEDED 4

// As ICMP_FRAG_NEEDED has it (RFC 1191 section 4).
struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be16 unused;
	__be16 mtu;
};
