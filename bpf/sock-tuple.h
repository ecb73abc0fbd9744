/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * sock-tuple.h - converts a tuple for the helpers that look up sockets.
 */
#ifndef MAGLANE_SOCK_TUPLE_H
#define MAGLANE_SOCK_TUPLE_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>

#include "packet.h"

/*
 * Fills *t with the tuple of a packet to the socket; returns its length in
 * bytes.
 */
static __always_inline __u32 sock_tuple(const struct tuple *packet, __u32 v4,
					struct bpf_sock_tuple *t)
{
	__builtin_memset(t, 0, sizeof(*t));
	if (v4) {
		t->ipv4.saddr = addr_v4(&packet->saddr);
		t->ipv4.daddr = addr_v4(&packet->daddr);
		t->ipv4.sport = bpf_htons(packet->sport);
		t->ipv4.dport = bpf_htons(packet->dport);
		return sizeof(t->ipv4);
	}
	__builtin_memcpy(t->ipv6.saddr, &packet->saddr, 16);
	__builtin_memcpy(t->ipv6.daddr, &packet->daddr, 16);
	t->ipv6.sport = bpf_htons(packet->sport);
	t->ipv6.dport = bpf_htons(packet->dport);
	return sizeof(t->ipv6);
}

#endif
