/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * fragment.h - datagrams in fragments. The ports stand in the first one only.
 *
 * A fragment that has overtaken its datagram's first waits in a map, and when
 * that comes by TC both go back to where they came in: the first before those
 * that waited. So nothing is translated in part, whoever's it is, and nobody
 * who sends in order pays for it. XDP leaves to TC what is out of order.
 *
 * Of two CPUs, one with the first and one with a later fragment, each writes
 * what it has before it looks for what the other has.
 */
#ifndef MAGLANE_FRAGMENT_H
#define MAGLANE_FRAGMENT_H

#include <linux/in.h>
#include <linux/pkt_cls.h>

#include "config.h"
#include "count.h"
#include "ctx.h"
#include "maps.h"
#include "packet.h"

/* Not of the fragments themselves: what a later one must be told by its first. */
static __always_inline void fragment_key_fill(const struct packet *p,
					      struct fragment_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->saddr = p->tuple.saddr;
	key->daddr = p->tuple.daddr;
	key->id = p->fragment_id;
	key->proto = p->v4 ? p->tuple.proto : 0;
}

/* Identifications come again: what is old is another datagram's. */
static __always_inline int fragment_expired(__u32 seen)
{
	return (__u32)bpf_jiffies64() - seen > timeout_fragment * hz;
}

static __always_inline struct fragment *
fragment_lookup(const struct fragment_key *key)
{
	struct fragment *known = bpf_map_lookup_elem(&fragments, key);

	return known && !fragment_expired(known->seen) ? known : 0;
}

static __always_inline void fragment_remember(const struct packet *p,
					      const struct fragment_key *key)
{
	struct fragment first = {
		.sport = p->tuple.sport,
		.dport = p->tuple.dport,
		.seen = (__u32)bpf_jiffies64(),
		.proto = p->tuple.proto,
	};

	bpf_map_update_elem(&fragments, key, &first, BPF_ANY);
}

/* Has a fragment of this datagram come before the first, which this is? */
static __always_inline int fragment_awaited(const struct packet *p)
{
	struct held_key key = {};
	struct held *held;

	fragment_key_fill(p, &key.datagram);
	held = bpf_map_lookup_elem(&held_fragments, &key);
	return held && !fragment_expired(held->seen);
}

#ifndef MAGLANE_XDP

/* The scratch with the datagram's key in it, or NULL. */
static __always_inline struct held_scratch *
fragment_scratch(const struct packet *p)
{
	__u32 zero = 0;
	struct held_scratch *s = bpf_map_lookup_elem(&held_scratches, &zero);

	if (s)
		fragment_key_fill(p, &s->key.datagram);
	return s;
}

/* Puts s->held into the first slot that is free. 0 or -1. */
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

/* A later fragment of which the first has not come yet. */
static __always_inline int fragment_hold(ctx_t *ctx, struct packet *p)
{
	struct held_scratch *s = fragment_scratch(p);
	__u32 len = ctx->len;

	if (!s || len >= HELD_BYTES || ctx_is_gso(ctx))
		return REASON_DROP_FRAGMENT;
	len &= HELD_BYTES - 1;
	if (!len || bpf_skb_load_bytes(ctx, 0, s->held.frame, len))
		return REASON_DROP_FRAGMENT;
	s->held.seen = (__u32)bpf_jiffies64();
	s->held.ifindex = ctx->ifindex;
	s->held.len = len;
	if (fragment_store(s))
		return REASON_DROP_FRAGMENT;
	if (!fragment_lookup(&s->key.datagram))
		return REASON_FRAGMENT_HELD;
	/* the first came meanwhile: it has let this one in, or found nothing */
	if (bpf_map_delete_elem(&held_fragments, &s->key))
		return REASON_FRAGMENT_HELD;
	p->action = (__u32)bpf_redirect(ctx->ifindex, BPF_F_INGRESS);
	return REASON_FRAGMENT_RELEASED;
}

/* Turns the packet into the one that waits in the slot, and sends that in. */
static __always_inline void fragment_let_in(ctx_t *ctx,
					    const struct held_key *key)
{
	struct held *held = bpf_map_lookup_elem(&held_fragments, key);
	__u32 len;

	if (!held)
		return;
	len = held->len & (HELD_BYTES - 1);
	if (len && !fragment_expired(held->seen) &&
	    !bpf_skb_change_tail(ctx, len, 0) &&
	    !bpf_skb_store_bytes(ctx, 0, held->frame, len, BPF_F_RECOMPUTE_CSUM) &&
	    !bpf_clone_redirect(ctx, held->ifindex, BPF_F_INGRESS))
		count(REASON_FRAGMENT_RELEASED, len);
	bpf_map_delete_elem(&held_fragments, key);
}

/*
 * The first fragment of a datagram of which others wait: it goes in once more
 * by itself, and its packet then serves to carry the others.
 */
static __always_inline int fragment_release(ctx_t *ctx, struct packet *p)
{
	struct held_scratch *s = fragment_scratch(p);
	__u32 slot;

	if (!s || ctx_is_gso(ctx))
		return STEP_NEXT;
	p->action = TC_ACT_SHOT;
	bpf_clone_redirect(ctx, ctx->ifindex, BPF_F_INGRESS);
	for (slot = 0; slot < HELD_SLOTS; slot++) {
		s->key.slot = slot;
		fragment_let_in(ctx, &s->key);
	}
	return REASON_FRAGMENT_RELEASED;
}

/* What packet_parse() made of a packet that comes in, its order mended. */
static __always_inline int fragment_order(ctx_t *ctx, struct packet *p,
					  int step)
{
	if (step == REASON_PASS_FRAGMENT)
		return fragment_hold(ctx, p);
	if (step == STEP_NEXT && p->fragment == FRAGMENT_FIRST &&
	    fragment_awaited(p))
		return fragment_release(ctx, p);
	return step;
}

#endif

#endif
