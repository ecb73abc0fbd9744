/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * conn.h - translated flows: two entries each, one per direction, and the
 * ownership of keys.
 *
 * A reply reaches the client that owns the flow, or is not translated. The
 * reverse entry decides who is the owner: its key is the tuple of a reply. A
 * forward entry is valid only while the reverse entry is its mirror, so that a
 * packet never leaves with the source port of another flow. To check that in
 * the map would cost a lookup per packet. Instead each reverse key has a slot
 * in `claims`, which counts the insertions of its keys by any flow. While the
 * count equals the one that the forward entry remembers, no other flow has the
 * key.
 *
 * Writers of each field, by half:
 *
 *   nat, backend_*, service_id, *_diff, slot, flags
 *                          conn_create() and conn_repair() once, in both
 *   last_seen              a packet of the half's direction
 *   own.*                  a packet of the half's direction, 0 -> 1
 *   peer.*                 a packet of the other direction, 0 -> 1
 *   backend_closed_first   a FIN of the backend, 0 -> 1, in both
 *   claim, frontend_epoch  a packet of the client, forward half only
 *
 * So two CPUs with packets of both directions never read, change and write the
 * same field. A half writes into the other only after conn_mirror_of() has
 * verified it. Only the holder of its slot inserts or replaces a reverse key
 * (conn_claim()).
 */
#ifndef MAGLANE_CONN_H
#define MAGLANE_CONN_H

#include <linux/in.h>

#include "config.h"
#include "count.h"
#include "csum.h"
#include "maps.h"
#include "packet.h"
#include "select.h"

#include MAGLANE_HOOK

static __always_inline struct conn *conn_lookup(const struct tuple *t)
{
	return bpf_map_lookup_elem(&connections, t);
}

static __always_inline __u32 conn_now(void)
{
	return (__u32)bpf_jiffies64();
}

static __always_inline int tuple_equal(const struct tuple *a,
				       const struct tuple *b)
{
	return addr_equal(&a->saddr, &b->saddr) &&
	       addr_equal(&a->daddr, &b->daddr) && a->sport == b->sport &&
	       a->dport == b->dport && a->proto == b->proto;
}

static __always_inline struct conn_scratch *conn_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&conn_scratches, &zero);
}

/* The other direction's entry if it is the mirror of this one, else NULL. */
static __always_inline struct conn *conn_mirror_of(const struct tuple *key,
						   const struct conn *c)
{
	struct tuple turned;
	struct conn *other;

	tuple_turn(&c->nat, &turned);
	other = conn_lookup(&turned);
	if (!other)
		return 0;
	tuple_turn(&other->nat, &turned);
	return tuple_equal(&turned, key) ? other : 0;
}

/* Have both sides closed, or has one reset? */
static __always_inline int conn_closed(const struct conn *c)
{
	return (c->own.rst | c->peer.rst) || (c->own.fin && c->peer.fin);
}

/* Has the flow finished its opening: a TCP handshake, a UDP exchange? */
static __always_inline int conn_established(const struct conn *c)
{
	return c->own.more | c->peer.more;
}

/* In seconds. */
static __always_inline __u32 conn_timeout(const struct conn *c, __u8 proto)
{
	if (proto == IPPROTO_UDP)
		return conn_established(c) ? timeout_udp_stream : timeout_udp;
	if (c->own.rst | c->peer.rst)
		return timeout_tcp_closed;
	if (c->own.fin && c->peer.fin)
		return c->backend_closed_first ? timeout_tcp_time_wait :
						 timeout_tcp_closed;
	return conn_established(c) ? timeout_tcp : timeout_tcp_syn;
}

/* In jiffies; 0 when another CPU has written last_seen after `now` was read. */
static __always_inline __u32 conn_half_age(const struct conn *c, __u32 now)
{
	__u32 age = now - c->last_seen;

	return age > (__u32)-65536 ? 0 : age;
}

/* Has the half received a packet within the last second? */
static __always_inline int conn_fresh(const struct conn *c)
{
	return conn_half_age(c, conn_now()) <= hz;
}

