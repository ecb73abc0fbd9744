/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * select.h - selects a flow's backend: from the Service's Maglev table, with
 * the flow hash as slot.
 */
#ifndef MAGLANE_SELECT_H
#define MAGLANE_SELECT_H

#include "config.h"
#include "maps.h"

static __always_inline __u32 rol32(__u32 x, __u32 n)
{
	return x << n | x >> (32 - n);
}

/* Bob Jenkins' lookup3 final mix over three words. */
static __always_inline __u32 mix3(__u32 a, __u32 b, __u32 c)
{
	/* clang-format off */
	c ^= b; c -= rol32(b, 14);
	a ^= c; a -= rol32(c, 11);
	b ^= a; b -= rol32(a, 25);
	c ^= b; c -= rol32(b, 16);
	a ^= c; a -= rol32(c, 4);
	b ^= a; b -= rol32(a, 14);
	c ^= b; c -= rol32(b, 24);
	/* clang-format on */
	return c;
}

/*
 * With affinity the source port is 0, so that only the client decides. The
 * destination address is excluded: a NodePort has another one on each node, and
 * a client port must reach the same backend through all nodes.
 */
static __always_inline __u32 flow_hash(const struct tuple *t, __u16 sport)
{
	const __u32 *a = (const __u32 *)t;
	__u32 h = mix3(a[0] ^ hash_seed, a[1], a[2]);

	return mix3(a[3] ^ h, (__u32)sport << 16 | t->dport,
		    hash_seed + t->proto);
}

/* Backend id in the slot of `hash`; 0 if the table does not exist. */
static __always_inline __u32 table_backend(const struct frontend *f, __u32 hash)
{
	__u32 slot = (__u32)(((__u64)hash * f->table_size) >> 32);
	__u32 segment_index = f->table >> 16;
	__u32 chunk_index = (f->table & 0xffff) + slot / TABLE_CHUNK_SLOTS;
	struct table_chunk *chunk;
	void *segment;

	segment = bpf_map_lookup_elem(&tables, &segment_index);
	if (!segment)
		return 0;
	chunk = bpf_map_lookup_elem(segment, &chunk_index);
	if (!chunk)
		return 0;
	return chunk->backend[slot % TABLE_CHUNK_SLOTS];
}

/* NULL when the id is free or its backend is gone. */
static __always_inline struct backend *backend_lookup(__u32 id)
{
	struct backend *b = bpf_map_lookup_elem(&backends, &id);

	return b && (b->flags & BACKEND_VALID) ? b : 0;
}

#endif
