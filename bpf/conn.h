/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * conn.h - translated flows: two entries each, one a direction.
 *
 * One lookup a packet. An entry is written again only when it says something
 * new: a TCP flag not seen before, or a second gone by since last_seen.
 */
#ifndef MAGLANE_CONN_H
#define MAGLANE_CONN_H

#include <linux/in.h>

#include "config.h"
#include "count.h"
#include "csum.h"
#include "ctx.h"
#include "maps.h"
#include "packet.h"
#include "select.h"

#define SNAT_ATTEMPTS 16

static __always_inline struct conn *conn_lookup(const struct tuple *t)
{
	return bpf_map_lookup_elem(&connections, t);
}

static __always_inline __u32 conn_now(void)
{
	return (__u32)bpf_jiffies64();
}

/* Both sides have closed, or one has reset. */
static __always_inline int conn_closed(__u32 flags)
{
	return (flags & CONN_RST) ||
	       (flags & (CONN_FIN | CONN_PEER_FIN)) ==
		       (CONN_FIN | CONN_PEER_FIN);
}

static __always_inline __u32 conn_timeout(const struct conn *c, __u8 proto)
{
	if (proto == IPPROTO_UDP)
		return timeout_udp * hz;
	if (conn_closed(c->flags))
		return timeout_tcp_closed * hz;
	if (!(c->flags & CONN_ESTABLISHED))
		return timeout_tcp_syn * hz;
	return timeout_tcp * hz;
}

static __always_inline int conn_expired(const struct conn *c, __u8 proto)
{
	return conn_now() - c->last_seen > conn_timeout(c, proto);
}

/* Is the flow's backend the one that it was made for? */
static __always_inline int conn_backend_current(const struct conn *c)
{
	struct backend *b = backend_lookup(c->backend_id);

	return b && b->generation == c->backend_generation;
}

/*
 * May this packet of the client follow the entry? TCP that has begun stays
 * with its backend whatever the table says; a SYN may begin anew; UDP leaves a
 * backend as soon as that is gone.
 */
static __always_inline int conn_usable(const struct conn *c,
				       const struct packet *p)
{
	if (p->tuple.proto == IPPROTO_UDP)
		return conn_backend_current(c) && !conn_expired(c, IPPROTO_UDP);
	if ((p->tcp_flags & (TH_SYN | TH_ACK)) != TH_SYN)
		return 1;
	return !conn_closed(c->flags) && conn_backend_current(c) &&
	       !conn_expired(c, IPPROTO_TCP);
}

/* The other direction's entry, made from this one. */
static __always_inline void conn_mirror(const struct tuple *key,
					const struct conn *c,
					struct tuple *other_key,
					struct conn *other)
{
	tuple_turn(&c->nat, other_key);
	*other = *c;
	tuple_turn(key, &other->nat);
	other->flags = (c->flags & ~(CONN_FIN | CONN_PEER_FIN)) ^ CONN_FORWARD;
	if (c->flags & CONN_FIN)
		other->flags |= CONN_PEER_FIN;
	if (c->flags & CONN_PEER_FIN)
		other->flags |= CONN_FIN;
	other->addr_diff = csum_addr_diff(other_key, &other->nat);
	other->port_diff = csum_port_diff(other_key, &other->nat);
}

/* What one half has learnt is told to the other, so that either knows its age. */
static __always_inline void conn_tell_mirror(const struct conn *c, __u32 flags)
{
	struct tuple key;
	struct conn *other;

	tuple_turn(&c->nat, &key);
	other = conn_lookup(&key);
	if (other)
		other->flags |= flags;
}

/* Makes the other half anew if the LRU has dropped it. */
static __always_inline void conn_heal(const struct tuple *key,
				      const struct conn *c)
{
	struct tuple other_key;
	struct conn other;

	tuple_turn(&c->nat, &other_key);
	if (conn_lookup(&other_key))
		return;
	conn_mirror(key, c, &other_key, &other);
	if (!bpf_map_update_elem(&connections, &other_key, &other, BPF_NOEXIST))
		count(REASON_CONN_EVICTED_HALF, 0);
}

/* Notes what this packet says of the flow. */
static __always_inline void conn_touch(struct conn *c, const struct packet *p)
{
	__u32 now = conn_now();
	__u32 flags = c->flags;

	if (p->tuple.proto == IPPROTO_TCP) {
		if (!(p->tcp_flags & TH_SYN))
			flags |= CONN_ESTABLISHED;
		if (p->tcp_flags & TH_FIN)
			flags |= CONN_FIN;
		if (p->tcp_flags & TH_RST)
			flags |= CONN_RST;
	}
	if (flags != c->flags) {
		__u32 fresh = flags & ~c->flags;

		conn_tell_mirror(c, (fresh & (CONN_ESTABLISHED | CONN_RST)) |
					    (fresh & CONN_FIN ? CONN_PEER_FIN : 0));
		c->flags = flags;
		c->last_seen = now;
	} else if (now - c->last_seen > hz) {
		c->last_seen = now;
		conn_heal(&p->tuple, c);
	}
}

/*
 * May the key of `taken` be given to another flow? It is dead, or, where free
 * ones are hard to find, nobody has completed its handshake for seconds: so a
 * flood of SYNs does not keep the ports of a backend from others.
 */
