/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * maps.h - all maps: their writers, their readers, and the effect of a full
 * map.
 *
 * All are pinned by name under <bpffs>/maglane/v<MAGLANE_ABI>[-<instance>]/ and
 * shared by all objects. max_entries are defaults; the agent sets them from its
 * configuration before it creates a map.
 */
#ifndef MAGLANE_MAPS_H
#define MAGLANE_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "packet.h"

/*
 * Written by the agent; read for packets whose bit is set, and for connect().
 * Full: the agent refuses whole Services before it writes, so E2BIG never
 * leaves one half written.
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
 * Written by the agent before the frontends, cleared after them; read for every
 * packet: frontend_hash() -> bit. A bit without a frontend only costs lookups.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FRONTEND_WORDS);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} frontend_bits SEC(".maps");

/*
 * Counts changes after which a UDP flow may not be of its frontend's Service
 * any more. The agent makes it odd before it deletes a UDP frontend or gives it
 * to another Service, and even after that.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} frontend_epoch SEC(".maps");

/*
 * Written by the agent; read once per new flow and for each UDP packet. An
 * array: the id is the index, so a lookup costs a bounds check. Full: as above.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 262144);
	__type(key, __u32);
	__type(value, struct backend);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} backends SEC(".maps");

/*
 * Maglev tables; each segment is an inner map. The agent adds a segment (pinned
 * as tables_<n>) when the existing ones are full. So memory grows with use, no
 * Service needs an inner map of its own, and one batch call writes a table.
 */
struct table_segment {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TABLE_SEGMENT_CHUNKS);
	/*
	 * sizes, not types: libbpf 1.1 does not parse the types of an inner map
	 */
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
 * Written by the agent after the frontends; read for packets to no frontend.
 * Excludes the node's own addresses, whose other ports belong to the node.
 * Full: as for frontends, since each address has at least one.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, struct addr);
	__type(value, struct service_address);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} service_addresses SEC(".maps");

/*
 * Written by the agent, read before service_addresses: address_hash() -> bit.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ADDRESS_WORDS);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} address_bits SEC(".maps");

/* Written by the agent, read for packets to no frontend. One entry, index 0. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct service_cidrs);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} service_cidrs SEC(".maps");

/*
 * Written and read by the packet programs; two entries per flow. Full: the
 * least recently used entry is evicted, and the other half recreates it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct tuple);
	__type(value, struct conn);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} connections SEC(".maps");

/*
 * A program holds the slot of a reverse key while it inserts or replaces the
 * key. Only the kernel can read a bpf_spin_lock, so user space does not use
 * this struct.
 */
struct claim {
	struct bpf_spin_lock lock; /* protects the other two */
	__u32 held;                /* 1 while a program inserts */
	__u32 count;               /* of insertions of keys of this slot */
};

MAGLANE_STATIC_ASSERT(sizeof(struct claim) == 12);

