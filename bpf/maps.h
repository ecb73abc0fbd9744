/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * maps.h - every map: who writes it, who reads it, what happens when it is full.
 *
 * All are pinned by name under <bpffs>/maglane/v<MAGLANE_ABI>[-<instance>]/, and shared by
 * the three objects. max_entries are defaults; the agent sets them from its
 * configuration before it creates a map.
 */
#ifndef MAGLANE_MAPS_H
#define MAGLANE_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/*
 * Written by the agent; read by every new or established packet and connect().
 * Full: the agent refuses whole Services before it writes (E2BIG never tears one).
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, struct frontend_key);
	__type(value, struct frontend);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} frontends SEC(".maps");

/*
 * Written by the agent; read once for a new flow and for each packet of UDP.
 * An array: an id is an index, so a lookup costs a bound check. Full: as above.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 262144);
	__type(key, __u32);
	__type(value, struct backend);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} backends SEC(".maps");

/*
 * Maglev tables, a segment an inner map. The agent adds a segment (pinned as
 * tables_<n>) when the ones it has are full, so memory grows with use, no
 * inner map is made per Service, and a table is written with one batch call.
 */
struct table_segment {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TABLE_SEGMENT_CHUNKS);
	/* sizes, not types: libbpf 1.1 does not see the types of an inner map */
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

/*
 * Written by the agent; read for a new flow to a frontend with FRONTEND_RANGES.
 * Full: the agent refuses whole Services before it writes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct source_range_key);
	__type(value, __u32); /* 1 */
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} source_ranges SEC(".maps");

/*
 * Written by the agent, behind the frontends; read for what is no frontend's.
 * Not the node's own addresses: their other ports are the node's. Full: as
 * frontends, of which each address has one at least.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, struct addr);
	__type(value, struct service_address);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} service_addresses SEC(".maps");

/* Written by the agent, read before service_addresses: address_hash() -> bit. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ADDRESS_WORDS);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} address_bits SEC(".maps");

/* Written by the agent, read for what is no frontend's. One entry, index 0. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct service_cidrs);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} service_cidrs SEC(".maps");

/*
 * Written and read by the packet programs; two entries a flow. Full: the least
 * recently used goes; the other half makes it anew with the next packet.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct tuple);
	__type(value, struct conn);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} connections SEC(".maps");

/*
 * Written and read when a flow of a Service with ClientIP affinity begins.
 * Full: the least recently used client is forgotten, and picks anew by its address.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct affinity_key);
	__type(value, struct affinity);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} affinities SEC(".maps");

/*
 * Written by the packet programs at a first fragment, read at the later ones.
 * Full: the oldest go, whose later fragments then wait in vain.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} fragments SEC(".maps");

/*
 * Fragments that came before their first. Written and read by the packet
 * programs. Full: the oldest go, as in a kernel whose reassembly is full.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 512);
	__type(key, struct held_key);
	__type(value, struct held);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} held_fragments SEC(".maps");

/* Written and read by one run of a program. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct held_scratch);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} held_scratches SEC(".maps");

/* Written by connect() and sendmsg(), read by recvmsg() and getpeername(). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct sock_key);
	__type(value, struct sock_frontend);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} sockets SEC(".maps");

/* Written by the agent, read when a flow to another node is made. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} node_settings SEC(".maps");

/* ifindex -> 1: devices with our XDP program, which may be redirected to. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} xdp_devices SEC(".maps");

/* enum reason -> how often, per CPU. Written by every program, read at scrape. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS_MAX);
	__type(key, __u32);
	__type(value, struct counter);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} counters SEC(".maps");

#endif