static __always_inline int conn_forsaken(const struct conn *taken, __u8 proto,
					 int pressed)
{
	if (conn_expired(taken, proto))
		return 1;
	return pressed && proto == IPPROTO_TCP &&
	       !(taken->flags & CONN_ESTABLISHED) &&
	       conn_now() - taken->last_seen > timeout_handshake * hz;
}

/*
 * Writes the reverse entry under a key that nobody uses: taken over if it is
 * this flow's own or a forsaken one's. 0, or -1 when somebody lives there.
 */
static __always_inline int conn_claim(const struct tuple *key,
				      const struct conn *reverse, int pressed)
{
	struct conn *taken;

	if (!bpf_map_update_elem(&connections, key, reverse, BPF_NOEXIST))
		return 0;
	taken = conn_lookup(key);
	if (taken && !conn_forsaken(taken, key->proto, pressed) &&
	    !(addr_equal(&taken->nat.daddr, &reverse->nat.daddr) &&
	      addr_equal(&taken->nat.saddr, &reverse->nat.saddr) &&
	      taken->nat.dport == reverse->nat.dport &&
	      taken->nat.sport == reverse->nat.sport))
		return -1;
	return bpf_map_update_elem(&connections, key, reverse, BPF_ANY) ? -1 : 0;
}

/*
 * Has the node a socket of its own that packets from the backend to the node's
 * address and this port would reach? Its port is not to be taken from it.
 */
static __always_inline int conn_port_in_use(ctx_t *ctx, const struct conn *c,
					    int v4)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk;
	__u32 size;

	if (v4) {
		size = sizeof(t.ipv4);
		t.ipv4.saddr = addr_v4(&c->nat.daddr);
		t.ipv4.daddr = addr_v4(&c->nat.saddr);
		t.ipv4.sport = bpf_htons(c->nat.dport);
		t.ipv4.dport = bpf_htons(c->nat.sport);
	} else {
		size = sizeof(t.ipv6);
		__builtin_memcpy(t.ipv6.saddr, &c->nat.daddr, 16);
		__builtin_memcpy(t.ipv6.daddr, &c->nat.saddr, 16);
		t.ipv6.sport = bpf_htons(c->nat.dport);
		t.ipv6.dport = bpf_htons(c->nat.sport);
	}
	if (c->nat.proto == IPPROTO_TCP)
		sk = bpf_sk_lookup_tcp(ctx, &t, size, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_udp(ctx, &t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
}

/* Claims the reverse entry of `c` with the source port that it has. 0 or -1. */
static __always_inline int conn_claim_port(const struct packet *p,
					   const struct conn *c,
					   struct tuple *reverse_key, int pressed)
{
	struct conn reverse;

	conn_mirror(&p->tuple, c, reverse_key, &reverse);
	return conn_claim(reverse_key, &reverse, pressed);
}

/*
 * A socket of the node holds the port that was claimed: one more, at random, so
 * that the client's next attempt does not meet the same one again. 0 or -1.
 */
static __always_inline int conn_yield_port(ctx_t *ctx, const struct packet *p,
					   struct conn *c,
					   struct tuple *reverse_key)
{
	bpf_map_delete_elem(&connections, reverse_key);
	c->nat.sport = (__u16)(snat_port_min +
			       bpf_get_prandom_u32() %
				       (snat_port_max - snat_port_min + 1));
	if (conn_port_in_use(ctx, c, p->v4))
		return -1;
	return conn_claim_port(p, c, reverse_key, 0);
}

/*
 * Enters a new flow of client p->tuple to c->nat.daddr:dport; the caller has
 * filled c but for the source port and the differences. With CONN_SNAT the
 * port is taken from the reserved range, unless the node has a socket there;
 * without, the client's own is kept unless another flow of it to this backend
 * already has it (two frontends, one backend, one client port).
 * 0, or -1 when no port is free.
 */
static __always_inline int conn_create(ctx_t *ctx, const struct packet *p,
				       struct conn *c, __u32 hash)
{
	__u32 range = snat_port_max - snat_port_min + 1;
	int of_node = c->flags & CONN_SNAT;
	struct tuple reverse_key;
	int i;

	c->last_seen = conn_now();
	c->nat.sport = p->tuple.sport;
	for (i = 0; i < SNAT_ATTEMPTS; i++) {
		if (i > 0 || of_node) {
			c->flags |= CONN_SNAT;
			c->nat.sport = (__u16)(snat_port_min + hash % range);
			hash = mix3(hash, (__u32)i, hash_seed);
		}
		if (!conn_claim_port(p, c, &reverse_key, i >= SNAT_ATTEMPTS / 2))
			break;
	}
	if (i == SNAT_ATTEMPTS)
		return -1;
	if (of_node && conn_port_in_use(ctx, c, p->v4) &&
	    conn_yield_port(ctx, p, c, &reverse_key))
		return -1;
	c->addr_diff = csum_addr_diff(&p->tuple, &c->nat);
	c->port_diff = csum_port_diff(&p->tuple, &c->nat);
	bpf_map_update_elem(&connections, &p->tuple, c, BPF_ANY);
	count(p->tuple.proto == IPPROTO_TCP && !(p->tcp_flags & TH_SYN) ?
		      REASON_CONN_RESUMED :
		      REASON_CONN_NEW,
	      0);
	return 0;
}

#endif
