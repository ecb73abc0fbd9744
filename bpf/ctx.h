/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ctx.h - the only difference between an XDP frame and a TC skb: where the
 * bytes are, by which device they came, how an L4 checksum is mended.
 *
 * The entry file defines MAGLANE_XDP or not; every step is written once.
 */
#ifndef MAGLANE_CTX_H
#define MAGLANE_CTX_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifdef MAGLANE_XDP
typedef struct xdp_md ctx_t;
#else
typedef struct __sk_buff ctx_t;
#endif

/*
 * By hand, because clang computes &ctx->data once and keeps the pointer, and
 * the verifier takes loads from the context at constant offsets only.
 */
#define CTX_POINTER(ctx, field)                                          \
	({                                                               \
		void *__p;                                               \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                  \
			     : "=r"(__p)                                 \
			     : "r"(ctx),                                 \
			       "i"(__builtin_offsetof(ctx_t, field)));   \
		__p;                                                     \
	})

static __always_inline void *ctx_data(const ctx_t *ctx)
{
	return CTX_POINTER(ctx, data);
}

static __always_inline void *ctx_data_end(const ctx_t *ctx)
{
	return CTX_POINTER(ctx, data_end);
}

/* Bytes of the whole frame, fragments of the skb included. */
static __always_inline __u32 ctx_len(const ctx_t *ctx)
{
#ifdef MAGLANE_XDP
	return (__u32)(ctx->data_end - ctx->data);
#else
	return ctx->len;
#endif
}

static __always_inline __u32 ctx_ifindex(const ctx_t *ctx)
{
#ifdef MAGLANE_XDP
	return ctx->ingress_ifindex;
#else
	return ctx->ifindex;
#endif
}

/*
 * A frame of a VLAN: it belongs to the device of that VLAN, where it is seen
 * again without its tag. In an skb the tag does not stand in the bytes.
 */
static __always_inline int ctx_is_tagged(const ctx_t *ctx)
{
#ifdef MAGLANE_XDP
	(void)ctx;
	return 0;
#else
	return ctx->vlan_present;
#endif
}

/* A packet that stands for several, each no longer than the path takes. */
static __always_inline int ctx_is_gso(const ctx_t *ctx)
{
#ifdef MAGLANE_XDP
	(void)ctx;
	return 0;
#else
	return ctx->gso_size != 0;
#endif
}

/* Makes the first `len` bytes directly readable; XDP has them already. */
static __always_inline void ctx_pull(ctx_t *ctx, __u32 len)
{
#ifdef MAGLANE_XDP
	(void)ctx;
	(void)len;
#else
	void *data = ctx_data(ctx), *end = ctx_data_end(ctx);

	/* a short packet may be linear already: then there is nothing to pull */
	if (data + len > end && ctx->len > (__u32)(end - data))
		bpf_skb_pull_data(ctx, len < ctx->len ? len : ctx->len);
#endif
}

#endif
