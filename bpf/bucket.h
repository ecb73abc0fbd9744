/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * bucket.h - token buckets, which limit a rate per second and a burst.
 *
 * A bucket gains tokens for the time since its last use, in units of 1/hz
 * token: so there is no division and no rounding error. A new bucket (all 0) is
 * full.
 */
#ifndef MAGLANE_BUCKET_H
#define MAGLANE_BUCKET_H

#include "abi.h"
#include "config.h"
#include "maps.h"

/* Takes a token. 0, or -1 when there is none. */
static __always_inline int bucket_take(struct bucket *b, __u32 rate,
				       __u32 burst)
{
	__u32 now = (__u32)bpf_jiffies64();
	__u64 credit = b->credit + (__u64)(now - b->filled) * rate;

	if (credit > (__u64)burst * hz)
		credit = (__u64)burst * hz;
	b->filled = now;
	if (credit < hz) {
		b->credit = (__u32)credit;
		return -1;
	}
	b->credit = (__u32)credit - hz;
	return 0;
}

/*
 * May this CPU send one more reply of the kind (RFC 4443 section 2.4 f)? Each
 * CPU has its own buckets, so a flood to one queue of a device does not silence
 * the others.
 */
static __always_inline int bucket_answer(__u32 kind)
{
	struct bucket *b = bpf_map_lookup_elem(&answers, &kind);

	return b && !bucket_take(b, answer_rate, answer_burst);
}

#endif
