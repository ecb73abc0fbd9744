/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * frontend.h - looks up the frontend of a destination.
 */
#ifndef MAGLANE_FRONTEND_H
#define MAGLANE_FRONTEND_H

#include "maps.h"

static __always_inline struct frontend *
frontend_lookup(const struct addr *addr, __u16 port, __u8 proto, __u8 scope)
{
	struct frontend_key key = {
		.addr = *addr,
		.port = port,
		.proto = proto,
		.scope = scope,
	};

	return bpf_map_lookup_elem(&frontends, &key);
}

#endif
