/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* tc.bpf.c - the shipped TC programs, with a fresh frame for each run. */
#include "../../bpf/tc.bpf.c"
#include "frame.h"

/* No program of ours returns this value. */
#define BENCH_FAILED 99

SEC("tc")
int bench_tc_empty(struct __sk_buff *ctx)
{
	(void)ctx;
	return TC_ACT_OK;
}

SEC("tc")
int bench_tc_put(struct __sk_buff *ctx)
{
	return bench_put(ctx) ? BENCH_FAILED : TC_ACT_OK;
}

SEC("tc")
int bench_from_netdev(struct __sk_buff *ctx)
{
	struct packet p = {};

	if (bench_put(ctx))
		return BENCH_FAILED;
	return finish(&p, from_netdev_step(ctx, &p));
}

SEC("tc")
int bench_to_netdev(struct __sk_buff *ctx)
{
	struct packet p = {};

	if (bench_put(ctx))
		return BENCH_FAILED;
	return finish(&p, reply_step(ctx, &p));
}

SEC("tc")
int bench_from_pod(struct __sk_buff *ctx)
{
	struct packet p = {};

	if (bench_put(ctx))
		return BENCH_FAILED;
	return finish(&p, from_pod_step(ctx, &p));
}
