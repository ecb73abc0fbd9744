/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * roundtrip.bpf.c - reads every struct of abi.h field by field as user space
 * wrote it, and writes it back field by field, each integer plus one. A codec
 * that puts a field elsewhere gives another sum. Also what the binding is
 * tested with: variables, pinned maps, one program a hook.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

const volatile __u64 wide = 1;
const volatile __u32 answer = 7;
const volatile __u16 port = 80;
const volatile __u8 small = 2;
const volatile __u8 blob[4] = { 1, 2, 3, 4 };

#define PAIR(name)                                        \
	struct {                                          \
		__uint(type, BPF_MAP_TYPE_ARRAY);         \
		__uint(max_entries, 2);                   \
		__type(key, __u32);                       \
		__type(value, struct name);               \
	} copy_##name SEC(".maps")

PAIR(frontend_key);
PAIR(frontend);
PAIR(backend);
PAIR(table_chunk);
PAIR(tuple);
PAIR(conn);
PAIR(sock_key);
PAIR(sock_frontend);
PAIR(settings);
PAIR(counter);

/* Written by roundtrip(); pinned when the test says where. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct counter);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} counters SEC(".maps");

/* Entry 0 of a pair is what was written, entry 1 what comes back. */
#define BOTH(type)                                                  \
	__u32 zero = 0, one = 1;                                    \
	struct type *in = bpf_map_lookup_elem(&copy_##type, &zero); \
	struct type *out = bpf_map_lookup_elem(&copy_##type, &one); \
	if (!in || !out)                                            \
		return

#define NEXT(field) out->field = in->field + 1
#define SAME(field) out->field = in->field

static __always_inline void copy_frontends(void)
{
	BOTH(frontend);
	NEXT(service_id);
	NEXT(flags);
	NEXT(table);
	NEXT(table_size);
	NEXT(backends);
	NEXT(affinity_seconds);
}

static __always_inline void copy_frontend_keys(void)
{
	BOTH(frontend_key);
	SAME(addr);
	NEXT(port);
	NEXT(proto);
	NEXT(scope);
}

static __always_inline void copy_backends(void)
{
	BOTH(backend);
	SAME(addr);
	NEXT(port);
	NEXT(proto);
	NEXT(flags);
	NEXT(generation);
}

static __always_inline void copy_chunks(void)
{
	BOTH(table_chunk);
	for (int i = 0; i < TABLE_CHUNK_SLOTS; i++)
		NEXT(backend[i]);
}

static __always_inline void copy_tuples(void)
{
	BOTH(tuple);
	SAME(saddr);
	SAME(daddr);
	NEXT(sport);
	NEXT(dport);
	NEXT(proto);
}

static __always_inline void copy_conns(void)
{
	BOTH(conn);
	SAME(nat.saddr);
	SAME(nat.daddr);
	NEXT(nat.sport);
	NEXT(nat.dport);
	NEXT(nat.proto);
	NEXT(backend_id);
	NEXT(backend_generation);
	NEXT(service_id);
	NEXT(flags);
	NEXT(last_seen);
	NEXT(addr_diff);
	NEXT(port_diff);
	NEXT(ifindex);
}

static __always_inline void copy_sockets(void)
{
	BOTH(sock_key);
	NEXT(cookie);
	SAME(addr);
	NEXT(port);
	NEXT(proto);
}

static __always_inline void copy_sock_frontends(void)
{
	BOTH(sock_frontend);
	SAME(addr);
	NEXT(port);
	NEXT(service_id);
}

static __always_inline void copy_node_settings(void)
{
	BOTH(settings);
	SAME(snat_v4);
	SAME(snat_v6);
}

static __always_inline void copy_counters(void)
{
	BOTH(counter);
	NEXT(packets);
	NEXT(bytes);
}

SEC("tc")
int roundtrip(struct __sk_buff *skb)
{
	copy_frontend_keys();
	copy_frontends();
	copy_backends();
	copy_chunks();
	copy_tuples();
	copy_conns();
	copy_sockets();
	copy_sock_frontends();
	copy_node_settings();
	copy_counters();
	return TC_ACT_OK;
}

/* The sum of the variables, and a count for each run. */
SEC("tc")
int variables(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct counter *counter = bpf_map_lookup_elem(&counters, &zero);

	if (counter) {
		counter->packets++;
		counter->bytes += skb->len;
	}
	return answer + port + small + blob[3] + (__u32)(wide >> 32);
}

/* The context that a test run gives. */
SEC("tc")
int context(struct __sk_buff *skb)
{
	skb->mark = skb->ifindex;
	return skb->ingress_ifindex;
}

SEC("xdp")
int pass(struct xdp_md *xdp)
{
	return xdp->ingress_ifindex ? XDP_PASS : XDP_ABORTED;
}

/* Makes the frame four bytes longer, of which the first is 0xee. */
SEC("xdp")
int grow(struct xdp_md *xdp)
{
	if (bpf_xdp_adjust_head(xdp, -4))
		return XDP_ABORTED;
	__u8 *data = (void *)(long)xdp->data;

	if ((void *)(data + 1) > (void *)(long)xdp->data_end)
		return XDP_ABORTED;
	*data = 0xee;
	return XDP_DROP;
}

SEC("cgroup/connect4")
int connect(struct bpf_sock_addr *addr)
{
	return 1;
}

/* Refused by the verifier: reads past what it checked. */
SEC("?xdp")
int refused(struct xdp_md *xdp)
{
	return *(__u8 *)(long)xdp->data;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
