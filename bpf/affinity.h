/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * affinity.h - sessionAffinity ClientIP: a client keeps its backend until the
 * Service's timeout passes without a new flow, or until the backend is removed.
 */
#ifndef MAGLANE_AFFINITY_H
#define MAGLANE_AFFINITY_H

#include "config.h"
#include "maps.h"
#include "select.h"

/*
 * Chunks of a table's list of backends to search: affinity works for the first
 * 512 backends.
 */
#define AFFINITY_CHUNKS 32

/* Is the backend in the table? The list of backends follows the table. */
static __always_inline int table_has(const struct frontend *f, __u32 id)
{
	__u32 segment_index = f->table >> 16;
	__u32 chunk_index = (f->table & 0xffff) +
			    (f->table_size + TABLE_CHUNK_SLOTS - 1) /
				    TABLE_CHUNK_SLOTS;
	__u32 chunks = (f->backends + TABLE_CHUNK_SLOTS - 1) / TABLE_CHUNK_SLOTS;
	struct table_chunk *chunk;
	void *segment;
	__u32 i, slot;

	segment = bpf_map_lookup_elem(&tables, &segment_index);
	if (!segment)
		return 0;
	for (i = 0; i < AFFINITY_CHUNKS && i < chunks; i++, chunk_index++) {
		chunk = bpf_map_lookup_elem(segment, &chunk_index);
		if (!chunk)
			return 0;
#pragma unroll
		for (slot = 0; slot < TABLE_CHUNK_SLOTS; slot++)
			if (chunk->backend[slot] == id)
				return 1;
	}
	return 0;
}

/*
 * The client's backend id. `hash` must exclude the source port, so that a
 * client without an entry selects the same backend as long as the table is
 * unchanged. After the timeout the choice is random, as in kube-proxy: a single
 * client would otherwise keep one backend for ever.
 */
static __always_inline __u32 affinity_backend(const struct frontend *f,
					      const struct affinity_key *key,
					      __u32 hash)
{
	__u32 now = (__u32)bpf_jiffies64();
	struct affinity *known, fresh;

	known = bpf_map_lookup_elem(&affinities, key);
	if (known && now - known->last_used > f->affinity_seconds * hz) {
		hash = bpf_get_prandom_u32();
	} else if (known && table_has(f, known->backend_id)) {
		/* for each flow: a timeout may be as short as a second */
		if (known->last_used != now)
			known->last_used = now;
		return known->backend_id;
	}
	fresh.backend_id = table_backend(f, hash);
	fresh.last_used = now;
	bpf_map_update_elem(&affinities, key, &fresh, BPF_ANY);
	return fresh.backend_id;
}

#endif