/*
 * Has the half under the scratch's mirror_key received no packet for so many
 * seconds?
 */
static __always_inline int conn_mirror_is_idle(const struct conn_scratch *s,
					       __u32 seconds)
{
	struct conn *other = conn_lookup(&s->mirror_key);

	return !other || !tuple_equal(&other->nat, &s->mirror_of) ||
	       conn_half_age(other, conn_now()) > seconds * hz;
}

__noinline int conn_mirror_idle(__u32 seconds)
{
	struct conn_scratch *s = conn_scratch();

	return !s || conn_mirror_is_idle(s, seconds);
}

/* Has neither direction had a packet for so many seconds? */
static __always_inline int conn_idle(const struct tuple *key,
				     const struct conn *c, __u32 seconds)
{
	struct conn_scratch *s;

	if (conn_half_age(c, conn_now()) <= seconds * hz)
		return 0;
	s = conn_scratch();
	if (!s)
		return 1;
	tuple_turn(&c->nat, &s->mirror_key);
	tuple_turn(key, &s->mirror_of);
	return conn_mirror_idle(seconds);
}

/* Each timeout is a second or more, so a fresh half needs no closer look. */
static __always_inline int conn_expired(const struct tuple *key,
					const struct conn *c)
{
	return !conn_fresh(c) &&
	       conn_idle(key, c, conn_timeout(c, key->proto));
}

/* Is the flow's backend still the one that the flow was created for? */
static __always_inline int conn_backend_current(const struct conn *c)
{
	struct backend *b = backend_lookup(c->backend_id);

	return b && b->generation == c->backend_generation;
}

/*
 * May this packet of the client use the entry? An established TCP connection
 * keeps its backend whatever the table has; a SYN may select another one; UDP
 * leaves a backend as soon as it is gone.
 */
static __always_inline int conn_usable(const struct conn *c,
				       const struct packet *p)
{
	if (p->tuple.proto == IPPROTO_TCP &&
	    (p->tcp_flags & (TH_SYN | TH_ACK)) != TH_SYN)
		return 1;
	if (!conn_backend_current(c) || conn_expired(&p->tuple, c))
		return 0;
	return p->tuple.proto == IPPROTO_UDP || !conn_closed(c);
}

/* Builds the other direction's entry from this one. */
static __always_inline void conn_mirror(const struct tuple *key,
					const struct conn *c,
					struct tuple *other_key,
					struct conn *other)
{
	tuple_turn(&c->nat, other_key);
	*other = *c;
	tuple_turn(key, &other->nat);
	other->flags = c->flags ^ CONN_FORWARD;
	other->own = c->peer;
	other->peer = c->own;
	other->addr_diff = csum_addr_diff(other_key, &other->nat);
	other->port_diff = csum_port_diff(other_key, &other->nat);
}

static __always_inline __u16 claim_slot(const struct tuple *reverse)
{
	const __u32 *a = (const __u32 *)reverse;

	return mix3(a[3] ^ a[2], a[7] ^ a[6],
		    ((__u32)reverse->sport << 16 | reverse->dport) +
			    reverse->proto) %
	       CLAIM_SLOTS;
}

/* Holds the slot until claim_release(); NULL if another program holds it. */
static __always_inline struct claim *claim_hold(__u32 slot)
{
	struct claim *claim = bpf_map_lookup_elem(&claims, &slot);
	__u32 held;

	if (!claim)
		return 0;
	bpf_spin_lock(&claim->lock);
	held = claim->held;
	if (!held) {
		claim->held = 1;
		claim->count++;
	}
	bpf_spin_unlock(&claim->lock);
	return held ? 0 : claim;
}

static __always_inline void claim_release(struct claim *claim)
{
	bpf_spin_lock(&claim->lock);
	claim->held = 0;
	bpf_spin_unlock(&claim->lock);
}

/*
 * Counts the insertion of an entry that is no reverse entry. Its key may be
 * that of an evicted reverse entry, when a backend is a client of a frontend
 * port in the SNAT range, or the entry is for a flow of the node. The flow that
 * had the key notices by the count.
 */
