/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ctx.h - direct access to the bytes of the packet, of an XDP frame or a TC skb.
 */
#ifndef MAGLANE_CTX_H
#define MAGLANE_CTX_H

#include <linux/types.h>

/*
 * In assembly, because clang computes &ctx->data once and keeps the pointer,
 * and the verifier accepts loads from the context at constant offsets only.
 */
#define CTX_POINTER(ctx, field)                                           \
	({                                                                \
		void *__p;                                                \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                     \
			     : "=r"(__p)                                  \
			     : "r"(ctx),                                  \
			       "i"(__builtin_offsetof(__typeof__(*(ctx)), \
						      field)));           \
		__p;                                                      \
	})

#define ctx_data(ctx) CTX_POINTER(ctx, data)
#define ctx_data_end(ctx) CTX_POINTER(ctx, data_end)

#endif
