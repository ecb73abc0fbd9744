/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * fragment.h - fragmented datagrams. Only the first fragment has the ports.
 *
 * A fragment that arrives before its datagram's first waits in a map, if it is
 * for an address of a Service or of the node. When the first arrives by TC, all
 * are received again, the first before those that waited. So no datagram is
 * translated in part, and senders in order pay nothing. XDP leaves fragments
 * out of order to TC. Fragments to other addresses are never held: their first
 * may take another path. A sender that never sends the first has a budget.
 *
 * When one CPU has the first fragment and another CPU a later one, each writes
 * its own before it looks for the other's.
 */
#ifndef MAGLANE_FRAGMENT_H
#define MAGLANE_FRAGMENT_H

#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>

#include "address.h"
#include "bucket.h"
#include "config.h"
#include "count.h"
#include "maps.h"
#include "packet.h"
#include "slow.h"

#include MAGLANE_HOOK

/* The key holds only fields that all fragments of a datagram share. */
static __always_inline void fragment_key_fill(const struct packet *p,
					      struct fragment_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->saddr = p->tuple.saddr;
	key->daddr = p->tuple.daddr;
	key->id = p->fragment_id;
	key->proto = p->v4 ? p->tuple.proto : 0;
}

/* Senders reuse identifications: an old entry belongs to another datagram. */
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

/*
 * Stores the ports of the saved packet, a datagram's first fragment, for later
 * ones.
 */
__noinline int fragment_enter(ctx_t *ctx)
{
	struct packet *p = packet_saved();
	struct fragment_key key;
	struct fragment first = {};

	if (!ctx || !p)
		return 0;
	first.sport = p->tuple.sport;
	first.dport = p->tuple.dport;
	first.seen = (__u32)bpf_jiffies64();
	first.len = (__u16)p->ip_len;
	first.proto = p->tuple.proto;
	fragment_key_fill(p, &key);
	bpf_map_update_elem(&fragments, &key, &first, BPF_ANY);
	return 0;
}

/*
 * Copies the ports of the first fragment into the saved packet, a later one. 1
 * if they are known.
 */
__noinline int fragment_recall(ctx_t *ctx)
{
	struct packet *p = packet_saved();
	struct fragment_key key;
	struct fragment *known;

	if (!ctx || !p)
		return 0;
	fragment_key_fill(p, &key);
	known = fragment_lookup(&key);
	if (!known)
		return 0;
	p->tuple.proto = known->proto;
	p->tuple.sport = known->sport;
	p->tuple.dport = known->dport;
	p->first_len = known->len;
	/* a later fragment has no TCP flags */
	p->tcp_flags = TH_ACK;
	return 1;
}

static __always_inline void fragment_remember(ctx_t *ctx, const struct packet *p)
{
	if (packet_save(p))
		fragment_enter(ctx);
}

/* Is a fragment of this datagram, whose first this is, waiting? */
static __always_inline int fragment_awaited(const struct packet *p)
{
	struct held_key key = {};
	struct held *held;

	fragment_key_fill(p, &key.datagram);
	held = bpf_map_lookup_elem(&held_fragments, &key);
	return held && !fragment_expired(held->seen);
}

#endif