static __always_inline void claim_note(const struct tuple *key)
{
	__u32 slot = claim_slot(key);
	struct claim *claim = bpf_map_lookup_elem(&claims, &slot);

	if (!claim)
		return;
	bpf_spin_lock(&claim->lock);
	claim->count++;
	bpf_spin_unlock(&claim->lock);
}

/*
 * May the key of `taken` be given to another flow? Yes if it has expired, or,
 * when free ports are scarce, if it is still opening after some seconds of
 * silence. So neither a flood of SYNs nor single datagrams keep the ports of a
 * backend.
 */
static __always_inline int conn_forsaken(struct conn_scratch *s,
					 const struct conn *taken, int pressed)
{
	__u32 seconds = conn_timeout(taken, s->reverse_key.proto);

	if (pressed && !conn_established(taken) && seconds > timeout_opening)
		seconds = timeout_opening;
	if (conn_half_age(taken, conn_now()) <= seconds * hz)
		return 0;
	tuple_turn(&taken->nat, &s->mirror_key);
	tuple_turn(&s->reverse_key, &s->mirror_of);
	return conn_mirror_is_idle(s, seconds);
}

/*
 * Inserts the scratch's reverse entry, with the slot held. 0, or -1 when
 * another live flow has the key.
 */
static __always_inline int conn_insert(struct conn_scratch *s, int pressed)
{
	struct conn *taken, *other;

	if (!bpf_map_update_elem(&connections, &s->reverse_key, &s->reverse,
				 BPF_NOEXIST))
		return 0;
	taken = conn_lookup(&s->reverse_key);
	if (taken && !tuple_equal(&taken->nat, &s->reverse.nat)) {
		if (!conn_forsaken(s, taken, pressed))
			return -1;
		/* the other half of the flow that loses the key */
		other = conn_lookup(&s->mirror_key);
		if (other && tuple_equal(&other->nat, &s->mirror_of))
			bpf_map_delete_elem(&connections, &s->mirror_key);
	}
	return bpf_map_update_elem(&connections, &s->reverse_key, &s->reverse,
				   BPF_ANY) ?
		       -1 :
		       0;
}

/*
 * Inserts the reverse entry of the scratch's forward entry, under a key that is
 * free, this flow's own, or forsaken: then it deletes the loser's forward half.
 * 0, or -1 when another flow has the key or another CPU holds the slot.
 *
 * Global like port_claim(), so that the verifier checks it once.
 */
__noinline int conn_claim(ctx_t *ctx, __u32 pressed)
{
	struct conn_scratch *s = conn_scratch();
	struct claim *claim;
	int failed;

	if (!ctx || !s)
		return -1;
	tuple_turn(&s->forward.nat, &s->reverse_key);
	s->forward.slot = claim_slot(&s->reverse_key);
	claim = claim_hold(s->forward.slot);
	if (!claim)
		return -1;
	s->forward.claim = claim->count;
	conn_mirror(&s->forward_key, &s->forward, &s->reverse_key, &s->reverse);
	failed = conn_insert(s, (int)pressed);
	claim_release(claim);
	return failed;
}

/*
 * Called when the slot of the reverse key has had an insertion, or after a
 * second. Is the reverse key still the mirror of the forward entry under the
 * scratch's key? If it was evicted, it is created again.
 */
__noinline int conn_reclaim(ctx_t *ctx)
{
	struct conn_scratch *s = conn_scratch();
	struct claim *claim;
	struct conn *c;
	__u32 slot, count_now;

	c = s ? conn_lookup(&s->key) : 0;
	if (!ctx || !c)
		return 0;
	slot = c->slot;
	claim = bpf_map_lookup_elem(&claims, &slot);
	if (!claim)
		return 0;
	count_now = *(volatile __u32 *)&claim->count;
	if (conn_mirror_of(&s->key, c)) {
		c->claim = count_now;
		return 1;
	}
	s->forward_key = s->key;
	s->forward = *c;
	s->forward.last_seen = conn_now();
	if (conn_claim(ctx, 0)) {
		count(REASON_CONN_LOST, 0);
		return 0;
	}
	c->claim = s->forward.claim;
	count(REASON_CONN_EVICTED_HALF, 0);
	return 1;
}

