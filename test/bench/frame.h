/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * frame.h - writes a fresh frame into the buffer before each run, because
 * BPF_PROG_TEST_RUN reuses the output of the previous run.
 *
 * Two 16-bit fields of the frame follow a counter, so that one frame represents
 * any number of flows. The cost is measured alone (bench_*_put).
 */
#ifndef MAGLANE_BENCH_FRAME_H
#define MAGLANE_BENCH_FRAME_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../../bpf/ctx.h"

#define BENCH_FRAME 80

/* A field in network order: low + (flow number >> shift & mask). */
struct bench_field {
	__u32 offset; /* bytes, even, at most 126 */
	__u32 low;
	__u32 shift;
	__u32 mask;
};

struct bench_frame {
	struct bench_field a;
	struct bench_field b;
	__u32 flow_mask; /* flows - 1, a power of two less one */
	__u32 next;      /* number of the next frame */
	__u8 bytes[BENCH_FRAME];
};

/* Written by the benchmark before each measurement; shared by both objects. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_frame);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} bench_frames SEC(".maps");

static __always_inline int bench_field_put(ctx_t *ctx,
					   const struct bench_field *f,
					   __u32 flow)
{
	__u16 *field = ctx_data(ctx) + (f->offset & 0x7e);

	if ((void *)(field + 1) > ctx_data_end(ctx))
		return -1;
	*field = bpf_htons((__u16)(f->low + (flow >> (f->shift & 31) & f->mask)));
	return 0;
}

static __always_inline int bench_put(ctx_t *ctx)
{
	__u32 zero = 0, flow;
	struct bench_frame *f = bpf_map_lookup_elem(&bench_frames, &zero);
	void *data = ctx_data(ctx);

	if (!f || data + BENCH_FRAME > ctx_data_end(ctx))
		return -1;
	__builtin_memcpy(data, f->bytes, BENCH_FRAME);
	/* an odd factor: every flow once a turn, neighbours far apart */
	flow = f->next++ * 40503 & f->flow_mask;
	return bench_field_put(ctx, &f->a, flow) ||
	       bench_field_put(ctx, &f->b, flow);
}

#endif
