/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * source.h - loadBalancerSourceRanges: the sources that may use a
 * LoadBalancer's address.
 */
#ifndef MAGLANE_SOURCE_H
#define MAGLANE_SOURCE_H

#include "maps.h"
#include "packet.h"

/*
 * Is the packet's source allowed? A packet from the frontend's own address has
 * passed a load balancer, which has admitted it.
 */
static __always_inline int source_allowed(const struct packet *p,
					  __u32 service_id)
{
	struct source_range_key key = {
		.prefix_len = 8 * (sizeof(key.service_id) + sizeof(key.addr)),
		.service_id = service_id,
		.addr = p->tuple.saddr,
	};

	return addr_equal(&p->tuple.saddr, &p->tuple.daddr) ||
	       bpf_map_lookup_elem(&source_ranges, &key);
}

#endif
