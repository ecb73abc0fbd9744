/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* xdp.bpf.c - the shipped XDP program, with a fresh frame for each run. */
#include "../../bpf/xdp.bpf.c"
#include "frame.h"

SEC("xdp")
int bench_xdp_empty(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

SEC("xdp")
int bench_xdp_put(struct xdp_md *ctx)
{
	return bench_put(ctx) ? XDP_ABORTED : XDP_PASS;
}

SEC("xdp")
int bench_xdp(struct xdp_md *ctx)
{
	struct packet p = {};

	if (bench_put(ctx))
		return XDP_ABORTED;
	return finish(&p, xdp_step(ctx, &p));
}
