/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * frontend.h - looks up the frontend of a destination, behind a filter of bits.
 */
#ifndef MAGLANE_FRONTEND_H
#define MAGLANE_FRONTEND_H

#include "maps.h"

/* agent/plan/bits.ts computes the same hash. */
static __always_inline __u32 frontend_hash(const struct frontend_key *key)
{
	const __u32 *a = (const __u32 *)key->addr.b;
	__u32 rest = (__u32)key->port << 16 | (__u32)key->proto << 8 | key->scope;

	return (((a[0] ^ a[1] ^ a[2] ^ a[3]) * 0x9e3779b1u) ^
		(rest * 0x85ebca6bu)) >>
	       14;
}

/*
 * May the map have the key? The bit decides for nearly all packets to no
 * frontend: an array access instead of a hash lookup.
 */
static __always_inline int frontend_possible(const struct frontend_key *key)
{
	__u32 hash = frontend_hash(key);
	__u32 index = hash / 64;
	__u64 *word = bpf_map_lookup_elem(&frontend_bits, &index);

	return word && (*word >> (hash % 64) & 1);
}

/* Odd: UDP frontends are changing. Also odd without the map. */
static __always_inline __u32 frontend_epoch_now(void)
{
	__u32 zero = 0;
	__u32 *epoch = bpf_map_lookup_elem(&frontend_epoch, &zero);

	return epoch ? *(volatile __u32 *)epoch : 1;
}

static __always_inline struct frontend *
frontend_lookup(const struct addr *addr, __u16 port, __u8 proto, __u8 scope)
{
	struct frontend_key key = {
		.addr = *addr,
		.port = port,
		.proto = proto,
		.scope = scope,
	};

	return frontend_possible(&key) ? bpf_map_lookup_elem(&frontends, &key) :
					 0;
}

#endif
