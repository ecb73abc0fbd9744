/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * detour.h - whether the stack would send the replies of a new flow by a wrong
 * path.
 */
#ifndef MAGLANE_DETOUR_H
#define MAGLANE_DETOUR_H

#include "config.h"
#include "conn.h"
#include "packet.h"
#include "route.h"
#include "slow.h"

#include MAGLANE_HOOK

/*
 * Would replies of the scratch's new external flow, with a local backend, leave
 * by another path than replies of the frontend? Pods with a network of their
 * own have rules that route packets from their address to its NIC (secondary
 * ENIs of AWS). On that NIC the frontend's address would be foreign.
 */
__noinline int forward_detours(ctx_t *ctx)
{
	__u32 flags = have_fib_skip_neigh ? FIB_SKIP_NEIGH : 0;
	struct conn_scratch *s = conn_scratch();
	struct packet *p = packet_saved();
	struct bpf_fib_lookup fib;
	__u32 device, way;
	struct tuple to;
	long found;

	if (!ctx || !s || !p || !route_by_source())
		return 0;
	found = route_lookup(ctx, p, &s->forward.nat, 1, flags, &fib);
	if (!route_found(found))
		return 0;
	device = fib.ifindex;
	tuple_turn(&s->forward.nat, &to);
	found = route_lookup_by(ctx, p, device, &to, 1, flags, &fib);
	if (!route_found(found))
		return 0;
	way = fib.ifindex;
	to.saddr = p->tuple.daddr;
	found = route_lookup_by(ctx, p, device, &to, 1, flags, &fib);
	return route_found(found) && fib.ifindex != way;
}

#endif