/* Does the source port of forward entry `c` still belong to it? */
static __always_inline int conn_owns(ctx_t *ctx, const struct tuple *key,
				     const struct conn *c)
{
	struct conn_scratch *s;
	__u32 slot = c->slot;
	struct claim *claim = bpf_map_lookup_elem(&claims, &slot);

	if (claim && *(volatile __u32 *)&claim->count == c->claim)
		return 1;
	s = conn_scratch();
	if (!s)
		return 0;
	s->key = *key;
	return conn_reclaim(ctx);
}

/*
 * Recreates the other half of the entry under the scratch's key if the LRU has
 * evicted it.
 */
static __always_inline void conn_repair(ctx_t *ctx, struct conn_scratch *s,
					struct conn *c)
{
	if (c->flags & CONN_FORWARD) {
		conn_reclaim(ctx);
		return;
	}
	conn_mirror(&s->key, c, &s->forward_key, &s->forward);
	/* forces its first packet to verify the key */
	s->forward.claim = c->claim - 1;
	if (bpf_map_update_elem(&connections, &s->forward_key, &s->forward,
				BPF_NOEXIST))
		return;
	claim_note(&s->forward_key);
	count(REASON_CONN_EVICTED_HALF, 0);
}

/* Events for conn_news(), in one number. */
#define NEWS_MORE (1 << 0)
#define NEWS_FIN (1 << 1)
#define NEWS_RST (1 << 2)
#define NEWS_LATE (1 << 3) /* no event: over a second since the last packet was noted */

static __always_inline void conn_see(struct conn_seen *seen, __u32 news)
{
	seen->packet = 1;
	if (news & NEWS_MORE)
		seen->more = 1;
	if (news & NEWS_FIN)
		seen->fin = 1;
	if (news & NEWS_RST)
		seen->rst = 1;
}

/*
 * Records events of one direction in both halves; the scratch's key selects the
 * half.
 */
__noinline int conn_news(ctx_t *ctx, __u32 news)
{
	struct conn_scratch *s = conn_scratch();
	struct conn *c, *other;
	int backend_first;

	c = s ? conn_lookup(&s->key) : 0;
	if (!ctx || !c)
		return 0;
	c->last_seen = conn_now();
	if (news != NEWS_LATE) {
		backend_first = (news & NEWS_FIN) && !c->own.fin &&
				!c->peer.fin && !(c->flags & CONN_FORWARD);
		other = conn_mirror_of(&s->key, c);
		conn_see(&c->own, news);
		if (other)
			conn_see(&other->peer, news);
		if (backend_first)
			c->backend_closed_first = 1;
		if (backend_first && other)
			other->backend_closed_first = 1;
	}
	if (news & NEWS_LATE)
		conn_repair(ctx, s, c);
	return 0;
}

/* Records the events that this packet means for the flow. */
static __always_inline void conn_touch(ctx_t *ctx, const struct conn *c,
				       const struct packet *p)
{
	int udp = p->tuple.proto == IPPROTO_UDP;
	struct conn_scratch *s;
	__u32 news = 0, fresh;

	if (udp) {
		if (c->peer.packet && (c->flags & CONN_FORWARD))
			news |= NEWS_MORE;
	} else {
		if (!(p->tcp_flags & TH_SYN))
			news |= NEWS_MORE;
		if (p->tcp_flags & TH_FIN)
			news |= NEWS_FIN;
		if (p->tcp_flags & TH_RST)
			news |= NEWS_RST;
	}
	fresh = news & ~((c->own.more ? NEWS_MORE : 0) |
			 (c->own.fin ? NEWS_FIN : 0) |
			 (c->own.rst ? NEWS_RST : 0));
	if (!fresh && c->own.packet) {
		if (conn_fresh(c))
			return;
		news = udp && !c->own.more ? NEWS_LATE | NEWS_MORE : NEWS_LATE;
	}
	s = conn_scratch();
	if (!s)
		return;
	s->key = p->tuple;
	conn_news(ctx, news);
}

#endif
