/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * hooks.bpf.c - objects for tests of the binding: variables, a pinned map, and
 * one program for each hook.
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

/* Written by variables(). Pinned if the test sets a pin directory. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct counter);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} counters SEC(".maps");

/* Returns the sum of the variables, and counts each run. */
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

/* Returns the context of a test run. */
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

/* Prepends four bytes to the frame, the first one is 0xee. */
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

/* Refused by the verifier, because it reads without a bounds check. */
SEC("?xdp")
int refused(struct xdp_md *xdp)
{
	return *(__u8 *)(long)xdp->data;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
