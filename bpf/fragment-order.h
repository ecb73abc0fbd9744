/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * fragment-order.h - at TC: fragments that overtook their first wait for it; see
 * fragment.h.
 */
#ifndef MAGLANE_FRAGMENT_ORDER_H
#define MAGLANE_FRAGMENT_ORDER_H

#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>

#include "address.h"
#include "bucket.h"
#include "config.h"
#include "count.h"
#include "fragment.h"
#include "maps.h"
#include "packet.h"
#include "slow.h"

#include MAGLANE_HOOK

/* From <sys/socket.h>, which has no place in a BPF program. */
#define FRAGMENT_INET 2
#define FRAGMENT_INET6 10

/* Is it delivered here? The routes include all addresses of the node. */
static __always_inline int fragment_is_local(ctx_t *ctx, const struct packet *p)
{
	struct bpf_fib_lookup fib = { .ifindex = ctx->ifindex };
	long found;

	if (p->v4) {
		fib.family = FRAGMENT_INET;
		fib.ipv4_src = addr_v4(&p->tuple.saddr);
		fib.ipv4_dst = addr_v4(&p->tuple.daddr);
	} else {
		fib.family = FRAGMENT_INET6;
		__builtin_memcpy(fib.ipv6_src, &p->tuple.saddr, 16);
		__builtin_memcpy(fib.ipv6_dst, &p->tuple.daddr, 16);
	}
	found = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	return found == BPF_FIB_LKUP_RET_NOT_FWDED ||
	       found == BPF_FIB_LKUP_RET_FWD_DISABLED;
}

/*
 * Is it to a Service address or an address of the node, so that its ports
 * decide the outcome?
 */
static __always_inline int fragment_is_ours(ctx_t *ctx, const struct packet *p)
{
	return address_lookup(&p->tuple.daddr) ||
	       address_in_cidrs(&p->tuple.daddr) || fragment_is_local(ctx, p);
}

/*
 * The sender's budget of waiting fragments, or NULL when the map has no room
 * for it.
 */
static __always_inline struct bucket *fragment_source(const struct packet *p)
{
	struct addr source = p->tuple.saddr;
	__u32 *word = (__u32 *)source.b;
	struct bucket full = {}, *b;

	/* the holder of a /64 can use all its addresses */
	if (!p->v4)
		word[2] = word[3] = 0;
	b = bpf_map_lookup_elem(&fragment_sources, &source);
	if (b)
		return b;
	bpf_map_update_elem(&fragment_sources, &source, &full, BPF_NOEXIST);
	return bpf_map_lookup_elem(&fragment_sources, &source);
}

/* The scratch with the datagram's key, or NULL. */
static __always_inline struct held_scratch *
fragment_scratch(const struct packet *p)
{
	__u32 zero = 0;
	struct held_scratch *s = bpf_map_lookup_elem(&held_scratches, &zero);

	if (s)
		fragment_key_fill(p, &s->key.datagram);
	return s;
}

/*
 * A frame's length as a size for helpers: always 1 to HELD_BYTES. Verifiers
 * before 6.x derive no bounds of a size from a comparison with zero.
 */
static __always_inline __u32 held_size(__u32 len)
{
	len--;
	asm volatile(""
		     : "+r"(len));
	return (len & (HELD_BYTES - 1)) + 1;
}

/* Stores s->held in the first free slot. 0 or -1. */
static __always_inline int fragment_store(struct held_scratch *s)
{
	struct held *there;
	__u32 slot;

	for (slot = 0; slot < HELD_SLOTS; slot++) {
		s->key.slot = slot;
		if (!bpf_map_update_elem(&held_fragments, &s->key, &s->held,
					 BPF_NOEXIST))
			return 0;
		there = bpf_map_lookup_elem(&held_fragments, &s->key);
		if (there && !fragment_expired(there->seen))
			continue;
		return bpf_map_update_elem(&held_fragments, &s->key, &s->held,
					   BPF_ANY) ?
			       -1 :
			       0;
	}
	return -1;
}

/* Holds a later fragment whose first has not arrived. */
static __always_inline int fragment_hold(ctx_t *ctx, struct packet *p)
{
	struct held_scratch *s = fragment_scratch(p);
	struct bucket *budget = fragment_source(p);
	__u32 len = ctx->len;

	if (!s || !budget || !len || len >= HELD_BYTES || ctx_is_gso(ctx) ||
	    bucket_take(budget, fragment_budget, fragment_budget))
		return REASON_DROP_FRAGMENT;
	len = held_size(len);
	if (bpf_skb_load_bytes(ctx, 0, s->held.frame, len))
		return REASON_DROP_FRAGMENT;
	s->held.seen = (__u32)bpf_jiffies64();
	s->held.serial = bpf_get_prandom_u32();
	s->held.ifindex = ctx->ifindex;
	s->held.l3_off = L3_OFF;
	s->held.len = len;
	if (fragment_store(s))
		return REASON_DROP_FRAGMENT;
	if (!fragment_lookup(&s->key.datagram))
		return REASON_FRAGMENT_HELD;
	/*
	 * the first arrived meanwhile: it has released this one, or found none
	 */
	if (bpf_map_delete_elem(&held_fragments, &s->key))
		return REASON_FRAGMENT_HELD;
	p->action = (__u32)bpf_redirect(ctx->ifindex, BPF_F_INGRESS);
	return REASON_FRAGMENT_RELEASED;
}