/*
 * Written by the packet programs when they insert a key, read for each packet
 * of a client. Never full: keys share slots, and a shared slot costs some
 * lookups.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CLAIM_SLOTS);
	__type(key, __u32);
	__type(value, struct claim);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} claims SEC(".maps");

/*
 * The packet, for the functions of the slow paths (packet_save()). Written and
 * read within one run of a program, by the kernel alone.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct packet);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} packet_scratches SEC(".maps");

/* Written and read by one run of a program. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct conn_scratch);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} conn_scratches SEC(".maps");

/*
 * Written and read when a flow of a Service with ClientIP affinity begins.
 * Full: the least recently used client is evicted; its next flow selects a
 * backend by the client's address.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct affinity_key);
	__type(value, struct affinity);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} affinities SEC(".maps");

/*
 * Written by the packet programs for a first fragment, read for later ones.
 * Full: the oldest entries are evicted; later fragments of their datagrams wait
 * in vain.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} fragments SEC(".maps");

/*
 * Fragments that arrived before their first. Written and read by the packet
 * programs. Full: the oldest are evicted, as in a kernel whose reassembly queue
 * is full.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct held_key);
	__type(value, struct held);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} held_fragments SEC(".maps");

/*
 * Sender of fragments that must wait (IPv6: its /64) -> remaining budget.
 * Written and read by the packet programs. Full: the least recently active
 * sender is evicted, and starts again with a full budget.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct addr);
	__type(value, struct bucket);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} fragment_sources SEC(".maps");

/*
 * Copy of a held fragment to send. Written and read within one run of a
 * program.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct held);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} held_copies SEC(".maps");

/* Written and read by one run of a program. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct held_scratch);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} held_scratches SEC(".maps");

/*
 * Written by connect() and sendmsg(), deleted with the socket; read by
 * recvmsg(), getpeername() and TC. Full: the least recently used entry is
 * evicted. Its process then sees the backend's address, and its socket is not
 * reset when the backend is gone.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct sock_key);
	__type(value, struct sock_frontend);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} sockets SEC(".maps");

/*
 * Cookie of a network namespace whose datagrams to Services pass a TC program
 * of ours. Written by ml_from_pod, read by connect() and sendmsg() of pods.
 * Full: the least recently used entry is evicted, and learnt again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} served_netns SEC(".maps");

/*
 * Jiffies when a pod's socket last translated a datagram itself. Written by
 * connect() and sendmsg(); ml_from_pod learns for a while after it. Index 0.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} unserved_since SEC(".maps");

/*
 * Id of the cgroup of a pod whose sockets are left to TC -> 1. Written by the
 * agent, read by connect() and sendmsg() of pods if left_out_count is not 0.
 * Full: sockets of further pods are translated, and the agent reports it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} left_out_cgroups SEC(".maps");

/*
 * Number of entries in left_out_cgroups. Most nodes have none, which costs one
 * read. Index 0.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} left_out_count SEC(".maps");

/*
 * UDP port of the node -> jiffies when a connected socket on it last sent a
 * datagram that TC had to translate; 0: never. Written by egress, read by
 * ingress.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} host_udp_ports SEC(".maps");

/* Written by the agent, read when a flow to another node is created. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} node_settings SEC(".maps");

/* ifindex -> 1: devices with our XDP program, to which XDP may redirect. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} xdp_devices SEC(".maps");

/*
 * enum answer_kind -> tokens of this CPU. Written and read before each reply.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ANSWER_KINDS);
	__type(key, __u32);
	__type(value, struct bucket);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} answers SEC(".maps");

/*
 * Written by the agent, read by XDP for packets to a frontend and for replies.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DEVICE_MACS);
	__type(key, __u32);
	__type(value, struct device_mac);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} device_macs SEC(".maps");
/*
 * ifindex -> where the device leads. Written by the agent, read when an
 * external flow begins; for a device without an entry the backend's flag
 * decides.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct device);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} devices SEC(".maps");

/*
 * Routes of type local. Written by the agent, read for packets that the routes
 * do not forward, and before a packet to a service address is refused. Full: an
 * address without an entry counts as not local.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct local_route_key);
	__type(value, __u32); /* 1 */
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} local_routes SEC(".maps");

/*
 * Routing properties that concern all packets: ROUTING_*. Written by the agent,
 * read when an external flow begins, and for packets of pods to no frontend.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} routing SEC(".maps");

/* Jiffies when XDP last left a packet to the stack. Written and read by XDP. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NEXT_HOP_SLOTS);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} next_hops SEC(".maps");

/*
 * enum reason -> packets and bytes, per CPU. Written by every program, read at
 * scrape.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS_MAX);
	__type(key, __u32);
	__type(value, struct counter);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} counters SEC(".maps");

/*
 * Whether the map has the key. The asm hides the pointer from clang, which
 * merges NULL tests of several pointers into one of `a | b` (clang 22 does);
 * verifiers reject arithmetic on pointers.
 */
static __always_inline int map_has(void *map, const void *key)
{
	int has = bpf_map_lookup_elem(map, key) != 0;

	asm volatile(""
		     : "+r"(has));
	return has;
}

#endif
