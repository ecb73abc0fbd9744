/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * local-route.h - whether the kernel's routes deliver an address on this node.
 */
#ifndef MAGLANE_LOCAL_ROUTE_H
#define MAGLANE_LOCAL_ROUTE_H

#include "maps.h"

/* Does a route of type local deliver the address on this node? */
static __always_inline int route_is_local(const struct addr *addr)
{
	struct local_route_key key = {
		.prefix_len = 8 * sizeof(key.addr),
		.addr = *addr,
	};

	return map_has(&local_routes, &key);
}

#endif