/*
 * Takes the held fragment of the slot out of the map, or returns NULL. Copies
 * it first, then checks that the entry is the same: the map may have reused its
 * memory meanwhile.
 */
static __always_inline struct held *fragment_take(const struct held_key *key)
{
	struct held *held = bpf_map_lookup_elem(&held_fragments, key), *copy;
	__u32 zero = 0;

	if (!held || bpf_map_update_elem(&held_copies, &zero, held, BPF_ANY))
		return 0;
	copy = bpf_map_lookup_elem(&held_copies, &zero);
	held = bpf_map_lookup_elem(&held_fragments, key);
	if (!copy || !held || held->serial != copy->serial)
		return 0;
	/* if another CPU has deleted it, that CPU sends it */
	return bpf_map_delete_elem(&held_fragments, key) ? 0 : copy;
}

/*
 * Replaces the packet with the held frame and sends a clone to ingress. 0 or
 * -1.
 */
static __always_inline int fragment_let_in(ctx_t *ctx, const struct held *held)
{
	__u32 len = held_size(held->len);

	if (held->l3_off != L3_OFF || bpf_skb_change_tail(ctx, len, 0) ||
	    bpf_skb_store_bytes(ctx, 0, held->frame, len, BPF_F_RECOMPUTE_CSUM))
		return -1;
	return bpf_clone_redirect(ctx, held->ifindex, BPF_F_INGRESS) ? -1 : 0;
}

/*
 * Releases all fragments that wait for the datagram's first, which was sent in
 * before them, or could not be (`lost`). @returns the number released. The
 * others are counted as dropped.
 */
static __always_inline __u32 fragment_let_all_in(ctx_t *ctx,
						 struct held_scratch *s, int lost)
{
	__u32 slot, sent = 0;
	struct held *held;

	for (slot = 0; slot < HELD_SLOTS; slot++) {
		s->key.slot = slot;
		held = fragment_take(&s->key);
		if (!held || fragment_expired(held->seen))
			continue;
		if (lost || fragment_let_in(ctx, held)) {
			count(REASON_DROP_FRAGMENT, held->len);
			continue;
		}
		count(REASON_FRAGMENT_RELEASED, held->len);
		sent++;
	}
	return sent;
}

/*
 * Handles a first fragment for which others wait: sends a clone of it to
 * ingress, then uses its packet to send the others.
 */
static __always_inline int fragment_release(ctx_t *ctx, struct packet *p)
{
	struct held_scratch *s = fragment_scratch(p);
	struct bucket *budget = fragment_source(p);
	__u32 sent;
	int lost;

	if (!s || ctx_is_gso(ctx))
		return STEP_NEXT;
	p->action = TC_ACT_SHOT;
	lost = bpf_clone_redirect(ctx, ctx->ifindex, BPF_F_INGRESS) != 0;
	sent = fragment_let_all_in(ctx, s, lost);
	if (budget)
		budget->credit += sent * hz;
	return lost ? REASON_DROP_FRAGMENT : REASON_FRAGMENT_RELEASED;
}

/*
 * As fragment_order(), for the saved packet, which is a fragment: the first
 * one, or one whose first is unknown.
 */
__noinline int fragment_order_saved(ctx_t *ctx, __u32 first)
{
	struct packet *p = packet_saved();
	int step = first ? STEP_NEXT : REASON_PASS_FRAGMENT;

	if (!ctx || !p)
		return REASON_DROP_REWRITE;
	if (!fragment_is_ours(ctx, p))
		return step;
	if (!first)
		return fragment_hold(ctx, p);
	fragment_enter(ctx);
	return fragment_awaited(p) ? fragment_release(ctx, p) : step;
}

/* Puts a received fragment in order. `step` is the result of packet_parse(). */
static __always_inline int fragment_order(ctx_t *ctx, struct packet *p,
					  int step)
{
	int first = step == STEP_NEXT && p->fragment == FRAGMENT_FIRST;
	struct packet *saved;

	if (!first && step != REASON_PASS_FRAGMENT)
		return step;
	saved = packet_save(p);
	if (!saved)
		return REASON_DROP_REWRITE;
	step = fragment_order_saved(ctx, (__u32)first);
	p->action = saved->action;
	return step;
}

#endif
