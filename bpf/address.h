/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * address.h - packets to a Service address but to none of its ports, and
 * packets to unallocated addresses of the ClusterIP ranges.
 */
#ifndef MAGLANE_ADDRESS_H
#define MAGLANE_ADDRESS_H

#include <linux/in.h>

#include "local-route.h"
#include "maps.h"
#include "packet.h"

/* agent/plan/address-bits.ts computes the same hash. */
static __always_inline __u32 address_hash(const struct addr *addr)
{
	const __u32 *a = (const __u32 *)addr->b;

	return ((a[0] ^ a[1] ^ a[2] ^ a[3]) * 0x9e3779b1u) >> 14;
}

/*
 * NULL if the address belongs to no Service. The bit decides for nearly all
 * packets to no frontend: an array access instead of a hash lookup.
 */
static __always_inline struct service_address *
address_lookup(const struct addr *addr)
{
	__u32 hash = address_hash(addr);
	__u32 index = hash / 64;
	__u64 *word = bpf_map_lookup_elem(&address_bits, &index);

	if (!word || !(*word >> (hash % 64) & 1))
		return 0;
	return bpf_map_lookup_elem(&service_addresses, addr);
}

static __always_inline int address_in_cidr(const struct addr *addr,
					   const struct service_cidr *cidr)
{
	const __u32 *a = (const __u32 *)addr->b;
	const __u32 *net = (const __u32 *)cidr->net.b;
	const __u32 *mask = (const __u32 *)cidr->mask.b;

	return !(((a[3] & mask[3]) ^ net[3]) | ((a[0] & mask[0]) ^ net[0]) |
		 ((a[1] & mask[1]) ^ net[1]) | ((a[2] & mask[2]) ^ net[2]));
}

/* May the cluster allocate the address to a Service? */
static __always_inline int address_in_cidrs(const struct addr *addr)
{
	__u32 zero = 0, i;
	struct service_cidrs *all = bpf_map_lookup_elem(&service_cidrs, &zero);

	if (!all)
		return 0;
	for (i = 0; i < SERVICE_CIDRS_MAX && i < all->count; i++)
		if (address_in_cidr(addr, &all->cidr[i]))
			return 1;
	return 0;
}

/*
 * Outcome of a packet to no frontend, received in `scope`;
 * REASON_PASS_NOT_SERVICE if it is not for a Service. No other host uses a
 * ClusterIP, so other ports of it are refused. Any other Service address may
 * have more ports elsewhere, such as those of the load balancer itself. Those
 * are refused only to packets that were sent to this node and would loop
 * between it and their router. An address that the routes deliver here belongs
 * to the node, even if a Service has it too: cloud agents add local routes for
 * load balancers, whose health checks use other ports.
 */
static __always_inline int address_step(const struct packet *p, __u8 scope)
{
	struct service_address *a = address_lookup(&p->tuple.daddr);
	int l4 = p->tuple.proto == IPPROTO_TCP || p->tuple.proto == IPPROTO_UDP;

	if (!a && !address_in_cidrs(&p->tuple.daddr))
		return REASON_PASS_NOT_SERVICE;
	if (a && !(a->flags & ADDRESS_CLUSTERIP) && scope == SCOPE_INTERNAL)
		return REASON_PASS_NOT_SERVICE;
	if (route_is_local(&p->tuple.daddr))
		return REASON_PASS_NOT_SERVICE;
	if (!a)
		return REASON_DROP_NO_ADDRESS;
	return l4 ? REASON_REJECT_NO_PORT : REASON_DROP_PROTOCOL;
}

#endif
