/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * xdp.bpf.c - devices of the node: traffic to and from backends on other nodes,
 * which never needs this node's stack. TC gets all other packets unchanged.
 */
#define MAGLANE_HOOK "hook-xdp.h"
#define MAGLANE_LINK "link-ethernet.h"
#define MAGLANE_FORWARD "forward-xdp.h"

#include "finish.h"
#include "parse.h"
#include "service.h"

/*
 * Is the checksum unfinished, so that XDP leaves the packet to TC? Its sender
 * has then stored only the sum of the pseudo header, and a redirected frame
 * would carry that to the wire. One finished checksum in 65536 looks the same
 * and goes by TC too.
 */
static __always_inline int xdp_csum_partial(ctx_t *ctx,
					    const struct packet *p)
{
	__u32 l4_len = p->ip_len - (p->l4_off - L3_OFF);
	__u16 *check = ctx_data(ctx) + (p->l4_off & L4_OFF_MAX) + rewrite_check_off(p);

	/* the checksum is finished before fragmentation */
	if (p->fragment)
		return 0;
	if ((void *)(check + 1) > ctx_data_end(ctx))
		return 1;
	return *check == csum_fold16(csum_pseudo(&p->tuple, l4_len, p->v4));
}

static __always_inline int xdp_step(ctx_t *ctx, struct packet *p)
{
	struct frontend *f;
	struct conn *c;
	int step;

	step = packet_parse(ctx, p);
	if (step != STEP_NEXT)
		return step;
	if (!service_find(p, SCOPE_EXTERNAL, &f, &c))
		return REASON_PASS_NOT_SERVICE;
	if (!ctx_is_ours(ctx))
		return REASON_PASS_OTHER_HOST;
	if (p->fragment == FRAGMENT_FIRST) {
		fragment_remember(ctx, p);
		if (fragment_awaited(p))
			return REASON_PASS_FRAGMENT;
	}
	if (p->ttl <= 1)
		return REASON_PASS_FIB;
	if (xdp_csum_partial(ctx, p))
		return REASON_PASS_CHECKSUM;
	step = service_step(ctx, p, f, c, SCOPE_EXTERNAL, 0);
	if (step == STEP_NEXT)
		return REASON_PASS_NOT_SERVICE;
	return step == REASON_REJECT_NO_BACKEND ? REASON_PASS_NO_BACKEND : step;
}

/*
 * The program reads headers from the first buffer only. Where the kernel
 * supports multi-buffer frames, the agent declares that the program takes them:
 * libbpf could not withdraw the declaration of a section xdp.frags.
 */
SEC("xdp")
int ml_xdp(struct xdp_md *ctx)
{
	struct packet p = {};

	return finish(&p, xdp_step(ctx, &p));
}

char _license[] SEC("license") = "Dual BSD/GPL";
