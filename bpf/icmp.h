/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * icmp.h - the header that RFC 792 and RFC 4443 share, and the messages that
 * matter to translated flows. <linux/icmp.h> would include libc's headers.
 */
#ifndef MAGLANE_ICMP_H
#define MAGLANE_ICMP_H

#include <linux/types.h>

#define NEXTHDR_ICMPV6 58

#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_PORT_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PORT_UNREACH 4
#define ICMPV6_PKT_TOOBIG 2
/*
 * Types below are errors, which quote the packet in error (RFC 4443 section
 * 2.1).
 */
#define ICMPV6_INFO_FIRST 128
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129
/* Router and neighbour discovery, and redirects (RFC 4861). */
#define ICMPV6_ND_FIRST 133
#define ICMPV6_ND_LAST 137

struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be32 unused; /* the MTU, in messages that have one */
};

static __always_inline int icmp_is_error(__u8 type, int v4)
{
	if (v4)
		return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
		       type == ICMP_PARAMETERPROB;
	return type < ICMPV6_INFO_FIRST;
}

/* Messages for the host that has the address on the link, Service or not. */
static __always_inline int icmp_is_neighbour(__u8 type, int v4)
{
	return !v4 && type >= ICMPV6_ND_FIRST && type <= ICMPV6_ND_LAST;
}

#endif
