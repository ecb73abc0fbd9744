/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* segments.bpf.c - reads one slot of a Maglev table as the data path does. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

struct table_segment {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TABLE_SEGMENT_CHUNKS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct table_chunk));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TABLE_SEGMENTS);
	__type(key, __u32);
	__uint(value_size, sizeof(__u32));
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__array(values, struct table_segment);
} tables SEC(".maps");

/* [0] segment << 16 | chunk, [1] slot */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} wanted SEC(".maps");

SEC("tc")
int lookup(struct __sk_buff *skb)
{
	__u32 zero = 0, one = 1;
	__u32 *table = bpf_map_lookup_elem(&wanted, &zero);
	__u32 *slot = bpf_map_lookup_elem(&wanted, &one);

	if (!table || !slot)
		return -1;
	__u32 segment = *table >> 16, chunk = *table & 0xffff;
	void *inner = bpf_map_lookup_elem(&tables, &segment);
	struct table_chunk *found;

	if (!inner)
		return -1;
	found = bpf_map_lookup_elem(inner, &chunk);
	return found ? found->backend[*slot % TABLE_CHUNK_SLOTS] : -1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
